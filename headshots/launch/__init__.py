"""Paths, locks and output that run.py uses. Standard library only."""

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
    """A fault that keeps run.py from continuing. The message is one sentence with the fault and its fix."""


def echo(text: str) -> None:
    # stdout is reserved for requested output: the address, or a command's JSON.
    print(text, file=sys.stderr, flush=True)


def die_with_parent() -> None:
    """Ask the kernel to kill this child as soon as its parent has ended (Linux only).

    Called between fork and exec."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def folder_lock(folder: Path, *, wait: bool) -> Iterator[int]:
    """Lock a folder and yield the descriptor that holds the lock.

    The kernel releases the lock once no process has the descriptor open, even after a crash.
    Raises BlockingIOError if another process holds the lock and `wait` is False."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            echo("Another run.py is setting up this folder. Waiting for it to finish.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def fingerprint(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
