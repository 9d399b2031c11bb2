"""When a worker's heartbeat is alive, and what stops it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import LazySettings

from headshots.celery import app
from headshots.runtime import heartbeat
from headshots.runtime.celery_settings import broker_url
from tests.helpers.servers import run_valkey, wait_for


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(clock: Clock) -> heartbeat.Heartbeat:
    return heartbeat.Heartbeat(stall_timeout_seconds=300, clock=clock)


def test_an_idle_heartbeat_beats_while_the_main_loop_comes_round(worker: heartbeat.Heartbeat, clock: Clock) -> None:
    for _ in range(100):
        clock.now += 2
        worker.record()
        assert worker.is_alive


def test_an_idle_heartbeat_stops_with_the_main_loop(worker: heartbeat.Heartbeat, clock: Clock) -> None:
    clock.now += heartbeat.IDLE_TIMEOUT_SECONDS + 1

    assert not worker.is_alive


def test_a_task_may_be_silent_for_the_hang_seconds_and_no_longer(worker: heartbeat.Heartbeat, clock: Clock) -> None:
    worker.task_started()

    clock.now += 299
    assert worker.is_alive
    clock.now += 2
    assert not worker.is_alive


def test_progress_starts_the_time_of_a_task_again(worker: heartbeat.Heartbeat, clock: Clock) -> None:
    worker.task_started()
    clock.now += 299

    worker.record()

    clock.now += 299
    assert worker.is_alive


def test_after_a_task_the_main_loop_counts_again(worker: heartbeat.Heartbeat, clock: Clock) -> None:
    worker.task_started()
    clock.now += 200
    worker.task_ended()

    clock.now += heartbeat.IDLE_TIMEOUT_SECONDS + 1

    assert not worker.is_alive


def test_the_file_is_touched_while_the_heartbeat_beats_and_ages_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    monkeypatch.setattr(heartbeat, "TOUCH_INTERVAL_SECONDS", 0.1)
    worker = heartbeat.Heartbeat(stall_timeout_seconds=300, clock=clock)
    file = tmp_path / "run" / "render.heartbeat"

    worker.start_touching(file)

    deadline = time.monotonic() + 5
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert is_touched(file, within=5)
    clock.now += 1000
    time.sleep(0.1)
    assert not is_touched(file, within=0.5)


def test_progress_outside_of_a_worker_is_allowed() -> None:
    heartbeat.record_progress()


# A worker of the real application, with two tasks of its own. Both touch a file when they start.
WORKER = """
import time, django
from pathlib import Path
django.setup()
from headshots.runtime import heartbeat
from headshots.celery import app

heartbeat.TOUCH_INTERVAL_SECONDS = 0.1
heartbeat.IDLE_TIMEOUT_SECONDS = 3.0

@app.task(name="tests.hang")
def hang(seconds, started):
    Path(started).touch()
    time.sleep(seconds)

@app.task(name="tests.plod")
def plod(seconds, started):
    Path(started).touch()
    for _ in range(seconds * 10):
        time.sleep(0.1)
        heartbeat.record_progress()

app.worker_main(["worker", "--pool", "solo", "-Q", "tests", "-n", "tests@%h", "--without-gossip", "--without-mingle"])
"""


class Running(NamedTuple):
    """A real worker with a valkey of its own, which allows its tasks one second of silence."""

    file: Path
    log: Path
    valkey: "subprocess.Popen[bytes]"
    address: str


@pytest.fixture
def running_worker(tmp_path: Path) -> Iterator[Running]:
    folder, log = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp")), tmp_path / "log"
    address = f"unix://{folder / 'v.sock'}"
    own = {
        "HEADSHOTS_TASK_STALL_TIMEOUT": "1",
        "HEADSHOTS_RUN_DIR": str(tmp_path),
        "HEADSHOTS_REDIS_URL": address,
    }
    file = tmp_path / "tests.heartbeat"
    with log.open("w") as out, run_valkey(folder / "v.sock", "--save", "") as valkey:
        worker = subprocess.Popen([sys.executable, "-c", WORKER], env=os.environ | own, stdout=out, stderr=out)
        try:
            wait_for(file.exists, worker, log, 60)
            yield Running(file, log, valkey, address)
        finally:
            worker.kill()
            worker.wait()
    shutil.rmtree(folder)


def is_touched(file: Path, within: float) -> bool:
    """Return True as soon as the file is touched, False if it is not touched within so many seconds."""
    before = file.stat().st_mtime_ns
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if file.stat().st_mtime_ns != before:
            return True
        time.sleep(0.02)
    return False


def start_task(worker: Running, name: str, seconds: int, started: Path) -> None:
    """Have the worker run a task that takes so long, and return as soon as it has started."""
    with app.connection_for_write(broker_url(worker.address)) as connection:
        app.send_task(name, args=[seconds, str(started)], queue="tests", connection=connection)
    deadline = time.monotonic() + 30
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_real_workers_file_ages_while_its_task_hangs_and_not_while_its_broker_is_away(
    running_worker: Running, tmp_path: Path
) -> None:
    file = running_worker.file
    assert is_touched(file, within=5), "idle"

    start_task(running_worker, "tests.plod", 2, tmp_path / "plodding")
    time.sleep(1.3)  # Longer than a task may be silent.
    assert is_touched(file, within=1), "busy, with progress"

    start_task(running_worker, "tests.hang", 4, tmp_path / "hanging")
    time.sleep(1.3)
    assert not is_touched(file, within=1), "hanging"

    assert is_touched(file, within=20), "idle again"

    running_worker.valkey.kill()
    time.sleep(4)  # Longer than the main loop may be silent.

    assert is_touched(file, within=5), running_worker.log.read_text()


def test_one_that_is_known_to_take_longer_may_be_silent_for_longer_this_once(
    worker: heartbeat.Heartbeat, clock: Clock
) -> None:
    worker.task_started(timeout_seconds=1800)
    clock.now += 1799
    assert worker.is_alive

    worker.task_started()
    clock.now += 301
    assert not worker.is_alive


def test_a_worker_that_loads_and_compiles_may_be_silent_for_longer_than_a_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: LazySettings
) -> None:
    settings.HEADSHOTS_RUN_DIR = tmp_path
    kept: list[Path] = []
    # The thread would touch its file for as long as the tests run.
    monkeypatch.setattr(heartbeat.Heartbeat, "start_touching", lambda self, file: kept.append(file))
    monkeypatch.setattr(heartbeat, "_worker", None)
    monkeypatch.setattr(heartbeat, "_loading", False)
    started: list[tuple[str, heartbeat.Heartbeat]] = []
    monkeypatch.setattr(heartbeat, "_heartbeats", {})
    monkeypatch.setattr(heartbeat, "_listeners", [lambda node, one: started.append((node, one))])

    heartbeat.start_loading_models("render@here")
    loading = heartbeat._worker
    assert loading is not None
    loading._last_alive_at -= settings.HEADSHOTS_TASK_STALL_TIMEOUT + 1
    assert loading.is_alive
    loading._last_alive_at -= settings.HEADSHOTS_MODEL_LOAD_TIMEOUT
    assert not loading.is_alive

    heartbeat._start_worker_heartbeat(sender=None)
    assert loading.is_alive
    loading._last_alive_at -= heartbeat.IDLE_TIMEOUT_SECONDS + 1

    assert kept == [tmp_path / "render.heartbeat"]
    assert heartbeat._worker is loading
    assert started == [("render@here", loading)]
    assert not loading.is_alive
