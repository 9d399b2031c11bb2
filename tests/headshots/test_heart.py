"""When a worker's heart beats, and what stops it."""

import time
from pathlib import Path

import pytest

from headshots import heart


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(clock: Clock) -> heart.Heart:
    return heart.Heart(hang_seconds=300, clock=clock)


def test_an_idle_heart_beats_while_the_main_loop_comes_round(worker: heart.Heart, clock: Clock) -> None:
    for _ in range(100):
        clock.now += 2
        worker.sign()
        assert worker.beats


def test_an_idle_heart_stops_with_the_main_loop(worker: heart.Heart, clock: Clock) -> None:
    clock.now += heart.IDLE_SECONDS + 1

    assert not worker.beats


def test_a_task_may_be_silent_for_the_hang_seconds_and_no_longer(worker: heart.Heart, clock: Clock) -> None:
    worker.task_began()

    clock.now += 299
    assert worker.beats
    clock.now += 2
    assert not worker.beats


def test_progress_starts_the_time_of_a_task_again(worker: heart.Heart, clock: Clock) -> None:
    worker.task_began()
    clock.now += 299

    worker.sign()

    clock.now += 299
    assert worker.beats


def test_after_a_task_the_main_loop_counts_again(worker: heart.Heart, clock: Clock) -> None:
    worker.task_began()
    clock.now += 200
    worker.task_ended()

    clock.now += heart.IDLE_SECONDS + 1

    assert not worker.beats


def test_the_file_is_touched_while_the_heart_beats_and_ages_after(tmp_path: Path, clock: Clock) -> None:
    worker = heart.Heart(hang_seconds=300, clock=clock)
    file = tmp_path / "run" / "render.heart"

    worker.keep(file)

    deadline = time.monotonic() + 5
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    clock.now += 1000
    time.sleep(0.1)
    stopped_at = file.stat().st_mtime_ns
    time.sleep(heart.TOUCH_SECONDS + 0.2)
    assert file.stat().st_mtime_ns == stopped_at


def test_progress_outside_of_a_worker_is_allowed() -> None:
    heart.progress()
