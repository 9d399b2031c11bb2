"""`bench instantid`: measure speed, memory and TFLOP/s of a pack with random weights.

Imports torch only when the command runs, because importing torch takes seconds.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from pipeline.commands import DONE, CommandFailed, print_json
from pipeline.commands.machine import describe_machine
from pipeline.diffusion.optimizations import (
    Optimization,
    change_optimizations,
    compiler_fault,
    default_optimizations,
)
from pipeline.engines import INSTALL_COMMAND
from pipeline.engines.instantid import missing_packages
from pipeline.engines.instantid.config import Sampler, Sampling
from pipeline.types import Size

NEEDED = ("torch", "diffusers", "transformers", "accelerate")
RANDOM = Path("random")
MAX_BATCH = 10


def add_arguments(command: argparse._ArgumentGroup) -> None:
    """Add the options of `bench instantid`."""
    command.add_argument(
        "--size", type=parse_size, default=Size(896, 1152), metavar="WxH", help="picture size in px (default: 896x1152)"
    )
    command.add_argument("--steps", type=int, default=30, metavar="N", help="denoising steps (default: 30)")
    command.add_argument(
        "--sampler", type=Sampler, choices=list(Sampler), default=Sampler.EULER, help="sampler (default: %(default)s)"
    )
    command.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    command.add_argument(
        "--networks", choices=("sdxl", "tiny"), default="sdxl", help="full-size or tiny networks (default: sdxl)"
    )
    command.add_argument(
        "--batch", type=int, default=MAX_BATCH, metavar="N", help="most pictures per batch (default: %(default)s)"
    )
    command.add_argument(
        "--optimization",
        action="append",
        default=[],
        metavar="±NAME",
        help="turn an optimization on or off, such as +fp8 or -compile; repeatable",
    )
    command.add_argument(
        "--reference", action="store_true", help="also make four pictures without optimizations, for comparison"
    )
    command.add_argument(
        "--table",
        action="store_true",
        help="measure each optimization on and off instead (up to 10 minutes on a GPU); "
        "with --reference, also a lossless, a lossy and a few-step pack (about 20 minutes)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark, and print the results.

    Raises CommandFailed if the options cannot be measured."""
    if arguments.weights != RANDOM:
        raise CommandFailed("'bench instantid' only measures random weights; add --weights random")
    if missing := missing_packages(NEEDED):
        raise CommandFailed(f"These Python packages are not installed: {', '.join(missing)}. Fix: {INSTALL_COMMAND}")
    try:
        optimizations = change_optimizations(default_optimizations(arguments.device), arguments.optimization)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    from pipeline.bench.clock import describe_device, require_device
    from pipeline.bench.instantid import measure
    from pipeline.bench.packs import measure_everything, packs_as_markdown
    from pipeline.bench.setup import ARCHITECTURES, Options
    from pipeline.bench.table import as_markdown, measure_table

    require_device(arguments.device)
    if fault := compiler_fault(optimizations):
        note(fault)
        optimizations -= {Optimization.COMPILE}
    options = Options(
        architecture=ARCHITECTURES[arguments.networks],
        images=arguments.images,
        size=arguments.size,
        sampling=Sampling(arguments.steps, arguments.sampler),
        device=arguments.device,
        optimizations=optimizations,
        max_batch=arguments.batch,
        reference=arguments.reference,
    )
    if arguments.table and arguments.reference:
        everything = measure_everything(options, note)
        if arguments.json:
            print_json({"machine": describe_machine(), **everything.as_json()})
        else:
            print_figures(everything.head)
            print(f"\n{packs_as_markdown(everything)}\n\n{as_markdown(everything.rows)}")
        return DONE
    if not arguments.table:
        figures = measure(options, note)
        print_json(figures) if arguments.json else print_figures(figures)
        return DONE
    rows = measure_table(options, note)
    if arguments.json:
        print_json({"device": describe_device(options.device), "table": [asdict(row) for row in rows]})
    else:
        print(f"{describe_device(options.device)}, {arguments.size.width} x {arguments.size.height}")
        print(as_markdown(rows))
    return DONE


def note(message: str) -> None:
    """Print the current step to stderr."""
    print(f"... {message}", file=sys.stderr, flush=True)


def print_figures(figures: object, indent: str = "") -> None:
    """Print nested figures as indented lines."""
    if isinstance(figures, list):
        for row in figures:
            print(indent + "  ".join(f"{value}" for value in row.values()))
    elif isinstance(figures, dict):
        for name, value in figures.items():
            if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
                print(f"{indent}{name}")
                print_figures(value, indent + "  ")
            else:
                print(f"{indent}{name:28} {value}")


def parse_size(text: str) -> Size:
    """Parse a size such as `896x1152`.

    Raises ArgumentTypeError for any other text."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 896x1152")
    return Size(int(width), int(height))
