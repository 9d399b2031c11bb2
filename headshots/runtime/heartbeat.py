"""A sign of life for whoever supervises a process: one file, touched only while the process still gets somewhere.

A busy solo worker answers no ping and ignores time limits, so its supervisor looks at the file's age instead. An idle
worker lives through its main loop, which must come round every few seconds (or through its tries to reach a broker
that is away, `headshots/runtime/consumer.py`); a busy one through its task, which must
report progress (`heart.progress()`) at least every HEADSHOTS_HANG_SECONDS; one that loads its models, at least every
HEADSHOTS_LOAD_SECONDS. A thread touches the file as long as the last sign is fresh, so a stuck loop, a stuck task and a
stopped process all look the same: a file that ages.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from celery import signals
from django.conf import settings

TOUCH_SECONDS = 2.0
# Celery's main loop sends its own heartbeat every two seconds; a slow machine may miss a few.
IDLE_SECONDS = 15.0


class Heart:
    """Whether a worker still gets somewhere, from what it did last and when.

    hang_seconds: how long a running task may go without progress. clock: seconds that never go back."""

    def __init__(self, hang_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._hang_seconds = hang_seconds
        self._clock = clock
        # None while idle.
        self._task_patience_seconds: float | None = None
        self._last_sign = clock()

    def task_began(self, patience_seconds: float | None = None) -> None:
        """patience_seconds: how long this one may go without progress, where that is not as long as any other."""
        self._task_patience_seconds = patience_seconds or self._hang_seconds
        self.sign()

    def task_ended(self) -> None:
        self._task_patience_seconds = None
        self.sign()

    def sign(self) -> None:
        self._last_sign = self._clock()

    @property
    def is_busy(self) -> bool:
        return self._task_patience_seconds is not None

    @property
    def beats(self) -> bool:
        allowed = IDLE_SECONDS if self._task_patience_seconds is None else self._task_patience_seconds
        return self._clock() - self._last_sign <= allowed

    def keep(self, file: Path) -> None:
        """Touch `file` every TOUCH_SECONDS for as long as the heart beats; returns at once, a thread does it."""
        threading.Thread(target=self._touch_while_beating, args=(file,), name="heart", daemon=True).start()

    def _touch_while_beating(self, file: Path) -> None:
        while True:
            # A heart that stopped may start again: a task that was only slow is not dead until somebody kills it.
            if self.beats:
                touch(file)
            time.sleep(TOUCH_SECONDS)


_worker: Heart | None = None
_beat: Heart | None = None
_loading = False
# The heart that this process has, by its node name, and who wants to know of it.
_hearts: dict[str, Heart] = {}
_listeners: list[Callable[[str, Heart], None]] = []


def progress() -> None:
    """Say that the running task got somewhere. Does nothing outside a worker."""
    if _worker is not None:
        _worker.sign()


def touch(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)


def heart_file(name: str) -> Path:
    run_dir: Path = settings.HEADSHOTS_RUN_DIR
    return run_dir / f"{name}.heart"


def when_it_starts(tell: Callable[[str, Heart], None]) -> None:
    """Calls `tell(node name, heart)` as soon as this process turns out to be a worker or beat; else never."""
    _listeners.append(tell)
    for node, one in _hearts.items():
        tell(node, one)


def _started(node: str, one: Heart) -> None:
    _hearts[node] = one
    for tell in _listeners:
        tell(node, one)


def listen() -> None:
    """Wire the hearts of this process's worker or beat, whichever it turns out to be."""
    signals.worker_ready.connect(_start_worker_heart)
    signals.heartbeat_sent.connect(_main_loop_came_round)
    signals.task_prerun.connect(_task_began)
    signals.task_postrun.connect(_task_ended)
    signals.beat_init.connect(_start_beat_heart)


def begin_loading(node: str) -> None:
    """The heart of a worker that loads its models before it takes its first task.

    It may be silent for longer than a task: compiling one network is a single step of minutes."""
    global _worker, _loading
    _worker, _loading = Heart(hang_seconds=settings.HEADSHOTS_HANG_SECONDS), True
    _worker.task_began(settings.HEADSHOTS_LOAD_SECONDS)
    _keep_worker(node, _worker)


def _start_worker_heart(sender: object, **_signal: object) -> None:
    global _worker, _loading
    if _worker is None:
        _worker = Heart(hang_seconds=settings.HEADSHOTS_HANG_SECONDS)
        _keep_worker(getattr(sender, "hostname", "worker@here"), _worker)
    # Celery says "ready" again after each reconnect to the broker.
    elif _loading:
        _worker.task_ended()
    _loading = False


def _keep_worker(node: str, worker: Heart) -> None:
    worker.keep(heart_file(node.partition("@")[0]))
    _started(node, worker)


def _main_loop_came_round(**_signal: object) -> None:
    progress()


def _task_began(**_signal: object) -> None:
    if _worker is not None:
        _worker.task_began()


def _task_ended(**_signal: object) -> None:
    if _worker is not None:
        _worker.task_ended()


def _start_beat_heart(**_signal: object) -> None:
    global _beat
    _beat = Heart(hang_seconds=settings.HEADSHOTS_HANG_SECONDS)
    _beat_published()
    _started(f"beat@{socket.gethostname()}", _beat)
    # Only a message that reached the broker counts: a beat that ticks and delivers nothing is as good as dead.
    signals.after_task_publish.connect(_beat_published)


def _beat_published(**_signal: object) -> None:
    touch(heart_file("beat"))
    if _beat is not None:
        _beat.sign()
