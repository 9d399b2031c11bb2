"""A Celery consumer that records heartbeats while it reconnects to the broker.

Celery's main loop stands still meanwhile. Without this the operator would see every worker die with the broker, and
whoever supervises them would kill them, while all they can do is wait.
"""

from collections.abc import Callable
from typing import cast

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.connection import Connection

from headshots.runtime import heartbeat


class Consumer(CeleryConsumer):
    """Celery's own, named in `headshots/celery.py`."""

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
