"""The commands: one module per command, each with a function `run(arguments)` that returns the exit status.

This module contains what commands share: exit statuses, errors, reading and writing files, and progress bars.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Never

from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.errors import PipelineError
from pipeline.photos.intake import PhotoLimits
from pipeline.types import Face, Progress
from pipeline.weights import CATALOG, Weights, load_catalog

if TYPE_CHECKING:
    from tqdm import tqdm

DONE = 0
REFUSED = 1
CHOOSE_FACE = 2
USAGE_ERROR = 3
# As in the shell: 128 plus the number of the signal.
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_STATUSES = """\
exit status:
  0  success; every photo can be used
  1  a photo was refused, a picture failed the quality gate, or the engine cannot run
  2  a photo shows several people; choose one with --face
  3  the command could not run: invalid option, missing file or missing weight
"""


class CommandFailed(PipelineError):
    """Raised to end the command with a message for the user and an exit status.

    Attributes:
        status: exit status of the command.
    """

    def __init__(self, message: str, status: int = USAGE_ERROR) -> None:
        super().__init__(message)
        self.status = status


def open_weights(arguments: argparse.Namespace) -> Weights:
    """Open the weights folder that the arguments select.

    The catalog is the built-in one, with the entries of --catalog added."""
    catalog = CATALOG.with_changes(load_catalog(arguments.catalog)) if arguments.catalog else CATALOG
    return Weights(arguments.weights, catalog)


def read_options(arguments: argparse.Namespace) -> InstantIDOptions:
    """Return the InstantID options that the arguments select.

    Raises CommandFailed if an option is invalid."""
    options = InstantIDOptions(
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        # Do not compile. A command is too short for minutes of compiling to pay off.
        optimizations=("-compile", *arguments.optimization),
        sampler=arguments.sampler,
        steps=arguments.steps,
        canvas_pixels=arguments.canvas_pixels,
    )
    if options.fault:
        raise CommandFailed(options.fault)
    return options


def read_photo(path: Path) -> bytes:
    """Read a file. Stops at one byte more than the largest upload, so that intake can refuse larger files.

    Raises CommandFailed if the file cannot be read."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Refuse pipes, because reading one could block forever.
        raise CommandFailed(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            return file.read(PhotoLimits().max_bytes + 1)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises CommandFailed."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error


def describe_face(index: int, face: Face) -> str:
    """Return one line with the position of a face and its index for --face."""
    box = face.box
    return f"  face {index}: {box.width:.0f} × {box.height:.0f} px at left {box.left:.0f}, top {box.top:.0f}"


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def echo(message: str) -> None:
    """Print a line to stderr, above a progress bar if there is one.

    stdout is reserved for results."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Suppress the messages that native libraries write to stderr while they load.

    An example is TensorFlow Lite's start message."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def progress_bar(description: str, total: int = 100, unit: str = "%") -> Iterator["tqdm[Never]"]:
    """Show a progress bar if stderr is a terminal. Removes the bar at the end of the block."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    form = "{desc}: {bar} {n:.0f}/{total:.0f} {unit} [{elapsed}]"
    with tqdm(desc=description, total=total, unit=unit, disable=not shown, leave=False, bar_format=form) as bar:
        yield bar


def advance(bar: "tqdm[Never]") -> Progress:
    """Return a progress callback that moves the bar to the finished fraction."""

    def on_progress(share: float) -> None:
        bar.n = share * (bar.total or 0)
        bar.refresh()

    return on_progress
