"""Sample a small square picture from a large photo, rotated and scaled, without aliasing."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Pixels

Similarity = NDArray[np.float32]
"""(2, 3) float32: maps x, y of the photo to x, y of the sampled square."""


def square_around(center: tuple[float, float], side: float, size: int, roll_degrees: float = 0.0) -> Similarity:
    """The map that brings a square of the photo (side in pixels, turned by its roll) upright to size x size."""
    scale = size / side
    cos, sin = (scale * f(math.radians(roll_degrees)) for f in (math.cos, math.sin))
    x, y = center
    return np.array(
        [[cos, sin, size / 2 - cos * x - sin * y], [-sin, cos, size / 2 + sin * x - cos * y]], dtype=np.float32
    )


def shrink_to(pixels: Pixels, long_edge: int) -> tuple[Pixels, float]:
    """The photo with no edge longer than this, and the factor (1 or less) that made it so."""
    height, width = pixels.shape[:2]
    factor = long_edge / max(height, width)
    if factor >= 1:
        return pixels, 1.0
    return _shrink(pixels, max(1, round(width * factor)), max(1, round(height * factor))), factor


def sample(pixels: Pixels, similarity: Similarity, size: int, cubic: bool = False) -> Pixels:
    """(size, size, 3) uint8: the photo seen through the map, black where the photo ends.

    Cuts the region out first, so that a 60 megapixel photo costs no more than its face,
    and shrinks by area before the map when it would skip pixels."""
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

    # From here on the map starts at the region, counted from its first pixel.
    linear, offset = similarity[:, :2].astype(np.float64), similarity[:, 2] + similarity[:, :2] @ (left, top)
    factor = 2 * _scale(similarity)
    if factor < 1:
        height, width = region.shape[:2]
        region = _shrink(region, max(1, round(width * factor)), max(1, round(height * factor)))
        # Sizes are whole pixels: go on with the factors that came out, and count from pixel centers.
        back = np.array([width / region.shape[1], height / region.shape[0]])
        linear, offset = linear * back, offset + linear @ ((back - 1) / 2)
    flags = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(region, np.c_[linear, offset], (size, size), flags=flags), dtype=np.uint8)


def _scale(similarity: Similarity) -> float:
    return math.hypot(similarity[0, 0], similarity[0, 1])


def _shrink(pixels: Pixels, width: int, height: int) -> Pixels:
    """The picture at this smaller size, by area."""
    import cv2

    # Half by half first: at 2:1 the linear filter is the mean of its neighbors too, and three times as fast.
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = ((pixels.shape[1] + 1) // 2, (pixels.shape[0] + 1) // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
