"""What the upscaling network gets to see: a photo at its true resolution, with its faint detail."""

import numpy as np
import pytest

from pipeline.portrait.crop import Frame
from pipeline.portrait.upscaled import CLOTH_BELOW_CHIN, cloth_share, crop_for_network, enlarge_frame, enlarge_photo
from pipeline.types import Box, Face, SourcePhoto, ignore_progress
from pipeline.upscaling.upscale import enlarge_plainly


class PlainNetwork:
    def upscale(self, pixels, on_progress=ignore_progress):
        return enlarge_plainly(pixels)


@pytest.fixture
def photo() -> SourcePhoto:
    """Noise of 120 x 160, with a made-up face in its middle."""
    rng = np.random.default_rng(1)
    mesh = np.c_[rng.uniform(40, 80, 468), rng.uniform(50, 110, 468), np.zeros(468)].astype(np.float32)
    return SourcePhoto(rng.integers(0, 255, (160, 120, 3), np.uint8), Face(Box(40, 50, 80, 110), 1.0, mesh))


def frame_of(scale: float) -> Frame:
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
    return Frame(matrix, scale, (round(160 * scale), round(120 * scale)))


@pytest.mark.parametrize(
    ("scale", "detail_share", "height"),
    [(4, 1, 160), (6, 1, 160), (2, 1, 80), (4, 0.5, 120), (2, 0.25, 60), (2, 0.7, 80)],
)
def test_the_network_sees_no_more_than_the_headshot_needs_and_hardly_more_than_the_photo_has(
    photo, scale, detail_share, height
):
    probability = np.ones((80, 60), np.float32)

    cut = crop_for_network(photo, frame_of(scale), probability, detail_share)

    assert cut.pixels.shape == (height, height * 3 / 4, 3)
    assert cut.step == pytest.approx(160 / height)


@pytest.mark.parametrize("detail_share", [1, 0.5])
def test_the_frame_shows_the_same_after_the_photo_was_enlarged(photo, detail_share):
    frame = frame_of(3)
    cut = crop_for_network(photo, frame, np.ones((80, 60), np.float32), detail_share)

    enlarged, moved = enlarge_photo(photo, frame, cut, PlainNetwork(), ignore_progress)

    np.testing.assert_allclose(moved.place(enlarged.face.mesh), frame.place(photo.face.mesh), atol=0.01)
    assert moved.scale == pytest.approx(3 / (4 * cut.pixels.shape[0] / 160), rel=0.02)


def test_the_frame_of_a_small_picture_shows_all_of_it():
    frame = enlarge_frame((20, 16), 4)

    assert frame.shape == (80, 64)
    np.testing.assert_array_equal(frame.matrix @ (16, 20, 1), (64, 80))


def test_clothes_are_interpolated_sooner_beside_the_neck_than_below_it(photo):
    mesh = photo.face.mesh
    chin, height, width = mesh[:, 1].max(), np.ptp(mesh[:, 1]), np.ptp(mesh[:, 0])
    rows, columns = np.arange(160), np.arange(120)

    share = cloth_share(mesh, rows, columns)

    assert not share[rows <= chin].any()
    assert (share[rows >= chin + CLOTH_BELOW_CHIN * height] == 1).all()
    assert (np.diff(share, axis=0) >= 0).all()
    below, beside = share[:, 60], share[:, round(60 + width)]
    assert (beside >= below).all()
    assert (beside == 1).sum() > (below == 1).sum()
