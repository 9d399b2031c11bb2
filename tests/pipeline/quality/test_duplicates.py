"""Near-duplicates: what a hash holds, what counts as too near, and which part of a picture is compared."""

import numpy as np
import pytest

from pipeline.quality.duplicates import (
    MIN_DISTANCE,
    Distance,
    Thumbnail,
    distance_between,
    hash_distance,
    is_near_duplicate,
    make_thumbnail,
    nearest,
    perceptual_hash,
)
from pipeline.types import Box, Pixels

WHITE, BLACK, RED = "648080", "008080", "35d0c3"
"""Fields of a hash: L, a + 128 and b + 128."""


def plain(color: tuple[int, int, int]) -> Pixels:
    return np.full((100, 80, 3), color, np.uint8)


def thumbnail(whole: float, subject: float) -> Thumbnail:
    """Two plain gray copies of these lightnesses."""
    return Thumbnail(*(np.full((4, 4, 3), (lightness, 0, 0), np.float32) for lightness in (whole, subject)))


def test_a_hash_is_the_colors_of_twenty_fields_row_by_row() -> None:
    picture = plain((0, 0, 0))
    picture[:20, 20:40] = 255
    picture[80:, 60:] = (255, 0, 0)

    assert perceptual_hash(picture) == BLACK + WHITE + 17 * BLACK + RED
    assert perceptual_hash(np.repeat(picture, 3, axis=1)) == perceptual_hash(picture)


def test_the_distance_of_hashes_is_the_mean_over_the_fields_of_that_in_all_three_channels() -> None:
    # 3 in L and 4 in a are 5 in each of two fields.
    assert hash_distance(20 * "648080", 2 * "617c80" + 18 * "648080") == 0.5
    assert hash_distance(20 * WHITE, 20 * BLACK) == 100
    with pytest.raises(ValueError, match="reshape"):
        hash_distance(20 * WHITE, 19 * WHITE)


def test_pictures_are_too_near_below_the_limit_and_one_such_is_enough() -> None:
    own, far, at_the_limit, near = 20 * "326080", 20 * BLACK, 20 * "346080", 19 * "346080" + "336080"

    assert hash_distance(own, at_the_limit) == MIN_DISTANCE
    assert not is_near_duplicate(own, [])
    assert not is_near_duplicate(own, [far, at_the_limit])
    assert is_near_duplicate(own, [far, near, at_the_limit])


def test_the_nearest_is_that_of_the_whole_picture() -> None:
    own, others = thumbnail(50, 50), [thumbnail(53, 50), thumbnail(48, 41), thumbnail(90, 50)]

    assert distance_between(own, others[0]) == Distance(3, 0)
    assert nearest(own, others) == Distance(2, 9)
    assert nearest(own, []) is None


def test_the_face_is_compared_with_as_much_around_it_on_every_side() -> None:
    face = Box(60, 70, 100, 120)
    around = (slice(70 - 30, 120 + 30), slice(60 - 24, 100 + 24))
    picture = np.zeros((200, 160, 3), np.uint8)
    picture[around] = 255
    picture[44:146, 40:120] = 0

    subject = make_thumbnail(picture, face).subject

    # A rim of white, four pixels wide, is the border of what is compared.
    assert subject.shape == (32, 32, 3)
    for border in (subject[0], subject[-1], subject[:, 0], subject[:, -1]):
        assert border[:, 0].min() > 95
    assert subject[4:-4, 4:-4, 0].max() < 5


def test_a_face_at_the_edge_is_compared_with_what_there_is() -> None:
    picture = plain((255, 255, 255))

    found = make_thumbnail(picture, Box(-10, -10, 90, 110))

    assert found.whole.shape == found.subject.shape == (32, 32, 3)
    assert found.subject[..., 0].min() > 99
