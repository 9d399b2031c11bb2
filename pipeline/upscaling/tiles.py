"""Cut a large picture into overlapping tiles, and plan their seams. Pure functions.

Each tile is seen with some context around it, so that a network's answer at its rim is as good as in its middle;
answers meet in a soft seam.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Context to each side. 64 px tiles of a 128 px face against the whole picture, x4plus: at most 7/255 away with 32,
# 17/255 with 24, 35/255 with 10.
OVERLAP = 32
# Half the width of a seam: neighbors share so many pixels to each side of their border.
SEAM = 4
# Rows are cut at multiples of a step, so many steps at most.
MAX_STEPS = 96
MIN_STEP = 8
# Smaller ones would be nearly all context.
MIN_TILE_PX = 8


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture, in its pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, margin: int, shape: tuple[int, int]) -> "Tile":
        """With so much more to each side, as far as the picture goes."""
        height, width = shape
        return Tile(
            max(0, self.top - margin),
            min(height, self.bottom + margin),
            max(0, self.left - margin),
            min(width, self.right + margin),
        )


def plan_tiles(wanted: NDArray[np.bool_], side: int) -> list[Tile]:
    """Tiles of at most `side`² pixels that cover all that is wanted, with the least work in sum, context included.

    Bands of rows, each as wide as what is wanted in it: a head is narrower than the shoulders below it.
    Raises ValueError for a side too small to be worth its context."""
    if side < MIN_TILE_PX:
        raise ValueError(f"tiles of {side} px; at least {MIN_TILE_PX}")
    height, width = wanted.shape
    step = max(MIN_STEP, math.ceil(height / MAX_STEPS))
    cuts = [*range(0, height, step), height]
    # best[i]: the least work for all rows above cut i, and the tiles that do it.
    best: list[tuple[int, list[Tile]]] = [(0, [])]
    for end in range(1, len(cuts)):
        choices = []
        for start in range(end):
            band = list(_split_band(wanted[cuts[start] : cuts[end]], cuts[start], side))
            work = sum(tile.grown(OVERLAP, (height, width)).area for tile in band)
            choices.append((best[start][0] + work, start, band))
        work, start, band = min(choices, key=lambda choice: choice[:2])
        best.append((work, best[start][1] + band))
    return best[-1][1]


def _split_band(rows: NDArray[np.bool_], top: int, side: int) -> Iterator[Tile]:
    """The wanted part of some rows as tiles beside one another, equally wide, none above the limit."""
    columns = np.flatnonzero(rows.any(axis=0))
    if not len(columns):
        return
    left, right = int(columns[0]), int(columns[-1]) + 1
    count = min(right - left, math.ceil(rows.shape[0] * (right - left) / side**2))
    for number in range(count):
        yield Tile(
            top,
            top + rows.shape[0],
            left + (right - left) * number // count,
            left + (right - left) * (number + 1) // count,
        )


def ramp(length: int, seam: int, at_start: bool, at_end: bool) -> NDArray[np.float32]:
    """(length,) how far each place along a tile is its own: rising from 0 to 1 over the seam at the named ends."""
    places = np.arange(length, dtype=np.float32) + np.float32(0.5)
    own = np.ones(length, np.float32)
    if at_start:
        own = np.minimum(own, places / seam)
    if at_end:
        own = np.minimum(own, (length - places) / seam)
    return np.asarray(own, np.float32)
