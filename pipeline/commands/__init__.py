"""The command line: one module per command, each with `run(arguments) -> exit status`.

What all commands share stands here: exit statuses, errors, photo files, progress.
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
# As the shell counts: 128 and the signal that would have ended a program without manners.
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_STATUSES = """\
exit status:
  0  done; every photo can be used
  1  a photo is refused, or a picture did not pass the likeness gate
  2  a photo shows several people: choose one with --face
  3  the call cannot be carried out: wrong option, missing file, missing weight
"""


class CommandFailed(PipelineError):
    """Ends the command with one line for the person and an exit status."""

    def __init__(self, message: str, status: int = USAGE_ERROR) -> None:
        super().__init__(message)
        self.status = status


def open_weights(arguments: argparse.Namespace) -> Weights:
    """The folder of weights that the command was given, read by the built-in catalog and the one given beside it."""
    catalog = CATALOG.with_changes(load_catalog(arguments.catalog)) if arguments.catalog else CATALOG
    return Weights(arguments.weights, catalog)


def read_options(arguments: argparse.Namespace) -> InstantIDOptions:
    """What the command was told about the InstantID engine. Raises CommandFailed for what cannot be meant."""
    options = InstantIDOptions(
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        # A command ends long before minutes of compiling have paid.
        optimizations=("-compile", *arguments.optimization),
        steps=arguments.steps,
        canvas_pixels=arguments.canvas_pixels,
    )
    if options.fault:
        raise CommandFailed(options.fault)
    return options


def read_photo(path: Path) -> bytes:
    """The file's bytes, at most one more than intake takes. Raises CommandFailed when there is no such file."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        # A pipe would keep us waiting for ever.
        raise CommandFailed(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            return file.read(PhotoLimits().max_bytes + 1)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """The file is whole or not there. Raises CommandFailed."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error


def describe_face(index: int, face: Face) -> str:
    """One line: the face's number for --face and where it is."""
    box = face.box
    return f"  face {index}: {box.width:.0f} x {box.height:.0f} px at left {box.left:.0f}, top {box.top:.0f}"


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def echo(message: str) -> None:
    """A line for the person, above a progress bar if there is one; stdout is kept for results."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Keeps native libraries from writing to stderr while they are loaded: TensorFlow Lite says hello there."""
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
    """A bar on stderr, drawn only when that is a terminal, and gone when the work is done."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    form = "{desc}: {bar} {n:.0f}/{total:.0f} {unit} [{elapsed}]"
    with tqdm(desc=description, total=total, unit=unit, disable=not shown, leave=False, bar_format=form) as bar:
        yield bar


def advance(bar: "tqdm[Never]") -> Progress:
    """A progress callback that moves the bar to its share of the whole."""

    def on_progress(share: float) -> None:
        bar.n = share * (bar.total or 0)
        bar.refresh()

    return on_progress
