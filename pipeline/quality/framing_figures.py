"""Measure how a rendered picture frames the face, and compare the figures with the rules of a framing."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.faces import landmarks
from pipeline.imaging.filters import Shape
from pipeline.types import Face, Framing

Range = tuple[float, float]
"""Smallest and largest allowed value."""


@dataclass(frozen=True)
class FramingRule:
    """The allowed figures of one framing, as shares of the frame.

    Attributes:
        eyes: height of the eyes, from the top.
        face: height of the face, from the top of the forehead to the chin.
        center: horizontal center of the face, from the left.
    """

    eyes: Range
    face: Range
    center: Range


# A framing without a rule is measured but not judged.
RULES: Mapping[Framing, FramingRule] = {
    Framing.CLASSIC: FramingRule(eyes=(0.36, 0.46), face=(0.34, 0.50), center=(0.43, 0.57)),
}


@dataclass(frozen=True)
class FramingFigures:
    """The position and size of the face in a picture, as shares of the frame.

    Attributes:
        eyes: height of the eyes, from the top.
        face: height of the face, from the top of the forehead to the chin.
        center_x: center of the face's bounding box, from the left.
        center_y: center of the face's bounding box, from the top.
    """

    eyes: float
    face: float
    center_x: float
    center_y: float


def measure_framing(face: Face, shape: Shape) -> FramingFigures:
    """Measure a face that was found in a rendered picture of this shape."""
    height, width = shape
    right, left = landmarks.eye_centers(face.mesh)
    return FramingFigures(
        eyes=float(right[1] + left[1]) / 2 / height,
        face=landmarks.face_height(face.mesh) / height,
        center_x=(face.box.left + face.box.right) / 2 / width,
        center_y=(face.box.top + face.box.bottom) / 2 / height,
    )


def framing_faults(figures: FramingFigures, framing: Framing) -> list[str]:
    """Return what the rule of this framing finds wrong, in words. Returns an empty list if nothing is wrong."""
    rule = RULES.get(framing)
    if rule is None:
        return []
    judged = (
        (figures.eyes, rule.eyes, ("eyes too high", "eyes too low")),
        (figures.face, rule.face, ("face too small", "face too large")),
        (figures.center_x, rule.center, ("face too far left", "face too far right")),
    )
    return [words[value > high] for value, (low, high), words in judged if not low <= value <= high]
