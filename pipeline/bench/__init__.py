"""Benchmarks of the engines. Imported by the command line only."""
