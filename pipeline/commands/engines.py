"""`engines`: list the engines that can run here, what is missing, and the license of each weight."""

import argparse

from pipeline.commands import DONE, REFUSED, open_weights, print_json, read_options
from pipeline.engines.report import examine


def run(arguments: argparse.Namespace) -> int:
    """Print engines and weights.

    Returns 0 if the engine that would be used can run."""
    report = examine(open_weights(arguments), read_options(arguments), arguments.engine)
    if arguments.json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    return DONE if report.ready else REFUSED
