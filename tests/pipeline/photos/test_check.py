"""Real photos, whole and spoilt, and what the check says of them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import FaceNotFound, Reason
from pipeline.faces import landmarks
from pipeline.faces.find import FaceFinder
from pipeline.photos.check import check_photo
from pipeline.types import Mesh, Pixels, Status, Verdict
from tests.helpers import photos

Photo = Callable[[], Pixels]

EYES = (*landmarks.RIGHT_EYE, *landmarks.LEFT_EYE)
SKIN, BLACK, BLUE = (214, 170, 140), (0, 0, 0), (150, 190, 215)


def lit(pixels: Pixels, factor: float) -> Pixels:
    """The photo with this much light: a factor on linear light, clipped as a camera would."""
    return (255 * np.clip((pixels / 255) ** 2.2 * factor, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def moved(pixels: Pixels, width: int, height: int) -> Pixels:
    """The photo as a camera sees it that moved this many pixels meanwhile."""
    return np.asarray(cv2.blur(pixels, (width, height)), dtype=np.uint8)


def resized(pixels: Pixels, factor: float) -> Pixels:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=method), dtype=np.uint8)


def boxed(pixels: Pixels, mesh: Mesh, indices: tuple[int, ...], color: tuple[int, int, int]) -> Pixels:
    """The photo with a box of one color, a little larger than these points, over them."""
    around = landmarks.select_points(mesh, indices)
    margin = 0.08 * landmarks.face_height(mesh)
    (left, top), (right, bottom) = around.min(axis=0) - margin, around.max(axis=0) + margin
    covered = pixels.copy()
    covered[int(top) : int(bottom), int(left) : int(right)] = color
    return covered


@pytest.mark.parametrize("photo", [photos.astronaut, photos.obama, photos.obama_speaking, photos.biden])
def test_good_portraits_are_accepted(finder: FaceFinder, photo: Photo) -> None:
    check = check_photo(photo(), finder)

    assert check.verdict.status is Status.ACCEPTED
    assert check.verdict.reasons == ()
    assert check.verdict.face == 0
    assert len(check.faces) == len(check.measurements) == 1


@pytest.mark.parametrize("photo", [photos.astronaut, photos.obama])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), len(pixels) / 190)), Reason.TOO_BLURRY),
        (lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), len(pixels) / 64)), Reason.TOO_BLURRY),
        (lambda pixels: moved(pixels, len(pixels) // 36, 1), Reason.TOO_BLURRY),
        (lambda pixels: moved(pixels, 1, len(pixels) // 36), Reason.TOO_BLURRY),
        (lambda pixels: lit(pixels, 0.12), Reason.TOO_DARK),
        (lambda pixels: lit(pixels, 0.01), Reason.TOO_DARK),
        (lambda pixels: lit(pixels, 2.6), Reason.OVEREXPOSED),
        (lambda pixels: lit(pixels, 8.0), Reason.OVEREXPOSED),
        (lambda pixels: resized(pixels, 100 / len(pixels)), Reason.FACE_TOO_SMALL),
    ],
    ids=["soft", "very soft", "moved across", "moved down", "dark", "night", "bright", "burnt", "thumbnail"],
)
def test_a_spoilt_photo_is_refused_and_the_reason_named(
    finder: FaceFinder, photo: Photo, spoil: Callable[[Pixels], Pixels], reason: Reason
) -> None:
    verdict = check_photo(spoil(photo()), finder).verdict

    assert verdict.status is Status.REFUSED
    assert reason in verdict.reasons


def test_half_a_face_is_cut_off(finder: FaceFinder) -> None:
    verdict = check_photo(photos.obama_cut_off(), finder).verdict

    assert verdict.status is Status.REFUSED
    assert verdict.reasons[0] is Reason.FACE_CUT_OFF


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_face_over_any_border_is_cut_off(finder: FaceFinder, side: str) -> None:
    pixels = photos.astronaut()
    # The face spans 179 to 272 across and 70 to 178 down.
    shown = {"left": pixels[:, 210:], "right": pixels[:, :240], "top": pixels[90:], "bottom": pixels[:150]}[side]

    verdict = check_photo(np.ascontiguousarray(shown), finder).verdict

    assert verdict.status is Status.REFUSED
    assert verdict.reasons[0] is Reason.FACE_CUT_OFF


def test_a_small_face_is_refused_at_any_size_of_the_photo(finder: FaceFinder) -> None:
    small = resized(photos.obama(), 0.21)
    on_wall = np.full((600, 700, 3), 160, np.uint8)
    on_wall[200 : 200 + small.shape[0], 200 : 200 + small.shape[1]] = small

    for pixels in (small, on_wall):
        verdict = check_photo(pixels, finder).verdict
        assert verdict.status is Status.REFUSED
        assert verdict.reasons == (Reason.FACE_TOO_SMALL,)


@pytest.fixture(scope="module")
def find_mesh(finder: FaceFinder) -> Callable[[Photo], Mesh]:
    """Find the only face of a photo, once for all tests."""
    return cache(lambda photo: finder.find(photo())[0].mesh)


@pytest.mark.parametrize("photo", [photos.astronaut, photos.obama, photos.biden])
@pytest.mark.parametrize("color", [BLACK, BLUE], ids=["black", "blue"])
@pytest.mark.parametrize(
    "indices",
    [EYES, landmarks.RIGHT_EYE, landmarks.LEFT_EYE, landmarks.LIPS],
    ids=["eyes", "right eye", "left eye", "mouth"],
)
def test_a_box_over_eyes_or_mouth_counts_as_covered(
    finder: FaceFinder,
    find_mesh: Callable[[Photo], Mesh],
    photo: Photo,
    indices: tuple[int, ...],
    color: tuple[int, int, int],
) -> None:
    verdict = check_photo(boxed(photo(), find_mesh(photo), indices, color), finder).verdict

    assert Reason.COVERED in verdict.reasons


def test_a_structure_over_the_mouth_that_is_no_mouth_counts_as_covered(finder: FaceFinder) -> None:
    pixels = photos.obama()
    mesh = finder.find(pixels)[0].mesh
    mouth = landmarks.select_points(mesh, landmarks.LIPS).mean(axis=0)
    # Fingers: slanting stripes of skin and shadow.
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    stripes = 1 - 0.3 * (np.sin((columns + 2 * rows) / 12) > 0.6)[..., None]
    near = np.hypot((columns - mouth[0]) / 1.4, rows - mouth[1]) < 60
    pixels[near] = (np.array(SKIN) * stripes)[near]

    verdict = check_photo(pixels, finder).verdict

    assert verdict.status is Status.WARNED
    assert verdict.reasons == (Reason.COVERED,)


def test_something_of_the_color_of_skin_over_the_mouth_counts_as_covered(finder: FaceFinder) -> None:
    pixels = photos.obama()
    mesh = finder.find(pixels)[0].mesh

    assert Reason.COVERED in check_photo(boxed(pixels, mesh, landmarks.LIPS, SKIN), finder).verdict.reasons


@pytest.mark.parametrize("photo", [photos.astronaut, photos.obama, photos.biden])
def test_spectacles_are_not_mistaken_for_a_cover(finder: FaceFinder, photo: Photo) -> None:
    pixels = photo()
    mesh = finder.find(pixels)[0].mesh
    eyes = landmarks.eye_centers(mesh)
    width = int(np.linalg.norm(eyes[0] - eyes[1]))
    for x, y in eyes:
        cv2.ellipse(pixels, (int(x), int(y)), (width * 4 // 10, width * 3 // 10), 0, 0, 360, (25, 25, 25), width // 20)

    assert check_photo(pixels, finder).verdict.status is Status.ACCEPTED


def test_a_gray_photo_and_a_dim_one_will_do(finder: FaceFinder) -> None:
    pixels = photos.astronaut()
    gray = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)

    assert check_photo(gray, finder).verdict.status is Status.ACCEPTED
    assert check_photo(lit(pixels, 0.4), finder).verdict.status is Status.ACCEPTED


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_photo_that_is_not_upright_is_named_as_that(finder: FaceFinder, quarter_turns: int) -> None:
    turned = np.ascontiguousarray(np.rot90(photos.obama(), quarter_turns))

    verdict = check_photo(turned, finder).verdict

    assert verdict.status is Status.REFUSED
    assert verdict.reasons == (Reason.NOT_UPRIGHT,)


def test_two_people_have_to_say_who_is_meant(finder: FaceFinder) -> None:
    check = check_photo(photos.two_people(), finder)

    assert check.verdict.status is Status.CHOOSE_FACE
    assert check.verdict.reasons == (Reason.SEVERAL_FACES,)
    assert check.verdict.face is None
    assert len(check.faces) == len(check.measurements) == 2


def test_a_chosen_face_is_the_one_that_is_judged(finder: FaceFinder) -> None:
    pixels = photos.two_people()

    for index in (0, 1):
        verdict = check_photo(pixels, finder, chosen=index).verdict
        assert verdict.status is Status.ACCEPTED
        assert verdict.face == index

    with pytest.raises(FaceNotFound):
        check_photo(pixels, finder, chosen=2)


def test_a_passer_by_in_the_background_is_listed_but_raises_no_question(finder: FaceFinder) -> None:
    pixels = photos.obama()
    small = resized(photos.astronaut()[30:230, 130:330], 0.6)
    pixels[300 : 300 + len(small), 720 : 720 + len(small)] = small

    check = check_photo(pixels, finder)

    assert len(check.faces) == 2
    assert check.verdict.status is Status.ACCEPTED
    assert check.verdict.face == 0


def test_a_larger_face_on_a_poster_does_not_pass_for_the_person(finder: FaceFinder) -> None:
    poster = Path(__file__).parents[2] / "golden" / "photos" / "poster.jpg"

    check = check_photo(photos.read_pixels(poster), finder)

    assert check.verdict == Verdict(Status.CHOOSE_FACE, (Reason.SEVERAL_FACES,), None)
    assert len(check.faces) == 2


def test_a_photo_without_a_person_has_no_face(finder: FaceFinder) -> None:
    verdict = check_photo(photos.coffee(), finder).verdict

    assert verdict.status is Status.REFUSED
    assert verdict.reasons == (Reason.NO_FACE,)


def test_no_face_can_be_chosen_where_there_is_none(finder: FaceFinder) -> None:
    with pytest.raises(FaceNotFound):
        check_photo(photos.coffee(), finder, chosen=0)


def test_the_same_photo_is_measured_the_same_twice(finder: FaceFinder) -> None:
    first, second = (check_photo(photos.two_people(), finder) for _ in range(2))

    assert first.verdict == second.verdict
    assert first.measurements == second.measurements
