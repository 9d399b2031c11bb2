"""The true resolution of faces: of package photos as they are, enlarged by known factors, compressed and with noise."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.faces.measure import measure
from pipeline.faces.resolution import MIN_TRUE_WIDTH_ENLARGED_PX, MIN_TRUE_WIDTH_PX, estimate_detail, has_detail_for_4k
from pipeline.faces.serialization import pack_faces, unpack_measurements
from pipeline.types import Mesh, Pixels
from tests.helpers import photos

INTERPOLATIONS = [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]
# Photos that are enlarged linearly are softer than their factor says.
TOLERANCE = 1.45


@pytest.fixture(scope="module")
def face(finder) -> tuple[Pixels, Mesh]:
    """A sharp face of 295 px, cropped."""
    pixels = photos.obama()
    found = finder.find(pixels)[0]
    left, top = (int(edge) for edge in (found.box.left - 40, found.box.top - 120))
    mesh = found.mesh - np.array([left, top, 0], np.float32)
    return pixels[top : int(found.box.bottom) + 60, left : int(found.box.right) + 40], mesh


def enlarge(face: tuple[Pixels, Mesh], factor: float, interpolation: int = cv2.INTER_CUBIC) -> tuple[Pixels, Mesh]:
    pixels, mesh = face
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=interpolation), mesh * np.float32(factor)


def compress(pixels: Pixels, quality: int) -> Pixels:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def add_noise(pixels: Pixels, deviation: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, deviation, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def test_a_sharp_photo_has_as_much_detail_as_pixels(face):
    assert estimate_detail(*face) > 0.9


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("factor", [1.5, 2, 3, 4])
def test_an_enlarged_photo_has_the_detail_of_the_original(face, factor, interpolation):
    estimated = estimate_detail(*enlarge(face, factor, interpolation))

    assert 1 / TOLERANCE < estimated * factor < TOLERANCE


@pytest.mark.parametrize("quality", [95, 85, 75])
def test_compression_does_not_change_the_estimate(face, quality):
    pixels, mesh = enlarge(face, 2)

    assert estimate_detail(compress(pixels, quality), mesh) == pytest.approx(estimate_detail(pixels, mesh), rel=0.15)


@pytest.mark.parametrize("deviation", [3, 8])
def test_noise_is_not_detail(face, deviation):
    pixels, mesh = enlarge(face, 3)

    assert estimate_detail(add_noise(pixels, deviation), mesh) < 1.2 * estimate_detail(pixels, mesh)


def test_a_blurred_photo_has_less_detail_than_pixels(face):
    pixels, mesh = face

    estimates = [estimate_detail(cv2.GaussianBlur(pixels, (0, 0), sigma), mesh) for sigma in (0.5, 1, 2, 4)]

    assert estimates == sorted(estimates, reverse=True)
    assert estimates[-1] < 0.25


def test_a_face_that_is_too_small_for_an_estimate_counts_as_sharp(face):
    pixels, mesh = face
    small = cv2.resize(pixels, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)

    assert estimate_detail(small, mesh * np.float32(0.2)) == 1
    assert estimate_detail(pixels, mesh + np.float32(10_000)) == 1


def test_the_check_measures_the_detail(finder):
    pixels = photos.astronaut()
    enlarged = cv2.resize(pixels, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)

    sharp, soft = (measure(photo, finder.find(photo)[0]) for photo in (pixels, enlarged))

    assert sharp.detail_share > 0.9
    assert soft.detail_share < 0.45
    assert soft.face_width_px == pytest.approx(3 * sharp.face_width_px, rel=0.1)


def test_faces_that_an_older_release_measured_count_as_sharp(finder):
    pixels = photos.astronaut()
    found = finder.find(pixels)
    stored = dict(np.load(io.BytesIO(pack_faces(found, [replace(measure(pixels, found[0]), detail_share=0.5)]))))
    older = io.BytesIO()
    np.savez(older, **{**stored, "measurements": stored["measurements"][:, :-2]})

    (measured,) = unpack_measurements(older.getvalue())

    assert measured.detail_share == 1
    assert measured.outside_share == stored["measurements"][0, -3]


def test_the_width_at_the_true_resolution_decides_on_4k():
    assert has_detail_for_4k(2 * MIN_TRUE_WIDTH_PX, 0.5)
    assert not has_detail_for_4k(2 * MIN_TRUE_WIDTH_PX, 0.49)
    # The estimate of a photo that was enlarged is less certain.
    assert has_detail_for_4k(4 * MIN_TRUE_WIDTH_ENLARGED_PX, 0.25)
    assert not has_detail_for_4k(4 * MIN_TRUE_WIDTH_ENLARGED_PX, 0.24)
