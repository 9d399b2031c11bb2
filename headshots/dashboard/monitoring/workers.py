"""Track workers and beat: each records itself in the database every few seconds.

The reports do not use the broker, so workers are still seen when the broker is down. A thread reports only while the
heartbeat of its process is alive. A stuck process therefore stops reporting, like a process that has exited.
"""

import logging
import resource
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from celery import signals
from django.db import DatabaseError, connection
from django.utils import timezone

from headshots import engine
from headshots.dashboard.models import Worker
from headshots.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
# A worker that has not reported for longer than this counts as offline.
OFFLINE_AFTER = timedelta(seconds=30)
# An offline worker that is not restarted is no longer listed after this time.
LISTED_FOR = timedelta(hours=1)


@dataclass
class WorkerReporter:
    """A reporter that records a process in the database while the heartbeat of the process is alive."""

    name: str
    heartbeat: Heartbeat
    started_at: datetime

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._report_until_stopped, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def unregister(self) -> None:
        """Stop reporting and delete the row of the process, because the process shuts down in an orderly way."""
        self._stop.set()
        self._thread.join(REPORT_SECONDS)
        Worker.objects.filter(name=self.name).delete()

    def report(self) -> None:
        queue = self.name.partition("@")[0]
        facts: dict[str, object] = {"queue": queue, "started_at": self.started_at, "busy": self.heartbeat.is_busy}
        if queue == "render":
            device = engine.device()
            facts |= {
                "engine": engine.engine_name(),
                "device": device.name,
                "device_used_bytes": device.used_bytes,
                "device_total_bytes": device.total_bytes,
            }
        facts |= {"memory_bytes": memory_bytes(), "last_seen": timezone.now()}
        Worker.objects.update_or_create(name=self.name, defaults=facts)

    def _report_until_stopped(self) -> None:
        while not self._stop.is_set():
            if self.heartbeat.is_alive:
                try:
                    self.report()
                except DatabaseError as error:
                    log.warning("this worker could not report its heartbeat: %s", type(error).__name__)
                    connection.close()
            self._stop.wait(REPORT_SECONDS)
        connection.close()


def start_reporting(name: str, heartbeat: Heartbeat) -> None:
    """Start reporting this process, as a callback of `heartbeat.on_start`. name: its node name."""
    reporter = WorkerReporter(name, heartbeat, timezone.now())
    # Celery keeps weak references to receivers by default, and nothing else refers to this one.
    signals.worker_shutdown.connect(lambda **_: reporter.unregister(), weak=False)
    reporter.start()


def memory_bytes() -> int:
    """Return the resident memory of this process in bytes. Returns its peak on systems without /proc."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def recent_workers() -> list[Worker]:
    """Return all workers, and beat, that reported within the last hour."""
    return list(Worker.objects.filter(last_seen__gt=timezone.now() - LISTED_FOR))


def is_offline(worker: Worker) -> bool:
    return timezone.now() - worker.last_seen > OFFLINE_AFTER
