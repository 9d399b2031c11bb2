"""`bench`: measure time and memory of an engine on this machine.

Each measurement runs in its own process. A cold measurement is a complete `make`, from the start of Python to the
manifest. A warm measurement repeats that work with all models loaded. A pack is a complete `make` at 4K. Upscaling is
measured in tiles and, for comparison, in one piece with everything that the frame shows.
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
from pipeline.commands import DONE, CommandFailed, bench_instantid, print_json, progress_bar, read_photo
from pipeline.engines import EngineName
from pipeline.weights import Weights

STYLES = ("corporate", "executive", "outdoor", "bw")
PACK_STYLES = (*STYLES, "navy")
WARM_ROUNDS = 3
GATE_PICTURES = 25
ROOT = Path(pipeline.__file__).resolve().parents[1]


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark, and print seconds and megabytes."""
    if arguments.what == "instantid":
        return bench_instantid.run(arguments)
    photo = choose_photo(arguments.photo)
    figures: dict[str, str | int | float] = {
        "photo": str(photo),
        "cpus": os.cpu_count() or 1,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    folder = arguments.weights.resolve()
    if arguments.what == "upscale":
        figures |= bench_upscale(photo, folder)
    elif arguments.what == "gate":
        judged = run_python(["-m", "pipeline.commands.bench", "gate", "studio", str(photo), str(folder)])
        figures |= json.loads(judged.printed)
    elif arguments.what == "pack":
        figures |= bench_pack(arguments.engine, photo, folder, arguments.images)
    else:
        figures |= bench_engine(arguments.what, photo, folder)
    if arguments.json:
        print_json(figures)
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    return DONE


def bench_engine(engine: EngineName, photo: Path, weights: Path) -> dict[str, str | int | float]:
    """Benchmark `make` with four looks, cold and warm, and `check`."""
    with progress_bar("Benchmark", total=2, unit="steps") as bar, tempfile.TemporaryDirectory() as out:
        call = ["-m", "pipeline", "make", str(photo), "--out", out, "--json", "--engine", engine]
        call += ["--weights", str(weights), *(word for look in STYLES for word in ("--style", look))]
        cold = run_python(call)
        bar.update()
        warm = run_python(["-m", "pipeline.commands.bench", "make", engine, str(photo), str(weights)])
        bar.update()
    return {
        "engine": engine,
        "styles": len(STYLES),
        "cold_make_seconds": round(cold.seconds, 2),
        "cold_make_cpu_seconds": round(cold.cpu_seconds, 2),
        **json.loads(warm.printed),
        "cold_peak_megabytes": cold.megabytes,
        "warm_peak_megabytes": warm.megabytes,
    }


def bench_pack(engine: EngineName, photo: Path, weights: Path, count: int) -> dict[str, str | int | float]:
    """Benchmark a 4K pack with five looks: upscaling, composing, quality gate, files, crops and signatures."""
    with tempfile.TemporaryDirectory() as out:
        call = ["-m", "pipeline", "make", str(photo), "--out", out, "--json", "--engine", engine, "--size", "4k"]
        call += ["--weights", str(weights), "--count", str(count)]
        pack = run_python([*call, *(word for look in PACK_STYLES for word in ("--style", look))])
    manifest = json.loads(pack.printed)
    seconds = [entry["seconds"] for entry in manifest]
    return {
        "engine": engine,
        "pictures": len(manifest),
        "pack_seconds": round(pack.seconds, 1),
        "pack_cpu_seconds": round(pack.cpu_seconds, 1),
        "first_picture_after": round(pack.seconds - sum(seconds) + seconds[0], 1),
        "picture_seconds_median": round(statistics.median(seconds), 2),
        "picture_seconds_max": round(max(seconds), 2),
        "nearest_whole_min": min(entry["nearest_whole"] or 0 for entry in manifest),
        "nearest_subject_min": min(entry["nearest_subject"] or 0 for entry in manifest),
        "peak_megabytes": pack.megabytes,
    }


def bench_upscale(photo: Path, weights: Path) -> dict[str, str | int | float]:
    """Benchmark Real-ESRGAN for a headshot at 4K: the whole frame in one piece, and only the person in tiles."""
    figures: dict[str, str | int | float] = {}
    for way in ("whole", "tiles"):
        done = run_python(["-m", "pipeline.commands.bench", way, "studio", str(photo), str(weights)])
        figures |= json.loads(done.printed) | {f"{way}_peak_megabytes": done.megabytes}
    return figures


def measure_upscale(way: str, photo: Path, weights: Path) -> dict[str, float]:
    """Measure the seconds to enlarge the part of a photo that a headshot at 4K needs.

    way: `whole` (in one piece) or `tiles`."""
    from pipeline.faces.find import FaceFinder
    from pipeline.faces.resolution import estimate_detail
    from pipeline.photos.intake import clean_photo, load_pixels
    from pipeline.portrait.mask import PersonMask
    from pipeline.portrait.prepare import frame_photo
    from pipeline.portrait.upscaled import crop_for_network
    from pipeline.types import PREMIUM, SourcePhoto, ignore_progress
    from pipeline.upscaling.upscale import load_network, upscale

    store = Weights(weights)
    pixels = load_pixels(clean_photo(read_photo(photo)).data)
    source = SourcePhoto(pixels, FaceFinder(store).find(pixels)[0])
    detail_share = estimate_detail(pixels, source.face.mesh)
    cut = crop_for_network(source, *frame_photo(source, PREMIUM, PersonMask(store, 2)), detail_share)
    network = load_network(store)
    started = time.perf_counter()
    if way == "whole":
        network.upscale(cut.pixels, ignore_progress)
    else:
        upscale(cut.pixels, network, ignore_progress, wanted=cut.wanted)
    return {f"{way}_seconds": round(time.perf_counter() - started, 1), "input_pixels": cut.wanted.size}


def choose_photo(named: Path | None) -> Path:
    """Return the selected photo, or by default the astronaut that scikit-image contains.

    Raises CommandFailed if the photo cannot be read or scikit-image is not installed."""
    if named:
        read_photo(named)
        return named.resolve()
    module = find_spec("skimage")
    if module is None or module.origin is None:
        raise CommandFailed(
            "scikit-image, which includes the default photo, is not installed. Choose a photo with --photo"
        )
    return Path(module.origin).with_name("data") / "astronaut.png"


@dataclass(frozen=True)
class ProcessRun:
    """The result of a process that ended successfully.

    Attributes:
        printed: output of the process.
        seconds: wall-clock time.
        cpu_seconds: CPU time of all threads.
        megabytes: peak resident memory.
    """

    printed: str
    seconds: float
    cpu_seconds: float
    megabytes: int


def run_python(arguments: list[str]) -> ProcessRun:
    """Run a Python process and measure its time and memory.

    Raises CommandFailed with the last line of its stderr."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdout
        printed = process.stdout.read()
        # os.wait4, unlike Popen.wait, reports the resources that the process used.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        errors.seek(0)
        if process.returncode != 0:
            message = errors.read().strip() or f"the process ended with status {process.returncode}"
            raise CommandFailed(message.splitlines()[-1], abs(process.returncode))
    # The peak is in kilobytes on Linux and in bytes on macOS.
    megabytes = round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
    return ProcessRun(printed, time.perf_counter() - started, usage.ru_utime + usage.ru_stime, megabytes)


def measure_warm(engine: EngineName, photo: Path, weights: Path) -> dict[str, float]:
    """Measure `make` with four looks, and `check`, on one photo with all models loaded.

    Returns medians in seconds."""
    from pipeline.commands.check import check_file
    from pipeline.commands.make import RenderContext, choose_styles, load_models, make_headshots, prepare_person
    from pipeline.files.signing import make_test_identity
    from pipeline.styles.shot_list import plan_shots
    from pipeline.types import PREVIEW

    models = load_models(engine, Weights(weights))
    context = RenderContext(models, make_test_identity("Benchmark"))
    shots = plan_shots(choose_styles(STYLES), len(STYLES), seed=0)
    make_seconds, check_seconds = [], []
    # The first round warms up and is not counted.
    for _ in range(1 + WARM_ROUNDS):
        started = time.perf_counter()
        person = prepare_person([(photo, read_photo(photo))], None, models, PREVIEW)
        list(make_headshots(person, shots, PREVIEW, context, lambda share: None))
        made = time.perf_counter()
        check_file(read_photo(photo), models.finder)
        make_seconds.append(made - started)
        check_seconds.append(time.perf_counter() - made)
    return {
        "warm_make_seconds": round(statistics.median(make_seconds[1:]), 2),
        "warm_check_seconds": round(statistics.median(check_seconds[1:]), 3),
    }


def measure_gate(photo: Path, weights: Path) -> dict[str, float]:
    """Measure the seconds that the quality gate takes for a finished picture at 4K.

    On Linux, limits the process to one core."""
    import cv2
    import numpy as np

    from pipeline.engines.studio import StudioEngine
    from pipeline.faces.find import FaceFinder
    from pipeline.files.finish import shrink_for_web
    from pipeline.identity.embedding import FaceEmbedder
    from pipeline.photos.intake import clean_photo, load_pixels
    from pipeline.quality.gate import build_gate_reference, judge_picture
    from pipeline.styles.shot_list import load_styles, plan_shots
    from pipeline.types import PREMIUM, PREVIEW, Job, SourcePhoto, ignore_progress

    store = Weights(weights)
    finder, embedder, engine = FaceFinder(store, threads=1), FaceEmbedder(store), StudioEngine(store)
    pixels = load_pixels(clean_photo(read_photo(photo)).data)
    source = SourcePhoto(pixels, finder.find(pixels)[0])
    subject = engine.prepare([source], PREVIEW)
    jobs = [Job(subject, shot) for shot in plan_shots(load_styles(), GATE_PICTURES, seed=0)]
    gate_reference = build_gate_reference([source], embedder)
    pictures = [(each.job.shot, each.pixels) for each in engine.render(jobs, PREVIEW, ignore_progress)]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    seconds, cpu_seconds = [], []
    for shot, picture in pictures:
        # Enlarge a preview instead of rendering at 4K. The content is the same.
        large = cv2.resize(picture, (PREMIUM.width, PREMIUM.height)).astype(np.uint8)
        started, started_cpu = time.perf_counter(), time.process_time()
        judge_picture(shrink_for_web(large), gate_reference, finder, embedder, monochrome=shot.style.monochrome)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - started_cpu)
    # The first picture warms up and is not counted.
    return {
        "gate_pictures": len(seconds) - 1,
        "gate_seconds_median": round(statistics.median(seconds[1:]), 3),
        "gate_cpu_seconds_median": round(statistics.median(cpu_seconds[1:]), 3),
        "gate_cpu_seconds_max": round(max(cpu_seconds[1:]), 3),
    }


def measure(what: str, engine: EngineName, photo: Path, weights: Path) -> dict[str, float]:
    """Run one measurement, for which a separate process was started."""
    if what == "gate":
        return measure_gate(photo, weights)
    return measure_warm(engine, photo, weights) if what == "make" else measure_upscale(what, photo, weights)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], cast(EngineName, sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))))
