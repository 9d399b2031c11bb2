"""Framing on made-up geometry: a head drawn as points, and photos that end on any side."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.portrait.crop import Frame, Outline
from pipeline.portrait.framing import (
    MAX_HEADROOM,
    RULES,
    VARIATIONS,
    extend_photo,
    frame_head,
    place_person,
    rule_for,
)
from pipeline.types import (
    PREVIEW,
    PREVIEW_BANNER,
    PREVIEW_SQUARE,
    PREVIEW_THREE_TO_FOUR,
    Box,
    Face,
    Framing,
    Mesh,
    Size,
    SourcePhoto,
)

SIZES = [PREVIEW, PREVIEW_SQUARE, PREVIEW_THREE_TO_FOUR, PREVIEW_BANNER]
UNIT = 200.0
CENTER = np.array([1000.0, 1000.0])
# Of the head below, in face heights: the eyes are this far below the top of the forehead, and this far above the chin.
EYES, CHIN = 0.35, 0.65
NOWHERE = np.empty((0, 2))


def head(roll_degrees: float = 0.0, yaw_degrees: float = 0.0) -> Mesh:
    """Return a face of UNIT pixels, with the middle between its eyes at CENTER."""
    angles = np.linspace(0, 2 * math.pi, 468, endpoint=False)
    points = np.c_[0.38 * np.sin(angles), 0.5 * np.cos(angles) + (CHIN - EYES) / 2, np.zeros(468)]
    points[[landmarks.FOREHEAD_TOP, landmarks.CHIN], :2] = [[0, -EYES], [0, CHIN]]
    yaw, roll = math.radians(yaw_degrees), math.radians(roll_degrees)
    for index, x in (
        (landmarks.RIGHT_EYE_OUTER, -0.22),
        (landmarks.RIGHT_EYE_INNER, -0.08),
        (landmarks.LEFT_EYE_INNER, 0.08),
        (landmarks.LEFT_EYE_OUTER, 0.22),
    ):
        points[index] = [x * math.cos(yaw), 0, x * math.sin(yaw)]
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    points[:, :2] = points[:, :2] @ turn.T
    return np.asarray(points * UNIT + [*CENTER, 0], np.float32)


def line(start: tuple[float, float], end: tuple[float, float]) -> NDArray[np.float64]:
    """Return points along a line, given in face heights from the eyes."""
    share = np.linspace(0, 1, 80)[:, None]
    return np.asarray(CENTER + UNIT * (np.array(start) * (1 - share) + np.array(end) * share))


def outline(*cuts: NDArray[np.float64], crown: float = 0.8, contact: NDArray[np.float64] = NOWHERE) -> Outline:
    return Outline(np.concatenate([NOWHERE, *cuts]), CENTER - [0, crown * UNIT], contact)


def eyes_and_face(frame: Frame, mesh: Mesh) -> tuple[float, float, float]:
    """Return position of the eyes, face height, and horizontal middle of the face, as shares of the frame."""
    placed = frame.place(mesh)
    eyes, box = np.mean(landmarks.eye_centers(placed), axis=0), landmarks.bounds(placed)
    height, width = frame.shape
    return float(eyes[1]) / height, landmarks.face_height(placed) / height, (box.left + box.right) / 2 / width


def depth(frame: Frame, points: NDArray[np.float64]) -> float:
    """Return how far the innermost of these points is inside the frame, as a share of the height."""
    height, width = frame.shape
    x, y = (points @ frame.matrix[:, :2].T + frame.matrix[:, 2]).T
    inside = np.minimum.reduce([x, y, width - x, height - y])
    return float(max(0.0, inside.max())) / height


def keeps(rule_of: Size, frame: Frame, mesh: Mesh) -> bool:
    rule = rule_for(rule_of)
    eyes, face, center = eyes_and_face(frame, mesh)
    slack = 0.003
    return (
        rule.eyes[0] - slack <= eyes <= rule.eyes[1] + slack
        and rule.face[0] - slack <= face <= rule.face[2] + slack
        and rule.center[0] - slack <= center <= rule.center[1] + slack
    )


@pytest.mark.parametrize("size", SIZES)
def test_with_enough_photo_around_every_head_has_the_best_size_in_the_middle(size):
    mesh = head()

    eyes, face, center = eyes_and_face(frame_head(mesh, size, outline()), mesh)

    assert face == pytest.approx(rule_for(size).face[1], rel=0.015)
    assert center == pytest.approx(0.5, abs=0.012)
    assert eyes == pytest.approx(rule_for(size).headroom + 0.8 * face, abs=0.012)


@pytest.mark.parametrize("size", SIZES)
def test_where_the_photo_ends_below_the_shoulders_the_frame_closes_in_instead_of_moving_up(size):
    mesh, bottom = head(), line((-3, 1.25), (3, 1.25))

    frame = frame_head(mesh, size, outline(bottom))

    assert keeps(size, frame, mesh)
    assert depth(frame, bottom) < 0.004
    assert eyes_and_face(frame, mesh)[1] > rule_for(size).face[1] * 1.03


def test_where_the_photo_ends_below_the_chin_the_cut_is_at_the_edge_and_the_head_as_little_too_low_as_possible():
    mesh, bottom = head(), line((-3, 0.8), (3, 0.8))

    frame = frame_head(mesh, PREVIEW, outline(bottom))

    eyes, face, _ = eyes_and_face(frame, mesh)
    assert depth(frame, bottom) < 0.004
    assert face > RULES[0][1].face[2]
    assert eyes - 0.8 * face < MAX_HEADROOM


def test_hair_that_the_photo_cuts_stays_at_the_upper_edge():
    mesh, top = head(), line((-0.3, -0.7), (0.3, -0.7))

    frame = frame_head(mesh, PREVIEW, outline(top, crown=0.7))

    assert depth(frame, top) < 0.004
    eyes, face, _ = eyes_and_face(frame, mesh)
    assert eyes > 0.32
    assert face < 0.53


@pytest.mark.parametrize("side", [-1, 1])
def test_an_arm_that_the_photo_cuts_at_one_side_moves_the_head_only_within_the_rule(side):
    mesh, arm = head(), line((0.8 * side, 0.9), (0.8 * side, 3))

    frame = frame_head(mesh, PREVIEW, outline(arm))

    assert depth(frame, arm) < 0.004
    assert keeps(PREVIEW, frame, mesh)


def test_a_banner_may_show_the_person_at_the_side_where_the_photo_cuts_them():
    mesh, arm = head(), line((-1.05, 0.5), (-1.05, 3))

    frame = frame_head(mesh, PREVIEW_BANNER, outline(arm))

    assert depth(frame, arm) < 0.004
    assert 0.25 <= eyes_and_face(frame, mesh)[2] < 0.4


@pytest.mark.parametrize("roll", [-25.0, -8.0, 8.0, 25.0])
def test_a_tilted_head_is_leveled_and_the_slanted_border_of_the_photo_stays_outside(roll):
    mesh, bottom = head(roll), line((-3, 1.6), (3, 1.6))

    frame = frame_head(mesh, PREVIEW, outline(bottom))

    assert abs(landmarks.roll_degrees(frame.place(mesh))) < 0.2 * abs(roll)
    assert depth(frame, bottom) < 0.006
    assert keeps(PREVIEW, frame, mesh)


def test_of_two_people_the_other_one_is_kept_out_as_far_as_the_rule_allows():
    mesh, touch = head(), line((0.75, 0.3), (0.75, 2.0))

    without, beside = (frame_head(mesh, PREVIEW, given) for given in (outline(), outline(contact=touch)))

    assert depth(beside, touch) < depth(without, touch)
    assert keeps(PREVIEW, beside, mesh)


def test_there_is_more_room_on_the_side_to_which_the_person_looks():
    centers = [eyes_and_face(frame_head(mesh, PREVIEW, outline()), mesh)[2] for mesh in (head(yaw_degrees=25), head())]
    assert centers[0] == pytest.approx(centers[1] - 0.03, abs=0.01)


def test_heads_have_the_same_size_for_different_people():
    faces = [
        eyes_and_face(frame_head(head(), PREVIEW, outline(*cuts, crown=crown)), head())[1]
        for crown, cuts in ((0.55, ()), (1.1, ()), (0.8, (line((-3, 2), (3, 2)),)))
    ]
    assert max(faces) / min(faces) < 1.05


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize(
    ("face", "eyes", "crown"),
    [(0.4, 0.375, 0.12), (0.4, 0.42, 0.09), (0.49, 0.455, 0.06), (0.5, 0.34, 0.0), (0.6, 0.55, 0.2)],
)
def test_no_framing_leaves_the_head_low_or_shows_where_the_person_ends(framing, face, eyes, crown):
    matrix = place_person(framing, (1000, 800), face, eyes, crown)

    if framing is Framing.CLASSIC:
        assert matrix is None
        return
    assert matrix is not None
    zoom, top = matrix[1, 1], matrix[1, 2] / 1000
    assert zoom + top >= 1 - 1e-9
    assert top + zoom * eyes <= max(eyes, 0.475)
    left, right = matrix[0, 2] / 800, (matrix[0, 0] * 800 + matrix[0, 2]) / 800
    assert left <= 1e-9
    assert right >= 1 - 1e-9
    if crown == 0:
        assert top == 0
    else:
        assert top + zoom * crown > 0.03 or top + zoom * eyes >= 0.455


def test_all_framings_differ():
    assert len(set(VARIATIONS.values())) == len(Framing) == len(VARIATIONS)


def test_the_mirrored_strips_move_the_faces_with_the_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (400, 300, 3), dtype=np.uint8)
    mesh = np.asarray((head() - [*CENTER, 0]) * 0.5 + [150, 150, 0], np.float32)
    face = Face(Box(100, 100, 200, 200), 1.0, mesh)
    other = Face(Box(10, 20, 30, 40), 1.0, mesh)

    extended = extend_photo(SourcePhoto(pixels, face, (other,)))

    width = round(0.065 * 0.5 * UNIT)
    np.testing.assert_array_equal(extended.pixels[:400, width:-width], pixels)
    np.testing.assert_array_equal(extended.pixels[400, width:-width], pixels[398])
    np.testing.assert_array_equal(extended.pixels[:400, width - 1], pixels[:, 1])
    assert extended.pixels.shape == (400 + width, 300 + 2 * width, 3)
    np.testing.assert_allclose(extended.face.mesh[:, 0], mesh[:, 0] + width)
    assert extended.bystanders[0].box == Box(10 + width, 20, 30 + width, 40)
