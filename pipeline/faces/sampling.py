"""Sample a small square picture from a large photo, rotated and scaled, without aliasing."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Pixels

Similarity = NDArray[np.float32]
"""A similarity transform, (2, 3) float32, from x, y of the photo to x, y of the sampled square."""


def square_around(center: tuple[float, float], side: float, size: int, roll_degrees: float = 0.0) -> Similarity:
    """Return the transform from a rotated square of the photo to an upright square of size x size pixels.

    Args:
        center: center of the photo's square, in pixels.
        side: side of the photo's square, in pixels.
        size: side of the upright square, in pixels.
        roll_degrees: rotation of the photo's square.
    """
    scale = size / side
    cos, sin = (scale * f(math.radians(roll_degrees)) for f in (math.cos, math.sin))
    x, y = center
    return np.array(
        [[cos, sin, size / 2 - cos * x - sin * y], [-sin, cos, size / 2 + sin * x - cos * y]], dtype=np.float32
    )


def shrink_to(pixels: Pixels, long_edge: int) -> tuple[Pixels, float]:
    """Shrink the photo so that its long edge is at most `long_edge`.

    Returns the photo and the scale factor, at most 1. A small photo is returned unchanged."""
    height, width = pixels.shape[:2]
    factor = long_edge / max(height, width)
    if factor >= 1:
        return pixels, 1.0
    return _shrink(pixels, max(1, round(width * factor)), max(1, round(height * factor))), factor


def sample(pixels: Pixels, similarity: Similarity, size: int, cubic: bool = False) -> Pixels:
    """Sample the photo through the transform. Returns (size, size, 3) uint8. Areas outside the photo are black.

    Crops the photo first, so that the cost depends on the face and not on the photo. If the transform would skip
    pixels, shrinks the crop by area averaging."""
    import cv2

    inverse = np.asarray(cv2.invertAffineTransform(similarity))
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]], dtype=np.float32) @ inverse.T
    height, width = pixels.shape[:2]
    margin = 2.0 / _scale(similarity) + 2
    left, top = (int(max(0, v)) for v in np.floor(corners.min(axis=0) - margin))
    right, bottom = (int(max(0, v)) for v in np.ceil(corners.max(axis=0) + margin))
    region = pixels[top : min(height, bottom), left : min(width, right)]
    if region.size == 0:
        return np.zeros((size, size, 3), np.uint8)

    # From here on the transform starts from coordinates of the crop instead of the photo.
    linear, offset = similarity[:, :2].astype(np.float64), similarity[:, 2] + similarity[:, :2] @ (left, top)
    factor = 2 * _scale(similarity)
    if factor < 1:
        height, width = region.shape[:2]
        region = _shrink(region, max(1, round(width * factor)), max(1, round(height * factor)))
        # Sizes are rounded to whole pixels. Therefore use the actual factors, and map pixel centers to pixel centers.
        back = np.array([width / region.shape[1], height / region.shape[0]])
        linear, offset = linear * back, offset + linear @ ((back - 1) / 2)
    flags = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(region, np.c_[linear, offset], (size, size), flags=flags), dtype=np.uint8)


def _scale(similarity: Similarity) -> float:
    return math.hypot(similarity[0, 0], similarity[0, 1])


def _shrink(pixels: Pixels, width: int, height: int) -> Pixels:
    """Shrink the picture to this size by area averaging."""
    import cv2

    # Halve the size as often as possible first. At 2:1 the linear filter also averages four pixels, and is three times
    # as fast.
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = ((pixels.shape[1] + 1) // 2, (pixels.shape[0] + 1) // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
