"""Whose turn it is to write, where only one may write at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import connection, transaction


@contextmanager
def queued_transaction() -> Iterator[None]:
    """A transaction that on SQLite waits for its turn before it begins.

    SQLite itself sleeps up to 0.1 s between two looks at its lock, which lies idle meanwhile, and of two processes one
    may starve. The kernel wakes the next one at once. Writers that do not stand in line wait as they always did."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        # Whoever writes already must not wait for those who wait for it.
        with transaction.atomic():
            yield
        return
    line = os.open(f"{connection.settings_dict['NAME']}-write-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(line, fcntl.LOCK_EX)
        with transaction.atomic():
            # The first that follows the commit: messages to workers are sent while the next one writes.
            transaction.on_commit(partial(fcntl.flock, line, fcntl.LOCK_UN))
            yield
    finally:
        # The kernel lets go of it however we end.
        os.close(line)
