"""The matte and the person's own colors, on made-up pictures."""

import numpy as np
import pytest

from pipeline.faces import landmarks
from pipeline.imaging.filters import Floats, blur
from pipeline.portrait.matte import extract_matte, own_colors
from pipeline.types import Mesh

SHAPE = (280, 224)
ROWS, COLUMNS = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
DISTANCE = np.hypot((COLUMNS - 112) / 70, (ROWS - 120) / 90)
HEAD = (DISTANCE < 1).astype(np.float32)


def head_mesh() -> Mesh:
    """A face of 100 px in the middle of the head."""
    points = np.zeros((468, 3), np.float32)
    points[:, :2] = 112, 120
    angles = np.linspace(0, 2 * np.pi, len(landmarks.OVAL), endpoint=False)
    points[list(landmarks.OVAL), :2] = np.c_[112 + 36 * np.sin(angles), 120 - 50 * np.cos(angles)]
    points[landmarks.FOREHEAD_TOP, :2], points[landmarks.CHIN, :2] = (112, 70), (112, 170)
    return points


def filled(head: Floats, behind: tuple[float, float, float]) -> Floats:
    noise = np.random.default_rng(3).normal(0, 0.004, (*SHAPE, 1))
    picture = np.where(HEAD[..., None] > 0.5, head, np.array(behind, np.float32))
    return np.asarray(np.clip(picture + noise, 0, 1), np.float32)


def test_shadows_in_hair_stay_in_front_of_a_wall_of_the_same_color():
    lit, wall = np.array((0.7, 0.6, 0.5), np.float32), (0.03, 0.03, 0.03)
    strands = np.where(((COLUMNS // 4) % 3 < 1)[..., None], np.array(wall, np.float32), lit)
    alpha = extract_matte(filled(strands, wall), blur(HEAD, 1.5), np.ones(SHAPE, np.float32), head_mesh())

    inside = alpha[(DISTANCE < 0.95) & (ROWS < 160)]
    assert (inside < 0.95).mean() < 0.03
    assert alpha[DISTANCE > 1.15].max() < 0.05


@pytest.mark.parametrize("hair", [(0.4, 0.4, 0.4), (0.3, 0.2, 0.1)])
def test_the_color_that_a_wall_casts_on_the_edge_is_removed(hair):
    hair, wall = np.array(hair, np.float32), (0.9, 0.1, 0.4)
    cast = hair + 0.3 * np.clip((DISTANCE - 0.95) / 0.05, 0, 1)[..., None] * (np.array(wall, np.float32) - hair)
    picture = filled(cast, wall)

    colors = own_colors(picture, blur(HEAD, 0.7))

    rim = (DISTANCE > 0.97) & (DISTANCE < 0.985)
    redness, before = ((each[..., 0] - each[..., 1])[rim].mean() - (hair[0] - hair[1]) for each in (colors, picture))
    assert redness < 0.5 * before
    assert np.abs(colors - picture)[DISTANCE < 0.85].max() < 0.02


def test_clothes_with_the_color_of_the_wall_keep_it():
    red = (0.8, 0.1, 0.1)
    picture = filled(np.full((*SHAPE, 3), red, np.float32), red)

    assert np.abs(own_colors(picture, blur(HEAD, 0.7)) - picture)[DISTANCE < 0.97].max() < 0.03


def test_gray_hair_at_the_edge_of_a_face_stays_gray():
    skin, wall = np.array((0.8, 0.6, 0.5), np.float32), (0.3, 0.4, 0.9)
    picture = filled(np.where((DISTANCE > 0.93)[..., None], np.float32(0.6), skin), wall)

    edge = own_colors(picture, blur(HEAD, 0.7))[(DISTANCE > 0.96) & (DISTANCE < 0.97)]

    assert np.ptp(edge, axis=1).mean() < 0.06
