"""Track workers and beat: each records itself in the database every few seconds.

Not over the broker: when that is away, the others must still be seen to live. A thread does it, and only while the
process' heartbeat is alive, so a stuck process falls silent like a dead one.
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
# Silent for longer than this, a worker counts as dead.
OFFLINE_AFTER = timedelta(seconds=30)
# A dead one that nobody starts again is forgotten.
LISTED_FOR = timedelta(hours=1)


@dataclass
class WorkerReporter:
    """Says that a process lives, for as long as its heartbeat is alive."""

    name: str
    heartbeat: Heartbeat
    started_at: datetime

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._report_until_stopped, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def unregister(self) -> None:
        """The process ends in good order: nobody needs to look for it."""
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
                    log.warning("this worker could not say that it lives: %s", type(error).__name__)
                    connection.close()
            self._stop.wait(REPORT_SECONDS)
        connection.close()


def start_reporting(name: str, heartbeat: Heartbeat) -> None:
    """For `heartbeat.on_start`."""
    reporter = WorkerReporter(name, heartbeat, timezone.now())
    # Weakly held, a receiver that nobody else knows would be gone at once.
    signals.worker_shutdown.connect(lambda **_: reporter.unregister(), weak=False)
    reporter.start()


def memory_bytes() -> int:
    """What this process holds in memory; its peak where the system tells no more."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def recent_workers() -> list[Worker]:
    """All that were seen within the last hour, beat too."""
    return list(Worker.objects.filter(last_seen__gt=timezone.now() - LISTED_FOR))


def is_offline(worker: Worker) -> bool:
    return timezone.now() - worker.last_seen > OFFLINE_AFTER
