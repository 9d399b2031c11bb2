"""What run.py is made of: paths, locks and output. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RUN_LOCK, TEST_LOCK = "requirements.lock", "requirements-dev.lock"

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


class CannotRun(Exception):
    """Says in one sentence what is in the way and what to do about it."""


def echo(text: str) -> None:
    # stdout is for what was asked for: the address, a command's JSON.
    print(text, file=sys.stderr, flush=True)


def die_with_parent() -> None:
    """Between fork and exec: where the system can (Linux), the child is killed as soon as its parent is gone."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def folder_lock(folder: Path, *, wait: bool) -> Iterator[int]:
    """Yields the descriptor that holds the folder; the kernel lets go of it however we end.

    Raises BlockingIOError when somebody else holds it and `wait` is off."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            echo("Another run.py is setting up here; waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def fingerprint(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
