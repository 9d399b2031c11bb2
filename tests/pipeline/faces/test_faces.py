"""Where faces are found, what their mesh says, and whose they are."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from pipeline.faces import landmarks
from pipeline.faces.find import FaceFinder
from pipeline.faces.sampling import sample, shrink_to, square_around
from pipeline.identity.embedding import FaceEmbedder, embedding_distance
from pipeline.types import Face, Pixels
from pipeline.weights import Weights
from tests.helpers import photos


@pytest.fixture(scope="module")
def finder(weights: Weights) -> FaceFinder:
    """A finder that does not remember."""
    return FaceFinder(weights, threads=1)


def only_face(finder: FaceFinder, pixels: Pixels) -> Face:
    faces = finder.find(pixels)
    assert len(faces) == 1
    return faces[0]


def scaled(pixels: Pixels, factor: float) -> Pixels:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=method), dtype=np.uint8)


def test_the_astronaut_has_one_upright_face_that_looks_into_the_camera(finder: FaceFinder) -> None:
    face = only_face(finder, photos.astronaut())

    right, left = landmarks.eye_centers(face.mesh)
    # Read off the picture by eye.
    assert right == pytest.approx((203.5, 101.5), abs=3)
    assert left == pytest.approx((246, 103.5), abs=3)
    assert landmarks.face_height(face.mesh) == pytest.approx(107, abs=6)
    assert abs(landmarks.yaw_degrees(face.mesh)) < 6
    assert abs(landmarks.roll_degrees(face.mesh)) < 6
    assert face.score > 0.9


@pytest.mark.parametrize("picture", ["coffee", "noise", "one pixel", "needle", "plank", "black", "white"])
def test_no_face_is_seen_where_there_is_none(finder: FaceFinder, picture: str) -> None:
    pixels = {
        "coffee": photos.coffee(),
        "noise": np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "one pixel": np.zeros((1, 1, 3), np.uint8),
        "needle": np.full((3000, 20, 3), 128, np.uint8),
        "plank": np.full((2, 5000, 3), 128, np.uint8),
        "black": np.zeros((400, 300, 3), np.uint8),
        "white": np.full((400, 300, 3), 255, np.uint8),
    }[picture]

    assert finder.find(pixels) == ()


def test_the_same_pixels_give_the_same_faces_in_the_same_order(finder: FaceFinder) -> None:
    pixels = photos.two_people()

    first, second = finder.find(pixels), finder.find(pixels.copy())

    assert [face.box for face in first] == [face.box for face in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.mesh, other.mesh)


def test_faces_come_widest_first(finder: FaceFinder) -> None:
    small = scaled(photos.astronaut(), 0.8)
    pixels = np.zeros((512, 512 + small.shape[1], 3), np.uint8)
    pixels[: small.shape[0], : small.shape[1]] = small
    pixels[:, small.shape[1] :] = photos.astronaut()

    faces = finder.find(pixels)

    assert len(faces) == 2
    assert faces[0].box.width > faces[1].box.width
    assert faces[0].box.left > small.shape[1]


def test_a_face_of_fifty_pixels_in_a_wide_photo_is_still_found(finder: FaceFinder) -> None:
    pixels = np.full((1000, 1200, 3), 150, np.uint8)
    small = scaled(photos.astronaut(), 0.5)
    pixels[100 : 100 + len(small), 200 : 200 + len(small)] = small

    face = only_face(finder, pixels)

    assert face.box.width < 56
    assert face.mesh[landmarks.NOSE_TIP, :2] == pytest.approx((200 + 113, 100 + 62), abs=4)


def test_a_huge_photo_gives_the_face_of_the_small_one_at_its_own_scale(finder: FaceFinder) -> None:
    small = only_face(finder, photos.astronaut())

    large = only_face(finder, scaled(photos.astronaut(), 8))

    np.testing.assert_allclose(large.mesh[:, :2] / 8, small.mesh[:, :2], atol=2.5)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_face_that_is_not_upright_is_found_where_it_is(finder: FaceFinder, quarter_turns: int) -> None:
    upright = only_face(finder, photos.astronaut())

    turned = only_face(finder, np.ascontiguousarray(np.rot90(photos.astronaut(), quarter_turns)))

    x, y = upright.mesh[landmarks.NOSE_TIP, :2]
    # A left turn of the 512 px square brings (x, y) to (y, 511 - x).
    for _ in range(quarter_turns):
        x, y = y, 511 - x
    assert turned.mesh[landmarks.NOSE_TIP, :2] == pytest.approx((x, y), abs=4)
    expected_roll = landmarks.roll_degrees(upright.mesh) - 90 * quarter_turns
    assert np.cos(np.radians(landmarks.roll_degrees(turned.mesh) - expected_roll)) > 0.99


def test_a_photo_that_stands_on_its_head_is_not_read_as_an_upright_face(finder: FaceFinder) -> None:
    # This one's beardless chin and dark hair pass for a face the other way round.
    face = only_face(finder, np.ascontiguousarray(photos.obama()[::-1, ::-1]))

    assert abs(landmarks.roll_degrees(face.mesh)) > 170


def test_gray_and_dark_photos_have_faces_too(finder: FaceFinder) -> None:
    pixels = photos.astronaut()
    gray = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)

    assert len(finder.find(gray)) == 1
    assert len(finder.find(pixels // 12)) == 1


def test_threads_can_share_one_finder(finder: FaceFinder) -> None:
    pictures = [photos.astronaut(), photos.coffee(), photos.two_people()] * 3
    alone = [[face.box for face in finder.find(pixels)] for pixels in pictures]

    with ThreadPoolExecutor(4) as pool:
        together = [[face.box for face in faces] for faces in pool.map(finder.find, pictures)]

    assert together == alone


def test_pictures_of_one_person_lie_close_together_and_of_two_far_apart(
    finder: FaceFinder, embedder: FaceEmbedder
) -> None:
    obama, speaking, biden = (
        embedder.embed(pixels, finder.find(pixels)[0])
        for pixels in (photos.obama(), photos.obama_speaking(), photos.biden())
    )

    assert obama.shape == (128,)
    assert obama.dtype == np.float32
    assert embedding_distance(obama, speaking) < 0.5
    assert embedding_distance(obama, biden) > 0.7


def test_a_face_at_the_very_border_can_be_embedded(finder: FaceFinder, embedder: FaceEmbedder) -> None:
    pixels = np.ascontiguousarray(photos.astronaut()[60:, 175:260])
    whole = embedder.embed(photos.astronaut(), only_face(finder, photos.astronaut()))

    cut = embedder.embed(pixels, only_face(finder, pixels))

    assert embedding_distance(whole, cut) < 0.6


def test_sampling_turns_a_square_of_the_photo_upright() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 140:160] = 255  # to the right of (140, 50)

    chip = sample(pixels, square_around((140, 50), 40, 40, roll_degrees=90), 40)

    # A head rolled by 90 degrees has its crown on the right; upright, that is above.
    assert chip[2:18, 12:28].min() == 255
    assert chip[22:].max() == 0


def test_sampling_outside_of_the_photo_is_black() -> None:
    pixels = np.full((50, 50, 3), 255, np.uint8)

    assert sample(pixels, square_around((-500, -500), 20, 16), 16).max() == 0
    assert sample(pixels, square_around((900, 900), 20, 16), 16).max() == 0


def test_shrinking_keeps_small_photos_and_never_makes_an_edge_of_nothing() -> None:
    small = np.zeros((10, 20, 3), np.uint8)

    assert shrink_to(small, 100) == (small, 1.0)
    shrunk, factor = shrink_to(np.zeros((1, 5000, 3), np.uint8), 100)
    assert shrunk.shape == (1, 100, 3)
    assert factor == 0.02
