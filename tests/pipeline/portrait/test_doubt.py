"""How places are decided about which the segmentation network is in doubt, on made-up pictures."""

from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.faces import landmarks
from pipeline.imaging.filters import Floats, blur, resize
from pipeline.portrait.doubt import Views, outline_confidence, resolve_doubt
from pipeline.types import Mesh

SHAPE = (280, 224)
SKIN, SHIRT, WALL, PAINT = (0.8, 0.6, 0.5), (0.1, 0.15, 0.4), (0.7, 0.1, 0.4), (0.9, 0.9, 0.95)
ROWS, COLUMNS = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)


@dataclass
class Scene:
    """A person in front of a wall, and what two groups of views see."""

    picture: Floats
    sure: Floats
    mild: Floats

    def paint(self, where, color, sure: float, mild: float) -> None:
        self.picture[where] = color
        self.sure[where], self.mild[where] = sure, mild

    @property
    def views(self) -> Views:
        half = SHAPE[0] // 2, SHAPE[1] // 2
        each = [resize(seen, half) for seen in (self.sure, self.sure, self.mild, self.mild)]
        mean = np.asarray((self.sure + self.mild) / 2, np.float32)
        return Views(mean, np.array(each, np.float32), np.ones((4, *half), np.bool_))

    def resolve(self) -> Floats:
        return resolve_doubt(self.views, self.picture, np.ones(SHAPE, np.float32), mesh())


def mesh() -> Mesh:
    """A face of 100 px around column 112, row 110."""
    points = np.zeros((468, 3), np.float32)
    points[:, :2] = 112, 110
    angles = np.linspace(0, 2 * np.pi, len(landmarks.OVAL), endpoint=False)
    points[list(landmarks.OVAL), :2] = np.c_[112 + 36 * np.sin(angles), 110 - 50 * np.cos(angles)]
    points[landmarks.FOREHEAD_TOP, :2], points[landmarks.CHIN, :2] = (112, 60), (112, 160)
    return points


def area(top: int, bottom: int, left: int, right: int):
    where = np.zeros(SHAPE, np.bool_)
    where[top:bottom, left:right] = True
    return where


@pytest.fixture
def scene() -> Scene:
    """Head, shirt and a painted letter far from the person. The views agree."""
    nothing = np.zeros(SHAPE, np.float32)
    made = Scene(np.empty((*SHAPE, 3), np.float32), nothing.copy(), nothing.copy())
    made.paint(area(0, 280, 0, 224), WALL, 0, 0)
    made.paint(area(20, 60, 8, 28), PAINT, 0, 0)
    made.paint(np.hypot((COLUMNS - 112) / 44, (ROWS - 105) / 60) < 1, SKIN, 1, 1)
    made.paint(area(165, 280, 40, 184), SHIRT, 1, 1)
    noise = np.random.default_rng(1).normal(0, 0.01, (*SHAPE, 1))
    made.picture = np.clip(made.picture + noise, 0, 1).astype(np.float32)
    return made


def test_what_the_views_agree_on_stays_as_it_is(scene):
    assert np.array_equal(scene.resolve(), scene.views.mean)


def test_a_letter_of_the_wall_next_to_the_shoulder_is_background(scene):
    letter = area(175, 215, 184, 204)
    scene.paint(letter, PAINT, 0.9, 0.3)

    assert scene.resolve()[letter].mean() < 0.1


def test_hair_in_doubt_with_the_color_of_sure_hair_is_the_person(scene):
    scene.paint(area(60, 165, 60, 75), (0.2, 0.1, 0.05), 1, 1)
    strand = area(90, 165, 40, 60)
    scene.paint(strand, (0.2, 0.1, 0.05), 0.7, 0.4)

    assert scene.resolve()[strand].mean() > 0.9


def test_an_ear_with_the_color_of_the_wall_stays(scene):
    ear = area(95, 125, 150, 170)
    scene.paint(ear, WALL, 0.95, 0.5)

    assert np.allclose(scene.resolve()[ear], scene.views.mean[ear])


def test_a_bystander_who_hangs_on_by_a_thin_bridge_is_removed(scene):
    bystander = area(170, 230, 196, 224)
    scene.paint(bystander, SHIRT, 1, 1)
    scene.paint(area(198, 201, 184, 196), SHIRT, 1, 1)

    resolved = scene.resolve()

    assert resolved[bystander].mean() < 0.1
    assert resolved[area(170, 280, 50, 174)].min() > 0.9


def test_a_blurred_person_behind_the_shoulder_is_removed(scene):
    neighbor = area(165, 225, 0, 40)
    scene.paint(neighbor, SHIRT, 1, 0.75)
    scene.picture[::4, 60:160] *= 0.6
    stripes = np.where((ROWS // 14) % 2 > 0, 0.25, 0.75).astype(np.float32)
    soft = blur(stripes, 4)[..., None] * np.ones(3, np.float32)
    scene.picture[neighbor] = soft[neighbor]

    assert scene.resolve()[area(170, 215, 4, 30)].mean() < 0.2


STROKE = area(200, 212, 188, 214)


def paint_stroke(scene: Scene, color, right: int = 214) -> None:
    """Paint a stroke at the shoulder that all views take for the person."""
    scene.paint(area(200, 212, 184, right), color, 1, 1)


def test_a_stroke_of_a_letter_at_the_shoulder_is_removed_though_the_views_agree(scene):
    paint_stroke(scene, PAINT)

    resolved = scene.resolve()

    assert resolved[STROKE].mean() < 0.1
    assert resolved[area(170, 280, 50, 174)].min() > 0.99


def test_a_finger_at_the_shoulder_stays(scene):
    paint_stroke(scene, SKIN)

    assert np.array_equal(scene.resolve(), scene.views.mean)


def test_what_the_frame_cuts_stays(scene):
    paint_stroke(scene, PAINT, right=224)

    assert np.array_equal(scene.resolve(), scene.views.mean)


def test_confidence_falls_with_the_area_in_doubt(scene):
    agreed = outline_confidence(scene.views)
    scene.paint(area(175, 215, 184, 224), PAINT, 0.9, 0.1)
    little = outline_confidence(scene.views)
    scene.paint(area(60, 215, 184, 224), PAINT, 0.9, 0.1)

    assert agreed > 0.99
    assert 0 <= outline_confidence(scene.views) < little < agreed
