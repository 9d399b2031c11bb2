"""The invisible watermark: found after edits, not found where it is not, and not seen."""

import random

import numpy as np
import pytest

from pipeline.files.watermark import MIN_SCORE, _lightness, _scores, _spectrum, embed, find_watermark
from pipeline.types import Pixels
from tests.helpers import photos
from tests.helpers.edits import EDITS, resize

KEY = b"a key for tests"
ENGINES = ("studio", "instantid")


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return resize(photos.astronaut(), 1024)


@pytest.fixture(scope="module")
def marked(picture: Pixels) -> Pixels:
    return embed(picture, KEY, "studio")


@pytest.mark.parametrize("edit", EDITS)
def test_the_watermark_survives(edit: str, marked: Pixels) -> None:
    found = find_watermark(EDITS[edit](marked, random.Random(1)), [b"another", KEY], ENGINES)

    assert found is not None
    assert (found.key, found.engine) == (1, "studio")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_is_read(engine: str, picture: Pixels) -> None:
    found = find_watermark(embed(picture, KEY, engine), [KEY], ENGINES)

    assert found is not None
    assert found.engine == engine


def test_without_the_key_nothing_is_found(marked: Pixels) -> None:
    assert find_watermark(marked, [b"another key"], ENGINES) is None


def test_a_picture_without_a_watermark_has_none(picture: Pixels) -> None:
    assert find_watermark(picture, [KEY], ENGINES) is None


def test_no_keys_and_no_space_find_nothing(marked: Pixels) -> None:
    assert find_watermark(marked, [], ENGINES) is None
    assert find_watermark(marked[:40, :40], [KEY], ENGINES) is None


@pytest.mark.parametrize("shape", [(1200, 400), (400, 1200), (2000, 1600)])
def test_pictures_of_any_shape_can_be_marked(shape: tuple[int, int]) -> None:
    plain = np.full((*shape, 3), 128, np.uint8)

    assert find_watermark(embed(plain, KEY, "studio"), [KEY], ENGINES) is not None


def test_black_and_white_stay_within_8_bits() -> None:
    white, black = np.full((400, 320, 3), 255, np.uint8), np.zeros((400, 320, 3), np.uint8)

    assert embed(white, KEY, "studio").min() >= 250
    assert embed(black, KEY, "studio").max() <= 5


def test_the_watermark_is_weak_and_gray(picture: Pixels, marked: Pixels) -> None:
    change = marked.astype(int) - picture
    inside = ((picture > 8) & (picture < 247)).all(axis=2)

    assert 10 * np.log10(255**2 / np.mean(change**2)) > 45
    assert abs(change).max() <= 8
    # All three channels change alike, so the hue of skin stays.
    assert (change[inside] == change[inside][:, :1]).all()
    assert abs(change.mean()) < 0.05


def test_the_same_picture_and_key_give_the_same_pixels(picture: Pixels, marked: Pixels) -> None:
    assert np.array_equal(embed(picture, KEY, "studio"), marked)


def test_an_empty_key_is_refused(picture: Pixels) -> None:
    with pytest.raises(ValueError, match="empty"):
        embed(picture, b"", "studio")


def test_scores_of_other_keys_stay_below_the_bound(marked: Pixels) -> None:
    keys = np.stack([_spectrum(bytes([number]), "studio") for number in range(1, 101)])

    scores = _scores(_lightness(marked), 320, keys)

    # 100 keys, 16,384 positions and mirror images: exp(-t²/2) allows a score above 6.5 in one of 450 such tests.
    assert scores.max() < 6.5 < MIN_SCORE
