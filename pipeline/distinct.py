"""Are two headshots of one pack two pictures? How far apart they look, and from which distance on they count as two."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Box, Pixels

# Pictures are compared at this size: what differs only in grain, or in the place of a blurred leaf, is one picture.
LOOK_PX = 32

# In CIE Lab, as a mean over the picture: another grain makes 0.25, another seed 0.2 to 1.9 before most plain sets, the
# planned shots of a pack are 2.5 apart and more; docs/experiments.md.
MIN_DISTANCE = 2.0


Overview = NDArray[np.float32]
"""(32, 32, 3) CIE Lab: a picture at a glance."""


@dataclass(frozen=True, eq=False)
class Look:
    """What of a picture is compared: the whole and the face's surroundings."""

    whole: Overview
    subject: Overview


@dataclass(frozen=True)
class Distance:
    """Mean difference in Lab between two pictures: of the whole, and of the subject's region, each in its own place."""

    whole: float
    subject: float


def look_at(pixels: Pixels, face: Box) -> Look:
    """What is compared of a picture; a few kilobytes. face: in its pixels."""
    height, width = pixels.shape[:2]
    top, bottom = (round(np.clip(face.top + share * face.height, 0, height)) for share in (-0.6, 1.6))
    left, right = (round(np.clip(face.left + share * face.width, 0, width)) for share in (-0.6, 1.6))
    return Look(overview(pixels), overview(pixels[top:bottom, left:right]))


def distance_between(one: Look, other: Look) -> Distance:
    """How far apart two pictures look."""
    return Distance(_mean_step(one.whole, other.whole), _mean_step(one.subject, other.subject))


def is_twin(whole: Overview, others: Iterable[Overview]) -> bool:
    """Whether a picture looks like one of the others to whoever glances at a page of them."""
    return any(_mean_step(whole, other) < MIN_DISTANCE for other in others)


def nearest(look: Look, others: Sequence[Look]) -> Distance | None:
    """The distance to the picture that looks most alike; None when there is no other."""
    return min((distance_between(look, other) for other in others), key=lambda each: each.whole, default=None)


def overview(pixels: Pixels) -> Overview:
    """A picture of any size at a glance."""
    import cv2

    small = cv2.resize(pixels, (LOOK_PX, LOOK_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor((small / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2Lab), np.float32)


def _mean_step(one: Overview, other: Overview) -> float:
    return float(np.sqrt(((one - other) ** 2).sum(axis=2)).mean())
