"""`weights fetch`: brings what the models are made of."""

import argparse

from pipeline.commands import DONE, CommandFailed, advance, progress_bar, tell
from pipeline.weights import CATALOGUE, Weights


def run(arguments: argparse.Namespace) -> int:
    """Fetches the named weights, or all; says nothing when they are there."""
    weights = Weights(arguments.weights)
    names = arguments.names or list(CATALOGUE)
    if unknown := [name for name in names if name not in CATALOGUE]:
        raise CommandFailed(f"There is no weight called {unknown[0]!r}; known: {', '.join(CATALOGUE)}.")
    missing = [name for name in names if weights.problem(name)]
    if not missing:
        return DONE
    megabytes = sum(archive.bytes for archive in {CATALOGUE[name].pinned.archive for name in missing}) / 1e6
    tell(f"Fetching {len(missing)} weights ({megabytes:.0f} MB to download) into {weights.directory}")
    with progress_bar("Weights", total=round(megabytes), unit="MB") as bar:
        weights.fetch(missing, advance(bar))
    return DONE
