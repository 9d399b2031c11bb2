"""`weights fetch`: download and verify the model files."""

import argparse
import sys

from pipeline.commands import DONE, CommandFailed, advance, echo, open_weights, progress_bar
from pipeline.weights import STUDIO, FetchPlan, Weights

YES = {"y", "yes"}


def run(arguments: argparse.Namespace) -> int:
    """Fetch the named weights or groups, by default the studio's.

    Prints nothing if they are already here."""
    weights = open_weights(arguments)
    names = weights.catalog.expand(tuple(arguments.names or [STUDIO]))
    if arguments.source is not None:
        with progress_bar("Weights") as bar:
            weights.copy_files(names, arguments.source, advance(bar))
        return DONE
    plan = weights.plan(names, arguments.endpoint)
    if plan.weights:
        describe(plan, weights)
        if plan.needs_consent and not arguments.yes:
            ask_for_consent()
    with progress_bar("Weights", total=round(plan.bytes / 1e6), unit="MB") as bar:
        weights.fetch(names, advance(bar), plan)
    return DONE


def describe(plan: FetchPlan, weights: Weights) -> None:
    """Print what will be downloaded, how large it is, and under which terms."""
    megabytes = plan.bytes / 1e6
    if plan.needs_consent:
        for weight in plan.weights:
            terms = weight.license if weight.business else f"{weight.license}; NOT for commercial use"
            echo(f"  {weight.name:22} {plan.bytes_of(weight) / 1e6:9,.1f} MB  {terms}  ({weight.source})")
    echo(f"Downloading {len(plan.weights)} weights ({megabytes:,.0f} MB) to {weights.directory}")


def ask_for_consent() -> None:
    """Ask the user to agree to the terms.

    Raises CommandFailed if the user does not agree or stdin is no terminal."""
    if not sys.stdin.isatty():
        raise CommandFailed(
            "These weights are large and have their own licenses (see above). To accept them, add --yes."
        )
    print("Accept the licenses and download? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in YES:
        raise CommandFailed("Nothing was downloaded.")
