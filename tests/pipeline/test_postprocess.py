"""Finishing behind the work: order, overlap, bounds, and what happens when either side fails."""

import io
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import Canceled, Reason
from pipeline.files.signing import make_test_identity
from pipeline.imaging.skin import skin_of
from pipeline.postprocess import PostProcessor, map_in_background, process_picture
from pipeline.quality.gate import build_gate_reference
from pipeline.types import DigitalSource, Job, Picture, Shot, Size, SourcePhoto, StyleSpec, Subject
from tests.helpers import photos


def test_results_come_in_order_whichever_is_finished_first():
    def finish(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        return 10 * number

    assert list(map_in_background(range(5), finish, threads=3, max_in_flight=3)) == [0, 10, 20, 30, 40]


def test_the_next_is_made_while_the_last_is_finished():
    second_was_asked_for = threading.Event()

    def make() -> Iterator[int]:
        yield 1
        second_was_asked_for.set()
        yield 2

    def finish(number: int) -> int:
        assert second_was_asked_for.wait(10)
        return number

    assert list(map_in_background(make(), finish, threads=1, max_in_flight=1)) == [1, 2]


def test_no_more_wait_than_are_allowed():
    made, finished, lag = 0, 0, 0

    def make() -> Iterator[int]:
        nonlocal made, lag
        for number in range(12):
            lag = max(lag, made - finished)
            made += 1
            yield number

    def finish(number: int) -> int:
        nonlocal finished
        time.sleep(0.01)
        finished += 1
        return number

    assert list(map_in_background(make(), finish, threads=1, max_in_flight=3)) == list(range(12))
    assert 1 <= lag <= 3


def test_a_failure_in_a_thread_is_raised_and_the_rest_is_dropped():
    begun: list[int] = []

    def finish(number: int) -> int:
        begun.append(number)
        time.sleep(0.02)
        if number == 1:
            raise ValueError("a bad one")
        return number

    results = map_in_background(range(100), finish, threads=1, max_in_flight=4)

    assert next(results) == 0
    with pytest.raises(ValueError, match="a bad one"):
        list(results)
    assert len(begun) < 8


def test_who_makes_may_stop_the_work():
    def make() -> Iterator[int]:
        yield 0
        raise Canceled

    with pytest.raises(Canceled):
        list(map_in_background(make(), lambda number: number, threads=2, max_in_flight=2))


def test_who_stops_listening_leaves_nothing_running():
    before = threading.active_count()
    results = map_in_background(range(10), lambda number: number, threads=2, max_in_flight=2)

    next(results)
    results.close()

    assert threading.active_count() == before


def test_limits_and_correction_follow_the_source_that_the_engine_declares(finder, embedder):
    """The same face, drawn or composed. Only a drawn one may be lighter than the photo, and is corrected."""
    pixels = photos.astronaut()
    photo = SourcePhoto(pixels, finder.find(pixels)[0])
    reference = build_gate_reference([photo], embedder)
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) + np.float32([11, 0, 0])
    lighter = (np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1) * 255).astype(np.uint8)
    post_processor = PostProcessor(finder, embedder, make_test_identity("A test"), b"k" * 32, versions=False)
    job = Job(Subject("any", Size(512, 512)), Shot(0, StyleSpec("any", "Any"), seed=0))

    drawn, composed = (
        process_picture(Picture(job, lighter, source), reference, post_processor)
        for source in (DigitalSource.TRAINED, DigitalSource.COMPOSITE)
    )

    assert (composed.judgment.reasons, composed.files) == ((Reason.SKIN_TONE,), None)
    assert drawn.judgment.accepted
    assert drawn.files is not None
    written = np.asarray(Image.open(io.BytesIO(drawn.files.full)).convert("RGB"))
    assert skin_of(written, photo.face).lightness < skin_of(lighter, photo.face).lightness - 3
