"""Count how many small changes of the code the tests notice: mutation testing with Cosmic Ray.

Each change (a mutant) is made in a copy of the working tree. Then the tests of that folder run there, shortest file
first, until one fails. A mutant that no test notices survives, and its change is printed. The same seed gives the same
mutants as long as the code is the same. Cosmic Ray (MIT) is not installed with the project:

    .venv/bin/pip install cosmic-ray~=8.7
    .venv/bin/python -m tests.benchmarks.mutation --sample 40
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Queue
from os import chdir
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome

ROOT = Path(__file__).resolve().parents[2]
# Folder with code: folder with its tests.
AREAS = {
    "headshots/payments/accounting": "tests/headshots/payments/accounting",
    "headshots/vault": "tests/headshots/vault",
    "headshots/retention": "tests/headshots/retention",
    "pipeline/quality": "tests/pipeline/quality",
}
# In annotations, `str | None` with another operator fails at import and shows nothing about the tests.
ANNOTATIONS = "ReplaceBinaryOperator_BitOr_"
PROCESSES = 2
LIMIT = 600.0
"""Seconds after which a mutant counts as noticed: it hangs."""


def mutants(area: str, count: int, seed: int) -> list[MutationSpec]:
    """Return `count` mutants of a folder, chosen at random: one of each place in the code at most."""
    modules = [path.relative_to(ROOT) for path in sorted((ROOT / area).glob("*.py")) if path.name != "__init__.py"]
    with tempfile.TemporaryDirectory() as folder, use_db(f"{folder}/mutants.sqlite", WorkDB.Mode.create) as database:
        init(modules, database, {})
        found = [item.mutations[0] for item in database.work_items]
    found = [mutant for mutant in found if ANNOTATIONS not in mutant.operator_name]
    found.sort(key=lambda mutant: (str(mutant.module_path), mutant.operator_name, mutant.occurrence))
    dice = random.Random(seed)
    dice.shuffle(found)
    places = {(str(mutant.module_path), mutant.start_pos): mutant for mutant in found}
    return dice.sample(list(places.values()), min(count, len(places)))


def command_of(area: str) -> str:
    """Return the command that runs the tests of a folder, shortest file first."""
    seconds = json.loads((ROOT / "tests/durations.json").read_text())
    files = sorted(Path(AREAS[area]).glob("test_*.py"), key=lambda file: seconds.get(str(file), 0.0))
    return f"{sys.executable} -m pytest -x -q -p no:cacheprovider -p no:randomly {' '.join(map(str, files))}"


def copies(folder: Path) -> Iterator[Path]:
    """Copy the files that git knows or would add into one folder for each process."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True)
    for number in range(PROCESSES):
        for name in listed.stdout.decode().split("\0")[:-1]:
            target = folder / str(number) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        (folder / str(number) / ".venv").symlink_to(ROOT / ".venv")
        yield folder / str(number)


def enter(free: "Queue[Path]") -> None:
    chdir(free.get())


def try_unchanged(area: str) -> tuple[TestOutcome, str]:
    """Run the tests of a folder on unchanged code."""
    outcome, output = run_tests(command_of(area), LIMIT)
    return outcome, output


def try_one(mutant: MutationSpec, command: str) -> tuple[bool, str]:
    """Return whether the tests notice a mutant, and the change.

    Raises:
        RuntimeError: the change cannot be made.
    """
    result = mutate_and_test([mutant], command, LIMIT)
    if result.worker_outcome != WorkerOutcome.NORMAL:
        raise RuntimeError(result.output or f"no change at {mutant}")
    return result.test_outcome != TestOutcome.SURVIVED, result.diff or ""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("areas", nargs="*", default=list(AREAS), help=f"folders among {', '.join(AREAS)}")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each folder (default: 40)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chdir(ROOT)
    noticed: Counter[str] = Counter()
    chosen = [(area, mutant) for area in options.areas for mutant in mutants(area, options.sample, options.seed)]
    free: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for copy in copies(Path(folder)):
            free.put(copy)
        with ProcessPoolExecutor(PROCESSES, initializer=enter, initargs=(free,)) as pool:
            for area, (outcome, output) in zip(options.areas, pool.map(try_unchanged, options.areas), strict=True):
                if outcome != TestOutcome.SURVIVED:
                    sys.exit(f"{output}\nThe tests of {area} fail without a change.")
            commands = [command_of(area) for area, _ in chosen]
            results = pool.map(try_one, [mutant for _, mutant in chosen], commands)
            for (area, mutant), (is_noticed, diff) in zip(chosen, results, strict=True):
                noticed[area] += is_noticed
                verdict = "noticed " if is_noticed else "SURVIVED"
                print(verdict, mutant.module_path, mutant.operator_name, mutant.occurrence, flush=True)
                if not is_noticed:
                    print(diff, flush=True)
    for area in options.areas:
        total = sum(of == area for of, _ in chosen)
        print(f"{area}: {noticed[area]} of {total} mutants noticed ({noticed[area] / max(total, 1):.0%})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
