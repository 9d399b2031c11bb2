"""`bench`: how long an engine takes and how much memory it needs on this machine.

Every figure comes from a process of its own: cold is a whole `make` from starting Python to the manifest, warm is
the same work once everything is loaded.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pipeline
from pipeline.commands import DONE, CommandFailed, print_json, progress_bar, read_photo
from pipeline.engines import EngineName
from pipeline.weights import Weights

LOOKS = ("corporate", "executive", "outdoor", "bw")
WARM_ROUNDS = 3
ROOT = Path(pipeline.__file__).resolve().parents[1]


def run(arguments: argparse.Namespace) -> int:
    """Measures, then prints seconds and megabytes."""
    photo = choose_photo(arguments.photo)
    folder = arguments.weights.resolve()
    with progress_bar("Benchmark", total=2, unit="steps") as bar, tempfile.TemporaryDirectory() as out:
        call = ["-m", "pipeline", "make", str(photo), "--out", out, "--json", "--engine", arguments.engine]
        call += ["--weights", str(folder), *(word for look in LOOKS for word in ("--style", look))]
        cold = run_python(call)
        bar.update()
        call = ["-m", "pipeline.commands.bench", arguments.engine, str(photo), str(folder)]
        warm = run_python(call)
        bar.update()
    figures: dict[str, str | int | float] = {
        "engine": arguments.engine,
        "photo": str(photo),
        "looks": len(LOOKS),
        "cpus": os.cpu_count() or 1,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cold_make_seconds": round(cold.seconds, 2),
        "cold_make_cpu_seconds": round(cold.cpu_seconds, 2),
        **json.loads(warm.printed),
        "cold_peak_megabytes": cold.megabytes,
        "warm_peak_megabytes": warm.megabytes,
    }
    if arguments.json:
        print_json(figures)
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")
    return DONE


def choose_photo(named: Path | None) -> Path:
    """The photo to work on: the named one, or the astronaut that scikit-image ships. Raises CommandFailed."""
    if named:
        read_photo(named)
        return named.resolve()
    module = find_spec("skimage")
    if module is None or module.origin is None:
        raise CommandFailed("scikit-image, whose photo of an astronaut is used here, is not installed: give --photo")
    return Path(module.origin).with_name("data") / "astronaut.png"


@dataclass(frozen=True)
class Run:
    """A process that ended well. Memory is the resident peak; the CPU's seconds are those of all threads."""

    printed: str
    seconds: float
    cpu_seconds: float
    megabytes: int


def run_python(arguments: list[str]) -> Run:
    """Runs a Python process and measures it. Raises CommandFailed with its last words."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True
        )
        assert process.stdout
        printed = process.stdout.read()
        # Unlike Popen's own waiting, this says what the process used.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        complaints.seek(0)
        if process.returncode != 0:
            raise CommandFailed(complaints.read().strip().splitlines()[-1], process.returncode)
    # The peak comes in kilobytes on Linux, in bytes on macOS.
    megabytes = round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
    return Run(printed, time.perf_counter() - started, usage.ru_utime + usage.ru_stime, megabytes)


def measure_warm(engine: EngineName, photo: Path, weights: Path) -> dict[str, float]:
    """Seconds of `make` with four looks and of `check`, for one photo, with everything loaded: medians."""
    from pipeline.commands.check import check_file
    from pipeline.commands.make import Studio, choose_styles, load_models, make_headshots, prepare_person
    from pipeline.shot_list import plan_shots
    from pipeline.signing import make_test_identity
    from pipeline.types import PREVIEW

    models = load_models(engine, Weights(weights))
    studio = Studio(models, make_test_identity("Benchmark"))
    shots = plan_shots(choose_styles(LOOKS), len(LOOKS), seed=0)
    make_seconds, check_seconds = [], []
    # The first round warms up and is not counted.
    for _ in range(1 + WARM_ROUNDS):
        started = time.perf_counter()
        person = prepare_person([(photo, read_photo(photo))], None, models, PREVIEW)
        list(make_headshots(person, shots, PREVIEW, studio, lambda share: None))
        made = time.perf_counter()
        check_file(read_photo(photo), models.finder)
        make_seconds.append(made - started)
        check_seconds.append(time.perf_counter() - made)
    return {
        "warm_make_seconds": round(statistics.median(make_seconds[1:]), 2),
        "warm_check_seconds": round(statistics.median(check_seconds[1:]), 3),
    }


if __name__ == "__main__":
    print(json.dumps(measure_warm(cast(EngineName, sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))))
