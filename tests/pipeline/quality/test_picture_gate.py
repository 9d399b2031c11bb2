"""The gate over finished pictures: every planted failure is caught, every good picture is kept."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.engines.studio import StudioEngine
from pipeline.errors import Reason
from pipeline.faces import landmarks
from pipeline.faces.find import FaceFinder
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import OPEN_GATE
from pipeline.imaging.skin import Skin
from pipeline.quality.gate import GateReference, Judgment, build_gate_reference, drift_between, judge_picture
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import PREVIEW, Job, Pixels, Shot, Size, SourcePhoto, ignore_progress
from pipeline.weights import Weights
from tests.helpers import photos


@pytest.fixture(scope="module")
def source(finder: FaceFinder) -> Callable[[Pixels], SourcePhoto]:
    return lambda pixels: SourcePhoto(pixels, finder.find(pixels)[0])


# Half of a preview's sides: the gate measures faces at a size of its own.
SMALL = Size(448, 560)
Sheet = tuple[GateReference, list[tuple[Shot, Pixels]]]


@pytest.fixture(scope="module")
def make_sheets(weights: Weights, embedder: FaceEmbedder, source) -> Callable[[int, Size], list[Sheet]]:
    """Studio pictures of three people, so many of each, with what they are held against."""
    engine = StudioEngine(weights, threads=1)

    def make(count: int, size: Size) -> list[Sheet]:
        sheets = []
        for pixels in (photos.astronaut(), photos.obama(), photos.biden()[:1400]):
            photo = source(pixels)
            subject = engine.prepare([photo], size)
            looks = [style for style in load_styles() if count > 4 or style.name in {"corporate", "outdoor", "bw"}]
            jobs = [Job(subject, shot) for shot in plan_shots(looks, count, seed=1)]
            pictures = [(each.job.shot, each.pixels) for each in engine.render(jobs, size, ignore_progress)]
            sheets.append((build_gate_reference([photo], embedder), pictures))
        return sheets

    return make


@pytest.fixture(scope="module")
def contact_sheets(make_sheets) -> list[Sheet]:
    return make_sheets(3, SMALL)


@pytest.fixture(scope="module")
def good(contact_sheets) -> Pixels:
    """The astronaut's first headshot, in color."""
    return contact_sheets[0][1][0][1]


@pytest.fixture(scope="module")
def judge(contact_sheets, finder, embedder) -> Callable[..., Judgment]:
    """What the gate says of a picture that should show the astronaut."""
    gate_reference = contact_sheets[0][0]
    return lambda pixels, **more: judge_picture(pixels, gate_reference, finder, embedder, **more)


def on_face(pixels: Pixels, finder: FaceFinder, change: Callable[[np.ndarray], np.ndarray]) -> Pixels:
    """The picture with the Lab values of its face changed, softly at the rim, the rest as it was."""
    mesh = finder.find(pixels)[0].mesh
    mask = np.zeros(pixels.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(landmarks.select_points(mesh, landmarks.OVAL).astype(np.int32)), 1)
    mask = cv2.GaussianBlur(mask, (0, 0), 8)[..., None]
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    changed = cv2.cvtColor((lab + (change(lab) - lab) * mask).astype(np.float32), cv2.COLOR_Lab2RGB)
    return (np.clip(changed, 0, 1) * 255 + 0.5).astype(np.uint8)


def false_alarms(sheets: list[Sheet], finder: FaceFinder, embedder: FaceEmbedder) -> list[tuple[Shot, Judgment]]:
    """Good pictures that the gate refuses."""
    judged = [
        (shot, judge_picture(pixels, gate_reference, finder, embedder, monochrome=shot.style.monochrome))
        for gate_reference, pictures in sheets
        for shot, pixels in pictures
    ]
    return [(shot, found) for shot, found in judged if not found.accepted]


def test_every_good_picture_of_the_contact_sheets_is_kept(contact_sheets, finder, embedder):
    assert false_alarms(contact_sheets, finder, embedder) == []


def test_every_good_picture_of_three_large_contact_sheets_is_kept(make_sheets, finder, embedder):
    assert false_alarms(make_sheets(50, PREVIEW), finder, embedder) == []


def test_a_good_picture_says_how_good_it_is(judge, good):
    found = judge(good)

    assert found.accepted
    assert found.reasons == ()
    assert 0.7 < found.quality <= 1
    assert found.drift is not None
    assert abs(found.drift.lightness) < 3


def test_somebody_else_is_caught(judge, contact_sheets):
    assert judge(contact_sheets[1][1][0][1]).reasons[0] is Reason.NOT_ALIKE


def test_a_second_face_is_caught(judge, contact_sheets, good):
    stranger = cv2.resize(contact_sheets[1][1][0][1], None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    two = good.copy()
    two[: stranger.shape[0], : stranger.shape[1]] = stranger

    assert judge(two).reasons == (Reason.SEVERAL_FACES,)


def test_no_face_is_caught(judge):
    assert judge(photos.coffee()).reasons == (Reason.NO_FACE,)


def test_a_blurred_face_is_caught(judge, good):
    assert Reason.TOO_BLURRY in judge(cv2.GaussianBlur(good, (0, 0), 2.0)).reasons


def test_a_lightened_face_is_caught(judge, good, finder):
    lightened = on_face(good, finder, lambda lab: lab + np.float32([11, 0, 0]))

    assert judge(lightened).reasons == (Reason.SKIN_TONE,)


def test_a_darkened_face_is_caught(judge, good, finder):
    darkened = on_face(good, finder, lambda lab: lab - np.float32([16, 0, 0]))

    assert Reason.SKIN_TONE in judge(darkened).reasons


def test_a_face_of_another_hue_is_caught(judge, good, finder):
    turn = np.radians(18)
    matrix = np.float32([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    turned = on_face(good, finder, lambda lab: lab @ matrix.T)

    assert judge(turned).reasons == (Reason.SKIN_TONE,)


def test_an_oversaturated_face_is_caught(judge, good, finder):
    vivid = on_face(good, finder, lambda lab: lab * np.float32([1, 1.6, 1.6]))

    assert Reason.OVERSATURATED in judge(vivid).reasons


def test_a_face_without_color_is_caught_unless_the_look_has_none(judge, good):
    gray = np.repeat(cv2.cvtColor(good, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)

    assert judge(gray).reasons == (Reason.SKIN_TONE,)
    assert judge(gray, monochrome=True).accepted


def test_a_black_and_white_face_is_held_to_its_lightness(judge, good, finder):
    gray = np.repeat(cv2.cvtColor(good, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)

    lightened = on_face(gray, finder, lambda lab: lab + np.float32([12, 0, 0]))

    assert judge(lightened, monochrome=True).reasons == (Reason.SKIN_TONE,)


def test_an_open_gate_lets_everything_through_and_still_tells_the_truth(judge, good, finder):
    found = judge(on_face(good, finder, lambda lab: lab + np.float32([12, 0, 0])), max_distance=OPEN_GATE)

    assert found.accepted
    assert found.reasons == (Reason.SKIN_TONE,)


def test_a_photo_in_black_and_white_sets_no_hue():
    drift = drift_between(Skin(60, 0.5, 0.5, 80), Skin(61, 12, 14, 82))

    assert (drift.lightness, drift.hue_degrees, drift.chroma_share) == (1, None, None)


def test_the_nearest_of_several_photos_counts(contact_sheets, good, finder, embedder):
    """Photos of one person differ in light; a picture is made from one of them."""
    gate_reference = contact_sheets[0][0]
    dimmer = replace(gate_reference, skins=(replace(gate_reference.skins[0], lightness=30), gate_reference.skins[0]))

    assert judge_picture(good, dimmer, finder, embedder).accepted
    assert not judge_picture(good, replace(dimmer, skins=dimmer.skins[:1]), finder, embedder).accepted


def test_a_template_of_several_photos_accepts_pictures_of_each(contact_sheets, source, finder, embedder):
    both = build_gate_reference([source(photos.obama()), source(photos.obama_speaking())], embedder)

    assert len(both.skins) == 2
    assert judge_picture(contact_sheets[1][1][0][1], both, finder, embedder).accepted
