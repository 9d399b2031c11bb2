"""The framing of a rendered picture: figures of a made-up face, and what the rules say about them."""

import numpy as np
import pytest

from pipeline.faces import landmarks
from pipeline.quality.framing_figures import FramingFigures, framing_faults, measure_framing
from pipeline.types import Box, Face, Framing


def test_figures_are_shares_of_the_frame():
    mesh = np.zeros((468, 3), np.float32)
    mesh[landmarks.FOREHEAD_TOP, :2] = 400, 300
    mesh[landmarks.CHIN, :2] = 400, 700
    for point, x in zip((33, 133, 362, 263), (320, 360, 440, 480), strict=True):
        mesh[point, :2] = x, 400

    figures = measure_framing(Face(Box(300, 350, 500, 650), 1.0, mesh), (1000, 800))

    assert figures == FramingFigures(eyes=0.4, face=0.4, center_x=0.5, center_y=0.5)


@pytest.mark.parametrize(
    ("eyes", "face", "center_x", "faults"),
    [
        (0.36, 0.50, 0.57, []),
        (0.35, 0.51, 0.58, ["eyes too high", "face too large", "face too far right"]),
        (0.47, 0.33, 0.42, ["eyes too low", "face too small", "face too far left"]),
    ],
)
def test_the_classic_framing_has_limits(eyes, face, center_x, faults):
    figures = FramingFigures(eyes, face, center_x, center_y=0.45)

    assert framing_faults(figures, Framing.CLASSIC) == faults


def test_a_framing_without_a_rule_is_not_judged():
    assert framing_faults(FramingFigures(0.9, 0.1, 0.1, 0.9), Framing.NEAR) == []
