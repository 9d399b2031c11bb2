"""The folder of weights: verify its files, and lock it for one writer."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.errors import WeightsError
from pipeline.weights.catalog import PinnedFile

DEFAULT_DIR = Path.home() / ".cache" / "headshots" / "weights"
FETCH_COMMAND = "python -m pipeline weights fetch"
STAGING_PREFIX = ".fetch-"
# An interrupted download, which a later fetch resumes.
PARTIAL_PREFIX = ".partial-"
LOCK_FILE = "weights.lock.json"


@dataclass(frozen=True)
class Pin:
    """The facts about a file when it was first fetched.

    Attributes:
        revision: the hub's commit, or empty.
        converted_from: sha256 of the file it was converted from, or empty.
    """

    bytes: int
    sha256: str
    revision: str = ""
    converted_from: str = ""


@dataclass(frozen=True)
class FolderLock:
    """The contents of weights.lock.json: what the catalog leaves open.

    Attributes:
        files: pins by the file's name in the folder.
        installed: groups that were once fetched completely.
    """

    files: dict[str, Pin] = field(default_factory=dict)
    installed: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: Path) -> "FolderLock":
        """Read the folder's lock, or return an empty one if there is none.

        Raises WeightsError if the lock cannot be parsed."""
        path = directory / LOCK_FILE
        try:
            table = json.loads(path.read_text("utf-8"))
            return cls({name: Pin(**pin) for name, pin in table["files"].items()}, tuple(table["installed"]))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"The lock {path} cannot be read ({error}). Fix: delete it and fetch again.") from error

    def write(self, directory: Path) -> None:
        """Replace the folder's lock atomically."""
        draft = directory / f"{STAGING_PREFIX}{LOCK_FILE}"
        draft.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", "utf-8")
        draft.replace(directory / LOCK_FILE)


def find_fault(pinned: PinnedFile, directory: Path, pin: Pin | None = None) -> str | None:
    """Return how the local file differs from the pinned one, or None.

    The text is worded to follow the file's name. The catalog's values count first, then the folder's pin. A file that
    neither pins is a fault."""
    size, digest = pinned.bytes, pinned.sha256
    if pin is not None:
        size, digest = size or pin.bytes, digest or pin.sha256
    return compare(directory / pinned.file, size, digest)


def compare(path: Path, size: int | None, digest: str | None) -> str | None:
    """Return how a file differs from this size and sha256, or None.

    The text is worded to follow the file's name."""
    try:
        found = path.stat().st_size
        if size is not None and found != size:
            return f"is {found} bytes long instead of {size}"
        if digest is None:
            return "has no known checksum and must be fetched first"
        return None if sha256_of(path) == digest else "is not the pinned file: its sha256 differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold the directory's lock for the block; other processes wait.

    The kernel releases the lock if the process ends."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove_leftovers(directory: Path) -> None:
    """Delete files of an interrupted fetch that cannot be resumed.

    The caller must hold the directory's lock."""
    for leftover in directory.glob(f"{STAGING_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
