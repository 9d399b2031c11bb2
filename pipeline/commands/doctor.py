"""`doctor`: report which engines can run here and what is missing; `--prove` renders a picture."""

import argparse

from pipeline.commands import DONE, REFUSED, open_weights, print_json, read_options
from pipeline.engines.doctor import examine


def run(arguments: argparse.Namespace) -> int:
    """Print engines and weights.

    Returns 0 if the engine that would be used can run."""
    weights, options = open_weights(arguments), read_options(arguments)
    if arguments.prove is not None:
        from pipeline.commands.prove import prove

        return prove(arguments, weights, options)
    report = examine(weights, options, arguments.engine)
    if arguments.json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    return DONE if report.ready else REFUSED
