"""Detect near-duplicates among the headshots of a pack."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Box, Pixels

# Pictures are compared at this size. Differences in grain or in blurred background details disappear at this size.
THUMBNAIL_PX = 32

# Two pictures are near-duplicates if their mean difference in CIE Lab is below this. Different grain causes a
# difference of 0.25. A different seed causes 0.2 to 1.9 in front of most plain backdrops. The planned shots of a pack
# differ by at least 2.5 (docs/benchmarks.md).
MIN_DISTANCE = 2.0

# A perceptual hash contains the mean color of 4 x 5 fields in whole steps of Lab. Its 120 digits cannot show a person.
# For 2,700 pairs of headshots, distances between hashes agree with distances at 32 x 32 px (correlation 0.987).
HASH_COLUMNS, HASH_ROWS = 4, 5

LabPixels = NDArray[np.float32]
"""A picture at low resolution, (h, w, 3) in CIE Lab."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """Small copies of a picture for comparison.

    Attributes:
        whole: copy of the whole picture.
        subject: copy of the region around the face.
    """

    whole: LabPixels
    subject: LabPixels


@dataclass(frozen=True)
class Distance:
    """The visual distance between two pictures, as mean difference in Lab.

    Attributes:
        whole: distance between the whole pictures.
        subject: distance between the regions around the faces. Each region is cropped from its own picture.
    """

    whole: float
    subject: float


def make_thumbnail(pixels: Pixels, face: Box) -> Thumbnail:
    """Create the small copies of a picture for comparison.

    face: in pixels of the picture."""
    height, width = pixels.shape[:2]
    top, bottom = (round(np.clip(face.top + share * face.height, 0, height)) for share in (-0.6, 1.6))
    left, right = (round(np.clip(face.left + share * face.width, 0, width)) for share in (-0.6, 1.6))
    region = pixels[top:bottom, left:right]
    return Thumbnail(_small_lab(pixels, THUMBNAIL_PX, THUMBNAIL_PX), _small_lab(region, THUMBNAIL_PX, THUMBNAIL_PX))


def distance_between(one: Thumbnail, other: Thumbnail) -> Distance:
    """Return the visual distance between two pictures."""
    return Distance(_mean_difference(one.whole, other.whole), _mean_difference(one.subject, other.subject))


def perceptual_hash(pixels: Pixels) -> str:
    """Return the perceptual hash of a picture of any size: 120 hexadecimal digits.

    Similar pictures have similar hashes. Compare hashes with `hash_distance`."""
    fields = np.round(_small_lab(pixels, HASH_COLUMNS, HASH_ROWS)) + np.array([0, 128, 128], np.float32)
    return np.clip(fields, 0, 255).astype(np.uint8).tobytes().hex()


def hash_distance(one: str, other: str) -> float:
    """Return the mean difference in Lab between two hashes.

    Raises ValueError if an argument is not a hash."""
    return _mean_difference(_read_hash(one), _read_hash(other))


def is_near_duplicate(own: str, others: Iterable[str]) -> bool:
    """Return True if the picture is a near-duplicate of another picture, judged by perceptual hash."""
    return any(hash_distance(own, other) < MIN_DISTANCE for other in others)


def nearest(thumbnail: Thumbnail, others: Sequence[Thumbnail]) -> Distance | None:
    """Return the distance to the most similar of the other pictures, or None if there are no others."""
    return min((distance_between(thumbnail, other) for other in others), key=lambda each: each.whole, default=None)


def _read_hash(digits: str) -> LabPixels:
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(HASH_ROWS, HASH_COLUMNS, 3).astype(np.float32)


def _small_lab(pixels: Pixels, width: int, height: int) -> LabPixels:
    import cv2

    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor((small / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2Lab), np.float32)


def _mean_difference(one: LabPixels, other: LabPixels) -> float:
    return float(np.sqrt(((one - other) ** 2).sum(axis=2)).mean())
