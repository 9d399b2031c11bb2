"""A Celery consumer that records heartbeats while it reconnects to the broker.

Celery's main loop is blocked while the worker reconnects. Without these heartbeats, the supervisor would kill every
worker during an outage of the broker.
"""

from collections.abc import Callable
from typing import cast

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.connection import Connection

from headshots.runtime import heartbeat


class Consumer(CeleryConsumer):
    """Celery's consumer with heartbeats. `worker_consumer` in `headshots/celery.py` names this class."""

    def ensure_connected(self, conn: Connection) -> Connection:
        ensure = cast("Callable[..., Connection]", conn.ensure_connection)

        def ensure_with_heartbeat(errback: object, max_retries: int, callback: Callable[[], None]) -> Connection:
            def on_wait() -> None:
                heartbeat.record_progress()
                callback()

            return ensure(errback, max_retries, callback=on_wait)

        conn.ensure_connection = ensure_with_heartbeat  # type: ignore[method-assign]
        try:
            connected: Connection = super().ensure_connected(conn)  # type: ignore[no-untyped-call]
            return connected
        finally:
            del conn.ensure_connection
