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

# A perceptual hash is the mean color of so many fields, in whole steps of Lab: 120 digits in which nobody can be
# recognized. Over 2,700 pairs of headshots its distances agree with those at 32 x 32 px (correlation 0.987).
HASH_COLUMNS, HASH_ROWS = 4, 5

Overview = NDArray[np.float32]
"""(h, w, 3) CIE Lab: a picture at a glance."""


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
    region = pixels[top:bottom, left:right]
    return Look(_small_lab(pixels, LOOK_PX, LOOK_PX), _small_lab(region, LOOK_PX, LOOK_PX))


def distance_between(one: Look, other: Look) -> Distance:
    """How far apart two pictures look."""
    return Distance(_mean_step(one.whole, other.whole), _mean_step(one.subject, other.subject))


def perceptual_hash(pixels: Pixels) -> str:
    """What a picture of any size looks like from afar, in 120 hexadecimal digits; alike pictures have near ones."""
    fields = np.round(_small_lab(pixels, HASH_COLUMNS, HASH_ROWS)) + np.array([0, 128, 128], np.float32)
    return np.clip(fields, 0, 255).astype(np.uint8).tobytes().hex()


def hash_distance(one: str, other: str) -> float:
    """Mean difference in Lab of two hashes. Raises ValueError for what is none."""
    return _mean_step(_read_hash(one), _read_hash(other))


def is_twin(own: str, others: Iterable[str]) -> bool:
    """Whether a picture looks like one of the others to whoever glances at a page of them; all by their hashes."""
    return any(hash_distance(own, other) < MIN_DISTANCE for other in others)


def nearest(look: Look, others: Sequence[Look]) -> Distance | None:
    """The distance to the picture that looks most alike; None when there is no other."""
    return min((distance_between(look, other) for other in others), key=lambda each: each.whole, default=None)


def _read_hash(digits: str) -> Overview:
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(HASH_ROWS, HASH_COLUMNS, 3).astype(np.float32)


def _small_lab(pixels: Pixels, width: int, height: int) -> Overview:
    import cv2

    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor((small / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2Lab), np.float32)


def _mean_step(one: Overview, other: Overview) -> float:
    return float(np.sqrt(((one - other) ** 2).sum(axis=2)).mean())
