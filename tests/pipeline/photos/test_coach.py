"""What the coach says of photos: a number that agrees with the verdict, and the thing that is wrong first."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.faces.find import FaceFinder
from pipeline.faces.measure import measure
from pipeline.photos.check import check_photo
from pipeline.photos.coach import BANDS, MAX_TIPS, Tip, advise
from pipeline.photos.rules import judge
from pipeline.types import Measurements, Pixels, Status
from tests.helpers import photos

PERFECT = Measurements(
    face_width_px=400,
    yaw_degrees=2,
    pitch_degrees=5,
    roll_degrees=1,
    sharpness=0.45,
    lightness_median=60,
    lightness_p95=80,
    overexposed_share=0,
    light_asymmetry=8,
    occlusion=0,
    outside_share=0,
    detail_share=1,
)
WRONGS = {
    Tip.LEAVE_ROOM: {"outside_share": 0.04},
    Tip.COME_CLOSER: {"face_width_px": 120},
    Tip.LOOK_INTO_CAMERA: {"yaw_degrees": -30},
    Tip.FACE_THE_WINDOW: {"lightness_p95": 42},
    Tip.LEAVE_HARD_LIGHT: {"overexposed_share": 0.12},
    Tip.HOLD_STILL: {"sharpness": 0.18},
    Tip.UNCOVER_FACE: {"occlusion": 1.3},
    Tip.HEAD_UPRIGHT: {"roll_degrees": 30},
    Tip.CAMERA_AT_EYE_LEVEL: {"pitch_degrees": 25},
}


def test_a_photo_that_is_as_good_as_it_gets_has_full_marks_and_no_advice():
    assert advise(PERFECT).score == 100
    assert advise(PERFECT).tips == ()


@pytest.mark.parametrize("tip", WRONGS)
def test_what_is_wrong_is_what_would_help(tip):
    advice = advise(replace(PERFECT, **WRONGS[tip]))

    assert advice.tips == (tip,)
    assert advice.score < 80


def test_of_three_wrongs_the_two_worst_are_named_worst_first():
    advice = advise(replace(PERFECT, yaw_degrees=26, sharpness=0.1, light_asymmetry=70))

    assert advice.tips == (Tip.HOLD_STILL, Tip.FACE_THE_WINDOW)
    assert len(advice.tips) == MAX_TIPS


@pytest.mark.parametrize(
    ("wrong", "tips"),
    [
        ({"detail_share": 0.4}, (Tip.SEND_ORIGINAL,)),
        ({"detail_share": 0.37}, (Tip.SHARPER_FOR_4K,)),
        ({"detail_share": 0.25}, (Tip.SHARPER_FOR_4K,)),
        ({"detail_share": 0.5, "face_width_px": 200}, (Tip.COME_CLOSER, Tip.SHARPER_FOR_4K)),
        ({"detail_share": 0.5, "face_width_px": 100}, (Tip.COME_CLOSER,)),
    ],
)
def test_missing_resolution_has_its_own_tip_and_changes_neither_score_nor_verdict(wrong, tips):
    face = replace(PERFECT, **wrong)
    sharp = replace(face, detail_share=1.0)

    assert advise(face).tips == tips
    assert advise(face).score == advise(sharp).score
    assert judge([face]) == judge([sharp])


@pytest.mark.parametrize("field", Measurements.__dataclass_fields__)
def test_better_is_never_worth_less(field):
    """Each measurement on its own, from hopeless to perfect."""
    hopeless = {
        "face_width_px": 40, "yaw_degrees": 85, "pitch_degrees": 60, "roll_degrees": 90, "sharpness": 0,
        "lightness_median": 5, "lightness_p95": 10, "overexposed_share": 0.7, "light_asymmetry": 90, "occlusion": 2.5,
        "outside_share": 0.6, "detail_share": 0.1, "child_share": 1,
    }  # fmt: skip
    steps = np.linspace(hopeless[field], getattr(PERFECT, field), 60)

    scores = [advise(replace(PERFECT, **{field: float(value)})).score for value in steps]

    assert scores == sorted(scores)


def test_the_score_says_the_same_as_the_verdict():
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(5000):
        face = Measurements(
            face_width_px=rng.uniform(60, 500),
            yaw_degrees=rng.uniform(-42, 42),
            pitch_degrees=rng.uniform(-20, 30),
            roll_degrees=rng.uniform(-47, 47),
            sharpness=rng.uniform(0.1, 0.6),
            lightness_median=50,
            lightness_p95=rng.uniform(35, 95),
            overexposed_share=rng.uniform(0, 0.25),
            light_asymmetry=rng.uniform(0, 60),
            occlusion=rng.uniform(0, 2),
            outside_share=rng.choice([0, 0, 0.01, 0.1]),
        )
        status = judge([face], chosen=0).status
        low, high = BANDS[status]
        assert low <= advise(face).score <= high
        seen.add(status)
    assert seen == {Status.ACCEPTED, Status.WARNED, Status.REFUSED}


@pytest.mark.parametrize("picture", [photos.obama, photos.obama_speaking, photos.biden])
def test_good_photos_score_well(finder: FaceFinder, picture):
    pixels = picture()

    assert advise(measure(pixels, finder.find(pixels)[0])).score >= 80


def darken(pixels: Pixels) -> Pixels:
    return (pixels * 0.22).astype(np.uint8)


def blur(pixels: Pixels) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), 4)


def shrink(pixels: Pixels) -> Pixels:
    return cv2.resize(pixels, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)


def burn(pixels: Pixels) -> Pixels:
    return np.clip(pixels.astype(np.float32) * 2.2, 0, 255).astype(np.uint8)


def turn(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 3), 35, 1)
    return cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize(
    ("spoil", "tip"),
    [
        (darken, Tip.FACE_THE_WINDOW),
        (blur, Tip.HOLD_STILL),
        (shrink, Tip.COME_CLOSER),
        (burn, Tip.LEAVE_HARD_LIGHT),
        (turn, Tip.HEAD_UPRIGHT),
    ],
)
def test_what_spoilt_a_photo_is_named_and_costs_points(finder: FaceFinder, spoil, tip):
    good = photos.obama()
    before = check_photo(good, finder)

    after = check_photo(spoil(good), finder)

    assert tip in advise(after.measurements[0]).tips
    assert advise(after.measurements[0]).score < advise(before.measurements[0]).score - 15
