"""The limits of the quality gate on both sides, and what is measured against them."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.errors import Reason
from pipeline.identity.embedding import fuse
from pipeline.identity.likeness import Likeness
from pipeline.imaging.skin import Skin
from pipeline.quality import gate
from pipeline.quality.gate import Drift, GateReference, drift_between, judge_picture
from pipeline.types import Measurements

GOOD = Measurements(
    face_width_px=400,
    yaw_degrees=0,
    pitch_degrees=0,
    roll_degrees=0,
    sharpness=0.5,
    lightness_median=60,
    lightness_p95=80,
    overexposed_share=0,
    light_asymmetry=0,
    occlusion=0,
    outside_share=0,
)


def skin(hue_degrees: float, chroma: float = 20, lightness: float = 60) -> Skin:
    hue = math.radians(hue_degrees)
    return Skin(lightness, chroma * math.cos(hue), chroma * math.sin(hue), 80)


@pytest.mark.parametrize(
    ("photo", "picture", "turn"), [(40, 50, 10), (50, 40, -10), (170, -170, 20), (-170, 170, -20), (0, 90, 90)]
)
def test_a_hue_turns_the_short_way_round(photo: float, picture: float, turn: float) -> None:
    drift = drift_between(skin(photo, chroma=20), skin(picture, chroma=30, lightness=57))

    assert (drift.lightness, drift.hue_degrees, drift.chroma_share) == (-3, pytest.approx(turn), pytest.approx(1.5))


def test_gray_skin_has_no_hue_and_a_gray_photo_sets_no_color() -> None:
    assert drift_between(skin(40), skin(40, chroma=2)) == Drift(0, None, pytest.approx(0.1))
    assert drift_between(skin(40, chroma=2), skin(40)) == Drift(0, None, None)


TONE, VIVID = Reason.SKIN_TONE, Reason.OVERSATURATED


@pytest.mark.parametrize(
    ("lightness", "hue", "share", "reasons"),
    [
        (8.0, 12.0, 1.35, []),
        (-12.0, -12.0, 0.6, []),
        (8.1, 0.0, 1.0, [TONE]),
        (-12.1, 0.0, 1.0, [TONE]),
        (0.0, 12.1, 1.0, [TONE]),
        (0.0, -12.1, 1.0, [TONE]),
        (0.0, 0.0, 0.59, [TONE]),
        (0.0, 0.0, 1.36, [VIVID]),
        (8.1, 0.0, 1.36, [TONE, VIVID]),
        (0.0, None, 1.0, [TONE]),
        (8.0, None, None, []),
        (8.1, None, None, [TONE]),
    ],
)
def test_the_limits_of_skin(lightness: float, hue: float | None, share: float | None, reasons: list[Reason]) -> None:
    drift = Drift(lightness, hue, share)

    assert gate._color_reasons(drift, monochrome=False) == reasons
    # Of a black and white picture only the lightness counts.
    is_off = not -12 <= lightness <= 8
    assert gate._color_reasons(drift, monochrome=True) == ([TONE] if is_off else [])


@pytest.mark.parametrize(("photo", "least"), [(0.1, 0.15), (0.3, 0.18), (0.4, 0.24), (0.9, 0.24)])
def test_a_composed_picture_is_about_as_sharp_as_its_photo_and_never_blurred(
    monkeypatch: pytest.MonkeyPatch, photo: float, least: float
) -> None:
    assert sharpness_reasons(monkeypatch, least + 0.001, photo, drawn=False) == ()
    assert sharpness_reasons(monkeypatch, least - 0.001, photo, drawn=False) == (Reason.TOO_BLURRY,)


def test_a_drawn_picture_need_not_be_as_sharp_as_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sharpness_reasons(monkeypatch, 0.151, 0.9, drawn=True) == ()
    assert sharpness_reasons(monkeypatch, 0.149, 0.9, drawn=True) == (Reason.TOO_BLURRY,)


def sharpness_reasons(
    monkeypatch: pytest.MonkeyPatch, picture: float, photo: float, *, drawn: bool
) -> tuple[Reason, ...]:
    """What the gate says of a picture this sharp, of a person whose photo is that sharp."""
    likeness = Likeness(0.2, 1, True, face=SimpleNamespace())
    monkeypatch.setattr(gate, "judge_likeness", lambda *arguments: likeness)
    monkeypatch.setattr(gate, "skin_of", lambda pixels, face: skin(50))
    monkeypatch.setattr(gate, "measure", lambda pixels, face: replace(GOOD, sharpness=picture))
    reference = GateReference(np.zeros(128, np.float32), (skin(50),), photo)
    return judge_picture(np.zeros((4, 4, 3), np.uint8), reference, None, None, drawn=drawn).reasons


def test_a_picture_is_neither_dark_nor_overexposed() -> None:
    assert gate._quality_reasons(replace(GOOD, lightness_p95=40, overexposed_share=0.2), 0.2) == []
    assert gate._quality_reasons(replace(GOOD, lightness_p95=39.9), 0.2) == [Reason.TOO_DARK]
    assert gate._quality_reasons(replace(GOOD, overexposed_share=0.21), 0.2) == [Reason.OVEREXPOSED]


def test_lightness_and_hue_of_a_drift_add_up_in_parts_of_their_limits() -> None:
    assert gate._drift_size(Drift(8, -12, 1)) == 2
    assert gate._drift_size(Drift(-4, None, None)) == 0.5
    assert gate._drift_size(Drift(0, 3, 1)) == 0.25


def test_photos_count_by_their_score_and_the_sharpest_sets_the_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = {"good": np.float32([1, 0]), "poor": np.float32([0, 1])}
    sharpness, scores = {"good": 0.2, "poor": 0.3}, {0.2: 80, 0.3: 0}
    monkeypatch.setattr(gate, "measure", lambda pixels, face: replace(GOOD, sharpness=sharpness[pixels]))
    monkeypatch.setattr(gate, "advise", lambda measured: SimpleNamespace(score=scores[measured.sharpness]))
    monkeypatch.setattr(gate, "corrected_skin_of", lambda pixels, face: pixels)
    embedder = SimpleNamespace(embed=lambda pixels, face: embeddings[pixels], second=None)
    photos = [SimpleNamespace(pixels=name, face=None) for name in embeddings]

    found = gate.build_gate_reference(photos, embedder)

    assert np.array_equal(found.embedding, fuse(list(embeddings.values()), [80, 1]))
    assert (found.skins, found.sharpness, found.second) == (("good", "poor"), 0.3, None)
