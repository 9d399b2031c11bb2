"""Heartbeat of a process for its supervisor: one file, touched only while the process makes progress.

A busy solo worker answers no ping and ignores time limits, so its supervisor checks the age of the file instead.
An idle worker records a heartbeat in its main loop every few seconds. While it reconnects to the broker, each attempt
records one (`headshots/runtime/consumer.py`). A running task must call `heartbeat.record_progress()` at least every
HEADSHOTS_TASK_STALL_TIMEOUT seconds. A worker that loads its models has HEADSHOTS_MODEL_LOAD_TIMEOUT seconds.
A thread touches the file while the last record is fresh. A stuck loop, a stuck task and a stopped process all look
the same: the file is not touched.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from celery import signals
from django.conf import settings

TOUCH_INTERVAL_SECONDS = 2.0
# Celery's main loop sends its own heartbeat every two seconds; a slow machine may miss a few.
IDLE_TIMEOUT_SECONDS = 15.0


class Heartbeat:
    """The record of the last progress of a worker or of beat.

    stall_timeout_seconds: how long a running task may go without progress. clock: a monotonic clock, in seconds."""

    def __init__(self, stall_timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_timeout_seconds = stall_timeout_seconds
        self._clock = clock
        # None while idle.
        self._task_timeout_seconds: float | None = None
        self._last_alive_at = clock()

    def task_started(self, timeout_seconds: float | None = None) -> None:
        """Record the start of a task. timeout_seconds: its own limit without progress, instead of the usual one."""
        self._task_timeout_seconds = timeout_seconds or self._stall_timeout_seconds
        self.record()

    def task_ended(self) -> None:
        self._task_timeout_seconds = None
        self.record()

    def record(self) -> None:
        self._last_alive_at = self._clock()

    @property
    def is_busy(self) -> bool:
        return self._task_timeout_seconds is not None

    @property
    def is_alive(self) -> bool:
        allowed = IDLE_TIMEOUT_SECONDS if self._task_timeout_seconds is None else self._task_timeout_seconds
        return self._clock() - self._last_alive_at <= allowed

    def start_touching(self, file: Path) -> None:
        """Start a thread that touches `file` every TOUCH_INTERVAL_SECONDS while the worker is alive."""
        threading.Thread(target=self._touch_while_alive, args=(file,), name="heartbeat", daemon=True).start()

    def _touch_while_alive(self, file: Path) -> None:
        while True:
            # The heartbeat can resume: a slow task is only dead once the supervisor has killed it.
            if self.is_alive:
                touch(file)
            time.sleep(TOUCH_INTERVAL_SECONDS)


_worker: Heartbeat | None = None
_beat: Heartbeat | None = None
_loading = False
# The heartbeat of this process by its node name, and callbacks for its start.
_heartbeats: dict[str, Heartbeat] = {}
_listeners: list[Callable[[str, Heartbeat], None]] = []


def record_progress() -> None:
    """Record that the running task made progress. Does nothing outside a worker."""
    if _worker is not None:
        _worker.record()


def touch(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)


def heartbeat_file(name: str) -> Path:
    run_dir: Path = settings.HEADSHOTS_RUN_DIR
    return run_dir / f"{name}.heartbeat"


def on_start(callback: Callable[[str, Heartbeat], None]) -> None:
    """Call `callback(node name, heartbeat)` once this process starts as a worker or as beat."""
    _listeners.append(callback)
    for node, one in _heartbeats.items():
        callback(node, one)


def _notify_listeners(node: str, one: Heartbeat) -> None:
    _heartbeats[node] = one
    for callback in _listeners:
        callback(node, one)


def connect_signals() -> None:
    """Connect the heartbeat of this process to Celery's signals: a worker's or beat's."""
    signals.worker_ready.connect(_start_worker_heartbeat)
    signals.heartbeat_sent.connect(_on_main_loop_tick)
    signals.task_prerun.connect(_on_task_start)
    signals.task_postrun.connect(_on_task_end)
    signals.beat_init.connect(_start_beat_heartbeat)


def start_loading_models(node: str) -> None:
    """Start the heartbeat of a worker that loads its models before it takes its first task.

    Loading has a longer timeout than a task, because compiling one network is a single step of minutes."""
    global _worker, _loading
    _worker, _loading = Heartbeat(stall_timeout_seconds=settings.HEADSHOTS_TASK_STALL_TIMEOUT), True
    _worker.task_started(settings.HEADSHOTS_MODEL_LOAD_TIMEOUT)
    _publish_worker_heartbeat(node, _worker)


def _start_worker_heartbeat(sender: object, **_signal: object) -> None:
    global _worker, _loading
    if _worker is None:
        _worker = Heartbeat(stall_timeout_seconds=settings.HEADSHOTS_TASK_STALL_TIMEOUT)
        _publish_worker_heartbeat(getattr(sender, "hostname", "worker@here"), _worker)
    # Celery sends worker_ready again after each reconnect to the broker.
    elif _loading:
        _worker.task_ended()
    _loading = False


def _publish_worker_heartbeat(node: str, worker: Heartbeat) -> None:
    worker.start_touching(heartbeat_file(node.partition("@")[0]))
    _notify_listeners(node, worker)


def _on_main_loop_tick(**_signal: object) -> None:
    record_progress()


def _on_task_start(**_signal: object) -> None:
    if _worker is not None:
        _worker.task_started()


def _on_task_end(**_signal: object) -> None:
    if _worker is not None:
        _worker.task_ended()


def _start_beat_heartbeat(**_signal: object) -> None:
    global _beat
    _beat = Heartbeat(stall_timeout_seconds=settings.HEADSHOTS_TASK_STALL_TIMEOUT)
    _on_beat_publish()
    _notify_listeners(f"beat@{socket.gethostname()}", _beat)
    # Only a message that reached the broker counts, because a beat that delivers nothing has to be restarted.
    signals.after_task_publish.connect(_on_beat_publish)


def _on_beat_publish(**_signal: object) -> None:
    touch(heartbeat_file("beat"))
    if _beat is not None:
        _beat.record()
