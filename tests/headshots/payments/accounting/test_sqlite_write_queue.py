"""Standing in line to write, on SQLite."""

import fcntl
import os
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from headshots.payments.accounting.sqlite_write_queue import queued_transaction

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def line() -> Iterator[int]:
    """The place of another process in the line."""
    file = os.open(f"{connection.settings_dict['NAME']}-write-queue", os.O_RDWR | os.O_CREAT, 0o600)
    yield file
    os.close(file)


def is_next(line: int) -> bool:
    """Whether the other process would get its turn now; it lets go of it at once."""
    try:
        fcntl.flock(line, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(line, fcntl.LOCK_UN)
    return True


def test_the_next_one_writes_while_messages_are_sent(line: int) -> None:
    seen: list[bool] = []

    with queued_transaction():
        transaction.on_commit(lambda: seen.append(is_next(line)))
        seen.append(is_next(line))

    assert seen == [False, True]


def test_a_fault_sends_the_turn_on(line: int) -> None:
    with pytest.raises(ZeroDivisionError), queued_transaction():
        raise ZeroDivisionError

    assert is_next(line)


def test_whoever_writes_already_does_not_wait_for_those_who_wait(line: int) -> None:
    fcntl.flock(line, fcntl.LOCK_EX)

    with transaction.atomic(), queued_transaction():
        written = True

    assert written
