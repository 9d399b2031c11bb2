"""Benchmarks of the engines. Only the command line imports this package."""
