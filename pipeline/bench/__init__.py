"""How fast the engines are. Imported by the command line only."""
