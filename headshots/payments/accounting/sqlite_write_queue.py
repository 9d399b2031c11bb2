"""Queue writers on SQLite, where only one can write at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import connection, transaction


@contextmanager
def queued_transaction() -> Iterator[None]:
    """Open a transaction; on SQLite, queue for a file lock first.

    SQLite polls its lock with sleeps of up to 0.1 s, so waiting writers can starve. The kernel hands a file lock over
    immediately. Writers that do not use this context manager are unaffected."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        # A writer inside a transaction must not wait for writers that wait for that transaction.
        with transaction.atomic():
            yield
        return
    lock_file = os.open(f"{connection.settings_dict['NAME']}-write-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        with transaction.atomic():
            # The first callback after the commit, so that the next writer can start before messages are sent.
            transaction.on_commit(partial(fcntl.flock, lock_file, fcntl.LOCK_UN))
            yield
    finally:
        # Also releases the lock after an error.
        os.close(lock_file)
