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
# What a cut-off download left, to be gone on with.
PARTIAL_PREFIX = ".partial-"
LOCK_FILE = "weights.lock.json"


@dataclass(frozen=True)
class Pin:
    """What a file was when it first came: size, sha256, the hub's commit, the sha256 of what it was converted from."""

    bytes: int
    sha256: str
    revision: str = ""
    converted_from: str = ""


@dataclass(frozen=True)
class FolderLock:
    """What the catalog leaves open, pinned in the folder: files by their name there, and the groups once complete."""

    files: dict[str, Pin] = field(default_factory=dict)
    installed: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: Path) -> "FolderLock":
        """The folder's lock, an empty one where there is none. Raises WeightsError when it cannot be understood."""
        path = directory / LOCK_FILE
        try:
            table = json.loads(path.read_text("utf-8"))
            return cls({name: Pin(**pin) for name, pin in table["files"].items()}, tuple(table["installed"]))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"The lock {path} cannot be read ({error}). Fix: delete it and fetch again.") from error

    def write(self, directory: Path) -> None:
        """Puts this lock in the place of the folder's."""
        draft = directory / f"{STAGING_PREFIX}{LOCK_FILE}"
        draft.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", "utf-8")
        draft.replace(directory / LOCK_FILE)


def find_fault(pinned: PinnedFile, directory: Path, pin: Pin | None = None) -> str | None:
    """How the local file differs from the pinned one, worded to follow its name; None when it does not.

    The catalog's word counts first, then the folder's own pin. A file that neither knows is not to be trusted."""
    size, digest = pinned.bytes, pinned.sha256
    if pin is not None:
        size, digest = size or pin.bytes, digest or pin.sha256
    return compare(directory / pinned.file, size, digest)


def compare(path: Path, size: int | None, digest: str | None) -> str | None:
    """How a file differs from this size and sha256, worded to follow its name; None when it does not."""
    try:
        found = path.stat().st_size
        if size is not None and found != size:
            return f"is {found} bytes long instead of {size}"
        if digest is None:
            return "was never fetched, so nobody knows what it should be"
        return None if sha256_of(path) == digest else "is not the file that was pinned: its sha256 differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Lets one process at a time into the block; the others wait. The kernel frees it when a process dies."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove_leftovers(directory: Path) -> None:
    """Deletes what a fetch that was killed left behind and cannot go on with. Only for the holder of the lock."""
    for leftover in directory.glob(f"{STAGING_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
