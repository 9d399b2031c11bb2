"""`doctor`: which engines can run here, and what is missing."""

import argparse

from pipeline.commands import DONE, REFUSED, print_json
from pipeline.engines import engine_status
from pipeline.weights import CATALOGUE, Weights


def run(arguments: argparse.Namespace) -> int:
    """Prints engines and weights; the status is 0 when at least one engine can run."""
    weights = Weights(arguments.weights)
    engines = engine_status(weights)
    problems = {name: weights.problem(name) for name in CATALOGUE}
    if arguments.json:
        print_json(
            {
                "engines": [{"name": each.name, "ready": each.ready, "missing": each.missing} for each in engines],
                "weights_directory": str(weights.directory),
                "weights": [
                    {
                        "name": name,
                        "file": weight.pinned.file,
                        "bytes": weight.pinned.bytes,
                        "licence": weight.licence,
                        "source": weight.source,
                        "purpose": weight.purpose,
                        "problem": problems[name],
                    }
                    for name, weight in CATALOGUE.items()
                ],
            }
        )
    else:
        print("engines")
        for engine in engines:
            print(f"  {engine.name}: {'ready' if engine.ready else 'cannot run'}")
            for fault in engine.missing:
                print(f"    {fault}")
        print(f"weights in {weights.directory}")
        for name, weight in CATALOGUE.items():
            state = "missing or damaged" if problems[name] else "ok"
            size = f"{weight.pinned.bytes / 1e6:.1f} MB"
            print(f"  {name:16} {state:18} {size:>8}  {weight.licence:11} {weight.source}: {weight.purpose}")
        if any(problems.values()):
            print(f"fix: {weights.fetch_command}")
    return DONE if any(engine.ready for engine in engines) else REFUSED
