"""Detect faces with BlazeFace in square windows of a photo, and merge overlapping detections."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.interpreter import TfliteNetwork
from pipeline.faces.sampling import sample, square_around
from pipeline.types import Box, Pixels
from pipeline.weights import Weights

# Two detections are the same face if their intersection over union is above this.
SAME_FACE_OVERLAP = 0.3


@dataclass(frozen=True, eq=False)
class Detection:
    """A face candidate from BlazeFace.

    Attributes:
        box: bounding box.
        score: confidence, 0..1.
        keypoints: (6, 2) in pixels: right eye, left eye, nose, mouth, right ear, left ear.
    """

    box: Box
    score: float
    keypoints: NDArray[np.float64]

    @property
    def roll_degrees(self) -> float:
        x, y = self.keypoints[1] - self.keypoints[0]
        return math.degrees(math.atan2(y, x))

    def scaled(self, factor: float) -> "Detection":
        """Return this detection in the coordinates of a photo that was enlarged by `factor`."""
        edges = (self.box.left, self.box.top, self.box.right, self.box.bottom)
        return Detection(Box(*(edge * factor for edge in edges)), self.score, self.keypoints * factor)

    def turned_back(self, quarter_turns: int, width: int, height: int) -> "Detection":
        """Convert a detection in a rotated photo to the coordinates of the upright photo.

        Args:
            quarter_turns: number of 90 degree rotations to the left that were applied to the photo.
            width: width of the upright photo in pixels.
            height: height of the upright photo in pixels.
        """
        corners = np.array([[self.box.left, self.box.top], [self.box.right, self.box.bottom]])
        seen = np.concatenate([corners, self.keypoints])
        for turn in range(quarter_turns, 0, -1):
            # After an odd number of turns, the rotated photo's height is the upright photo's width.
            extent = width if turn % 2 else height
            seen = np.stack([extent - seen[:, 1], seen[:, 0]], axis=1)
        left, top = seen[:2].min(axis=0)
        right, bottom = seen[:2].max(axis=0)
        return Detection(Box(float(left), float(top), float(right), float(bottom)), self.score, seen[2:])


@dataclass(frozen=True)
class Window:
    """A square region of the photo, in pixels.

    Areas outside the photo are black."""

    left: float
    top: float
    side: float


class BlazeFace:
    """A BlazeFace detection network.

    Not thread-safe."""

    def __init__(self, weights: Weights, name: str, threads: int) -> None:
        self._network = TfliteNetwork(weights.path(name), threads)
        self._size, layers = _LAYOUTS[name]
        self._anchors = np.concatenate([_anchor_centers(cells, per_cell) for cells, per_cell in layers])

    def detect(self, pixels: Pixels, window: Window, min_score: float) -> list[Detection]:
        """Return all detections in the window with a score of at least `min_score` (0..1).

        Returns several overlapping detections per face."""
        center = (window.left + window.side / 2, window.top + window.side / 2)
        chip = sample(pixels, square_around(center, window.side, self._size), self._size)
        rows, logits = self._network.run(np.asarray(chip / 127.5 - 1, dtype=np.float32))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -80, 80)))
        kept = np.flatnonzero(scores >= min_score)

        # Each row contains the offset of the box center from the anchor, the width and height of the box, and the
        # offsets of the six keypoints.
        values = rows[kept].astype(np.float64).reshape(-1, 8, 2) / self._size
        values[:, 0] += self._anchors[kept]
        values[:, 2:] += self._anchors[kept, None]
        origin = np.array([window.left, window.top])
        return [
            Detection(_box(row[0] * window.side + origin, row[1] * window.side), float(score), points)
            for row, score, points in zip(values, scores[kept], values[:, 2:] * window.side + origin, strict=True)
        ]


def merge(detections: list[Detection]) -> list[Detection]:
    """Merge detections of the same face. Returns the merged detections, best score first.

    A merged detection is the score-weighted mean of the best detection and all detections that overlap it. It keeps the
    best score."""
    left = sorted(detections, key=lambda detection: -detection.score)
    merged = []
    while left:
        best = left[0]
        same = [d for d in left if d is best or overlap(d.box, best.box) > SAME_FACE_OVERLAP]
        left = [d for d in left if not any(d is other for other in same)]
        merged.append(_mean(same))
    return merged


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0..1."""
    shared = intersection(one, other)
    union = one.width * one.height + other.width * other.height - shared
    return shared / union if union > 0 else 0.0


def intersection(one: Box, other: Box) -> float:
    """Return the area of the intersection of two boxes, in square pixels."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0.0, width) * max(0.0, height)


def _mean(detections: list[Detection]) -> Detection:
    weights = np.array([d.score for d in detections])
    edges = np.array([[d.box.left, d.box.top, d.box.right, d.box.bottom] for d in detections])
    box = Box(*(float(v) for v in np.average(edges, axis=0, weights=weights)))
    keypoints = np.average(np.array([d.keypoints for d in detections]), axis=0, weights=weights)
    return Detection(box, detections[0].score, keypoints)


def _box(center: NDArray[np.float64], size: NDArray[np.float64]) -> Box:
    (left, top), (right, bottom) = center - size / 2, center + size / 2
    return Box(float(left), float(top), float(right), float(bottom))


def _anchor_centers(cells: int, per_cell: int) -> NDArray[np.float64]:
    """Return the anchor centers of one output layer, row by row.

    The result has the shape (cells * cells * per_cell, 2) and contains x and y, 0..1."""
    steps = (np.arange(cells) + 0.5) / cells
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), per_cell, axis=0)


# Input size of each network, then cells per side and anchors per cell of each output layer (MediaPipe's SSD anchor
# options).
_LAYOUTS: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "blazeface_short": (128, ((16, 2), (8, 6))),
    "blazeface_full": (192, ((48, 1),)),
}
