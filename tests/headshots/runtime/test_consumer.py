"""What our consumer needs of Celery and kombu: how they connect, and that they call back while they wait."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from headshots.runtime import heartbeat
from headshots.runtime.consumer import Consumer


class Recorder:
    """Counts heartbeats in place of a worker's."""

    def __init__(self) -> None:
        self.records = 0

    def record(self) -> None:
        self.records += 1


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(heartbeat, "_worker", recorder)
    return recorder


@pytest.fixture
def consumer() -> Consumer:
    """A consumer that gives up after one retry, without the rest of a worker."""
    app = Celery("tests", set_as_current=False)
    app.conf.update(broker_connection_max_retries=1, broker_connection_retry_on_startup=True)
    bare = object.__new__(Consumer)
    bare.app, bare.first_connection_attempt, bare.broker_connection_retry_attempt = app, True, 0
    return bare


def test_a_worker_whose_broker_is_away_records_heartbeats_while_it_waits(consumer: Consumer, worker: Recorder) -> None:
    connection = Connection("redis://127.0.0.1:9/0")

    with pytest.raises(OperationalError):
        consumer.ensure_connected(connection)

    assert worker.records >= 1
    # The next attempt wraps kombu's own method again.
    assert "ensure_connection" not in vars(connection)


def test_celery_connects_through_the_method_that_is_wrapped(consumer: Consumer, worker: Recorder) -> None:
    calls: list[int] = []

    def ensure_connection(errback: object, max_retries: int, callback: Callable[[], None]) -> str:
        calls.append(max_retries)
        callback()
        return "connected"

    connection = cast(Connection, SimpleNamespace(ensure_connection=ensure_connection))

    connected = consumer.ensure_connected(connection)

    assert str(connected) == "connected"
    assert (calls, worker.records) == ([1], 1)
