"""The command line, `python -m pipeline`: check photos, make headshots, fetch weights. No server, no database."""

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
from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.errors import PipelineError
from pipeline.weights import DEFAULT_DIR


class Parser(argparse.ArgumentParser):
    """An argument parser that raises CommandFailed for a wrong call.

    argparse itself would exit with status 2, which has another meaning here."""

    def error(self, message: str) -> NoReturn:
        raise CommandFailed(f"{message} (see {self.prog} --help)")


def build_parser() -> Parser:
    """Build the parser of all commands and options."""
    parser = Parser(
        prog="python -m pipeline",
        description="Professional headshots from one casual photo.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

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
            "--weights", type=Path, default=DEFAULT_DIR, metavar="DIR", help="folder of the weights (%(default)s)"
        )
        command.add_argument(
            "--catalog",
            type=Path,
            metavar="FILE",
            help="weights of your own, in the form of pipeline/weights/weights.toml",
        )
        return command

    add_check(add("check", "Will these photos do? Finds the faces, measures them, says what is wrong."))
    add_make(add("make", "Make headshots of the person in these photos."))
    add_upscale(add("upscale", "Enlarge a picture four times with Real-ESRGAN."))
    doctor = add("doctor", "Which engines can run here, what is missing, and under which license each weight stands.")
    add_doctor(doctor)
    add_weights(add("weights", "Fetch the weights that are not here yet."))
    add_evaluate(add("evaluate", "How photos of labeled groups of people fare: detection, verdict, likeness, skin."))
    add_calibrate(
        add("calibrate", "Fit distance to probability on labeled pairs of faces; how far is it to be trusted?")
    )
    bench = add("bench", "Measure speed and memory: an engine's four looks and `check`, a pack at 4K, gate, enlarging.")
    bench.add_argument("what", choices=("studio", "instantid", "pack", "gate", "upscale"))
    bench.add_argument("--engine", choices=("studio",), default="studio", help="whose pack at 4K (studio)")
    bench.add_argument("--photo", type=Path, help="a photo of one person (scikit-image's astronaut)")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench_instantid.add_arguments(bench.add_argument_group("instantid only, with --weights random"))
    return parser


def add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="FOLDER", help="where the photos lie")
    command.add_argument(
        "--groups", required=True, type=Path, metavar="CSV", help="columns file and group; person and face, too"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="folder for evaluation.csv and evaluation.png")
    command.add_argument("--engine", choices=("studio", "instantid"), default="studio", help="(studio)")
    command.add_argument(
        "--style", action="append", default=[], metavar="NAME", help="a look to make; may be repeated (corporate, bw)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def add_calibrate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "pairs",
        type=Path,
        metavar="PAIRS.csv",
        help="columns one, other (photos beside it), same; or distance too",
    )
    command.add_argument("--out", type=Path, metavar="TOML", help="file for the constants")
    command.add_argument("--source", metavar="TEXT", help="where the pairs come from, for the constants' provenance")
    command.add_argument("--json", action="store_true", help="print JSON")


def add_doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--engine", choices=get_args(EngineName), default="auto", metavar="auto|studio|instantid")
    command.add_argument(
        "--prove", type=Path, metavar="PHOTO", help="make four pictures of the person in it and measure their likeness"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="folder for the pictures and contact sheet of --prove")
    add_instantid_options(command)


def add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("fetch",))
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="weights or groups such as studio, instantid, few_step (studio)"
    )
    command.add_argument(
        "--from", dest="source", type=Path, metavar="DIR", help="take files that lie there, ask nobody"
    )
    command.add_argument("--yes", action="store_true", help="agree to the sizes and licenses that are shown")
    command.add_argument("--endpoint", metavar="URL", help="a mirror of the Hugging Face hub")


def add_instantid_options(command: argparse.ArgumentParser) -> None:
    """Add the options that the server reads from HEADSHOTS_INSTANTID_* to a command."""
    defaults, group = InstantIDOptions(), command.add_argument_group("InstantID engine")
    group.add_argument(
        "--checkpoint", default=defaults.checkpoint, metavar="NAME", help="SDXL to draw with (%(default)s)"
    )
    group.add_argument("--device", default=defaults.device, help="cuda, cuda:N or cpu (%(default)s)")
    group.add_argument(
        "--optimization", action="append", default=[], metavar="±NAME", help="+fp8, +compile, ...; repeatable"
    )
    group.add_argument(
        "--steps", type=positive_int, default=defaults.steps, metavar="N", help="denoising steps (%(default)s)"
    )
    group.add_argument(
        "--canvas-pixels", type=positive_int, default=defaults.canvas_pixels, metavar="N", help="drawn before enlarging"
    )


def add_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="JPEG, PNG, WebP or HEIC")
    command.add_argument("--json", action="store_true", help="print a list with one entry a photo, in this order")


def add_make(command: argparse.ArgumentParser) -> None:
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="one to five of one person, best first")
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for pictures and manifest.json")
    command.add_argument(
        "--style", action="append", default=[], metavar="NAME", help="a look; may be repeated (all, in turn)"
    )
    command.add_argument(
        "--count",
        type=positive_int,
        metavar="N",
        help="how many pictures, the looks in turn (4, or one for each look when more are named)",
    )
    command.add_argument("--engine", choices=get_args(EngineName), default="auto", metavar="auto|studio|instantid")
    add_instantid_options(command)
    command.add_argument(
        "--face", type=non_negative_int, metavar="INDEX", help="who is meant, when a photo shows several"
    )
    command.add_argument("--seed", type=non_negative_int, default=0, metavar="N", help="same seed, same pictures (0)")
    command.add_argument("--size", choices=("preview", "4k"), default="preview", help="4k: 3,840 px high (preview)")
    command.add_argument("--format", choices=("jpeg", "png"), default="jpeg", help="(jpeg)")
    command.add_argument("--sign-key", type=Path, metavar="PEM", help="key that signs the pictures (one for tests)")
    command.add_argument("--sign-certificates", type=Path, metavar="PEM", help="its certificates, its own first")
    command.add_argument("--square", action="store_true", help="square pictures instead of 4:5")
    command.add_argument("--json", action="store_true", help="print the manifest")


def add_upscale(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, metavar="IN", help="JPEG, PNG, WebP or HEIC")
    command.add_argument("target", type=Path, metavar="OUT", help="file to write: .png, or .jpg at quality 95")
    command.add_argument(
        "--tile", type=positive_int, metavar="N", help="tiles of N x N px at most; smaller needs less memory"
    )
    command.add_argument(
        "--blend", type=share, default=0.0, metavar="0..1", help="how much plain enlargement is mixed in"
    )
    command.add_argument(
        "--grain", type=non_negative_int, default=0, metavar="N", help="deviation of added grain, of 255 (0)"
    )
    command.add_argument("--network", type=Path, metavar="FILE", help="another x4 network than the fetched one")
    command.add_argument("--json", action="store_true", help="print size and seconds as JSON")


def non_negative_int(text: str) -> int:
    """Parse a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def positive_int(text: str) -> int:
    """Parse a whole number, 1 or more."""
    if non_negative_int(text) == 0:
        raise argparse.ArgumentTypeError("0 pictures are no pictures")
    return int(text)


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def main(words: Sequence[str]) -> int:
    """Run one command and return its exit status.

    Only the command's own modules are loaded."""
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
        # The reader of the output has exited (`| head`). Without this, Python would report the error again when it
        # flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
