"""The command line of the pipeline, `python -m pipeline`. Needs no server and no database."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

from pipeline.commands import (
    BROKEN_PIPE,
    EXIT_STATUSES,
    INTERRUPTED,
    USAGE_ERROR,
    CommandFailed,
    bench_instantid,
    echo,
)
from pipeline.engines import EngineName
from pipeline.engines.instantid.config import Sampler
from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.errors import PipelineError
from pipeline.types import Framing
from pipeline.weights import DEFAULT_DIR


class Parser(argparse.ArgumentParser):
    """An argument parser that raises CommandFailed for invalid arguments.

    argparse itself would exit with status 2, which has another meaning in these commands."""

    def error(self, message: str) -> NoReturn:
        raise CommandFailed(f"{message} (see {self.prog} --help)")


def build_parser() -> Parser:
    """Build the parser for all commands and options."""
    parser = Parser(
        prog="python -m pipeline",
        description="Check photos, make professional headshots and manage model weights. Needs no server or database.",
        epilog=f"{EXIT_STATUSES}\nRun 'python -m pipeline COMMAND --help' for the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND", required=True)

    def add(name: str, purpose: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name,
            help=purpose,
            description=purpose,
            epilog=EXIT_STATUSES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_argument(
            "--weights", type=Path, default=DEFAULT_DIR, metavar="DIR", help="weights folder (default: %(default)s)"
        )
        command.add_argument(
            "--catalog",
            type=Path,
            metavar="FILE",
            help="your own catalog of weights, in the format of pipeline/weights/weights.toml",
        )
        return command

    add_check(add("check", "Check whether photos are usable, and explain what is wrong if not."))
    add_make(add("make", "Make headshots of the person in one to five photos."))
    add_upscale(add("upscale", "Enlarge a picture four times with Real-ESRGAN."))
    add_engines(add("engines", "List the engines, what they are missing, and the license of each weight."))
    add_prove(
        add("prove", "Make pictures of several people with the real weights, and report likeness, speed and memory.")
    )
    add_weights(add("weights", "Download the weights that are missing."))
    add_evaluate(add("evaluate", "Draw contact sheets of a folder, or compare groups of people."))
    add_calibrate(add("calibrate", "Fit the likeness score to labeled face pairs and report its error rates."))
    add_bench(add("bench", "Measure the speed and memory use of an engine, a 4K pack, the quality gate or upscaling."))
    return parser


def add_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="JPEG, PNG, WebP or HEIC file")
    command.add_argument("--json", action="store_true", help="print JSON: one entry per photo, in the given order")


def add_make(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO", help="one to five photos of one person, best first"
    )
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for pictures and manifest.json")
    command.add_argument(
        "--style",
        action="append",
        default=[],
        metavar="NAME",
        help="look to use, or a plain color such as #1b3a5c; repeatable (default: every look)",
    )
    command.add_argument(
        "--count",
        type=positive_int,
        metavar="N",
        help="number of pictures, spread over the looks (default: 4, or one per named look if there are more)",
    )
    add_engine_options(command)
    command.add_argument(
        "--face",
        type=non_negative_int,
        metavar="INDEX",
        help="face to use if a photo shows several people; 'check' lists them",
    )
    command.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="the same seed gives the same pictures (default: 0)",
    )
    command.add_argument(
        "--size",
        choices=("preview", "4k"),
        default="preview",
        help="4k has a long edge of 3,840 px (default: preview)",
    )
    command.add_argument("--format", choices=("jpeg", "png"), default="jpeg", help="file format (default: jpeg)")
    command.add_argument(
        "--sign-key", type=Path, metavar="PEM", help="private key that signs the pictures (default: a test key)"
    )
    command.add_argument(
        "--sign-certificates",
        type=Path,
        metavar="PEM",
        help="certificate chain of --sign-key, its own certificate first",
    )
    command.add_argument(
        "--shape",
        choices=("4:5", "3:4", "square", "banner"),
        default="4:5",
        help="aspect ratio; each has a frame of its own, banner is 16:9 (default: 4:5)",
    )
    command.add_argument("--json", action="store_true", help="print the manifest as JSON")


def add_upscale(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, metavar="IN", help="JPEG, PNG, WebP or HEIC file")
    command.add_argument("target", type=Path, metavar="OUT", help="file to write: .png, or .jpg at quality 95")
    command.add_argument(
        "--tile", type=positive_int, metavar="N", help="largest tile, N × N px; smaller tiles need less memory"
    )
    command.add_argument(
        "--blend", type=share, default=0.0, metavar="0..1", help="share of plain enlargement to mix in (default: 0)"
    )
    command.add_argument(
        "--grain",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="standard deviation of added grain, of 255 (default: 0)",
    )
    command.add_argument(
        "--network", type=Path, metavar="FILE", help="×4 network to use instead of the downloaded Real-ESRGAN"
    )
    command.add_argument("--json", action="store_true", help="print size and seconds as JSON")


def add_engines(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")
    add_engine_options(command)


def add_prove(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "photos",
        nargs="+",
        type=Path,
        metavar="PHOTO",
        help="one person each: a photo, or a folder with up to five photos of the person",
    )
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="new folder for the report")
    command.add_argument(
        "--with-pictures", action="store_true", help="also write the pictures and contact sheets into the folder"
    )
    command.add_argument(
        "--count", type=positive_int, default=4, metavar="N", help="pictures per person (default: %(default)s)"
    )
    command.add_argument(
        "--size",
        choices=("preview", "4k"),
        default="preview",
        help="4k has a long edge of 3,840 px (default: preview)",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    add_engine_options(command, auto="instantid")


def add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("fetch",), help="fetch: download and verify")
    command.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="weights or groups, such as studio, instantid or few_step (default: studio)",
    )
    command.add_argument(
        "--from", dest="source", type=Path, metavar="DIR", help="copy the files from this folder; use no network"
    )
    command.add_argument("--yes", action="store_true", help="accept the listed sizes and licenses without asking")
    command.add_argument("--endpoint", metavar="URL", help="mirror of the Hugging Face Hub")


def add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the photos")
    kind = command.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="compare groups; table with the columns file and group, and optionally person and face",
    )
    kind.add_argument(
        "--sheet", action="store_true", help="draw contact sheets of the folder with the figures of the framing"
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for evaluation.csv and evaluation.png, or for the sheets and sheet.csv (default: sheets)",
    )
    command.add_argument(
        "--framing",
        choices=[framing.value for framing in Framing],
        default=Framing.CLASSIC.value,
        metavar="NAME",
        help="framing of the pictures on the sheets (default: %(default)s)",
    )
    command.add_argument(
        "--engine", choices=("studio", "instantid"), default="studio", help="engine to use (default: studio)"
    )
    command.add_argument(
        "--style",
        action="append",
        default=[],
        metavar="NAME",
        help="look to make; repeatable (default: corporate and bw; corporate for sheets)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def add_calibrate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "pairs",
        type=Path,
        metavar="PAIRS.csv",
        help="table with the columns one, other (photos, relative to the table) and same (1 or 0); "
        "with a column distance, the photos are not read",
    )
    command.add_argument("--out", type=Path, metavar="TOML", help="file to write the fitted constants to")
    command.add_argument("--source", metavar="TEXT", help="where the pairs come from; recorded with the constants")
    command.add_argument("--json", action="store_true", help="print JSON")


def add_bench(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "what",
        choices=("studio", "instantid", "pack", "gate", "upscale"),
        help="studio or instantid: an engine; pack: a pack at 4K; gate: the quality gate; upscale: Real-ESRGAN",
    )
    command.add_argument("--engine", choices=("studio",), default="studio", help="engine of 'pack' (default: studio)")
    command.add_argument("--photo", type=Path, help="photo of one person (default: scikit-image's astronaut)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--images", type=positive_int, default=50, metavar="N", help="pictures of 'pack' and 'instantid' (default: 50)"
    )
    bench_instantid.add_arguments(command.add_argument_group("options of 'instantid', which needs --weights random"))


def add_engine_options(
    command: argparse.ArgumentParser, *, auto: str = "InstantID if it is installed, otherwise studio"
) -> None:
    """Add --engine to a command, and the options that the server reads from HEADSHOTS_INSTANTID_*."""
    command.add_argument(
        "--engine",
        choices=get_args(EngineName),
        default="auto",
        metavar="auto|studio|instantid",
        help=f"engine to use (default: auto, which means {auto})",
    )
    defaults, group = InstantIDOptions(), command.add_argument_group("options of the InstantID engine")
    group.add_argument(
        "--checkpoint", default=defaults.checkpoint, metavar="NAME", help="SDXL checkpoint (default: %(default)s)"
    )
    group.add_argument("--device", default=defaults.device, help="cuda, cuda:N or cpu (default: %(default)s)")
    group.add_argument(
        "--optimization",
        action="append",
        default=[],
        metavar="±NAME",
        help="turn an optimization on or off, such as +fp8 or -fused_qkv; repeatable",
    )
    group.add_argument(
        "--sampler", default=defaults.sampler, choices=list(Sampler), help="sampler (default: the checkpoint's)"
    )
    group.add_argument(
        "--steps", type=positive_int, default=defaults.steps, metavar="N", help="steps (default: the checkpoint's)"
    )
    group.add_argument(
        "--canvas-pixels",
        type=positive_int,
        default=defaults.canvas_pixels,
        metavar="N",
        help="pixels per picture before upscaling (default: %(default)s)",
    )


def non_negative_int(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    if non_negative_int(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def main(words: Sequence[str]) -> int:
    """Run a command, and return its exit status.

    Imports only the modules of this command."""
    try:
        arguments = build_parser().parse_args(words)
        command = importlib.import_module(f"pipeline.commands.{arguments.command}")
        status: int = command.run(arguments)
    except PipelineError as error:
        echo(f"error: {error}")
        return error.status if isinstance(error, CommandFailed) else USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The process that reads the output has exited (for example `| head`). Without this line, Python would report
        # the error again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
