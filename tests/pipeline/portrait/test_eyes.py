"""Eyes that the upscaling network invents: found by comparison with the photo, and taken back."""

import cv2
import numpy as np
import pytest

from pipeline.faces import landmarks
from pipeline.portrait.eyes import MIN_CORRELATION, correlate_eye, restore_eyes
from pipeline.types import Mesh, Pixels
from pipeline.upscaling.upscale import SCALE, enlarge_plainly
from tests.helpers import photos


@pytest.fixture(scope="module")
def face(finder) -> tuple[Pixels, Mesh]:
    """The astronaut's face, and its mesh in pixels of the enlarged face."""
    pixels = photos.astronaut()
    mesh = finder.find(pixels)[0].mesh
    bounds = landmarks.bounds(mesh)
    left, top = int(bounds.left), int(bounds.top)
    return pixels[top : int(bounds.bottom), left : int(bounds.right)], (mesh - (left, top, 0)) * np.float32(SCALE)


def paint_iris(enlarged: Pixels, mesh: Mesh, offset: float) -> None:
    """Paint a second iris beside the right eye's own, `offset` eye widths away."""
    corners = landmarks.select_points(mesh, (landmarks.RIGHT_EYE_OUTER, landmarks.RIGHT_EYE_INNER))
    width = corners[1, 0] - corners[0, 0]
    x, y = corners.mean(axis=0) + np.array([offset * width, 0])
    cv2.circle(enlarged, (int(x), int(y)), int(0.18 * width), (250, 250, 250), -1)
    cv2.circle(enlarged, (int(x), int(y)), int(0.14 * width), (10, 10, 10), -1)


def test_eyes_that_were_only_sharpened_stay(face):
    pixels, mesh = face
    plain = enlarge_plainly(pixels)
    sharpened = cv2.addWeighted(plain, 1.6, cv2.GaussianBlur(plain, (0, 0), 3), -0.6, 0)
    before = sharpened.copy()

    assert not restore_eyes(sharpened, pixels, mesh)

    assert np.array_equal(sharpened, before)


@pytest.mark.parametrize("offset", [-0.25, 0.25])
def test_an_invented_iris_is_taken_back_in_both_eyes_and_nowhere_else(face, offset):
    pixels, mesh = face
    plain = enlarge_plainly(pixels)
    drawn = plain.copy()
    drawn[:] = np.clip(drawn.astype(int) + 12, 0, 255)
    paint_iris(drawn, mesh, offset)
    before = drawn.copy()
    assert correlate_eye(drawn, pixels, mesh, 0) < MIN_CORRELATION < correlate_eye(drawn, pixels, mesh, 1)

    assert restore_eyes(drawn, pixels, mesh)

    for eye in (landmarks.RIGHT_EYE, landmarks.LEFT_EYE):
        x, y = landmarks.select_points(mesh, eye).mean(axis=0).astype(int)
        assert (
            np.abs(drawn[y - 8 : y + 8, x - 20 : x + 20].astype(int) - plain[y - 8 : y + 8, x - 20 : x + 20]).max() < 12
        )
    changed = (drawn != before).any(axis=2)
    chin, brows = mesh[landmarks.NOSE_TIP, 1], landmarks.select_points(mesh, landmarks.RIGHT_BROW)[:, 1].min()
    assert not changed[int(chin) :].any()
    assert not changed[: int(brows)].any()


def test_eyes_beyond_the_picture_change_nothing(face):
    pixels, mesh = face
    drawn = enlarge_plainly(pixels)
    before = drawn.copy()

    restore_eyes(drawn, pixels, mesh + np.float32(100_000))

    assert np.array_equal(drawn, before)
