"""Split a large picture into overlapping tiles, and plan their seams. Pure functions.

Each tile is enlarged together with some surrounding context, so that its border is as good as its middle. Neighboring
tiles are blended in a soft seam.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Context on each side of a tile, in pixels. Measured with x4plus on 64 px tiles of a 128 px face, compared with the
# whole picture: the largest difference is 7/255 with 32, 17/255 with 24 and 35/255 with 10.
OVERLAP = 32
# Context around everything that is wanted. Less is enough there, because the result ends in a margin of background.
EDGE_CONTEXT = 16
# Half the width of a seam. Neighboring tiles overlap by this many pixels on each side of their border.
SEAM = 4
# Tiles start and end at multiples of a row step. There are at most this many steps.
MAX_STEPS = 96
MIN_STEP = 8
# Smaller tiles would consist almost entirely of context.
MIN_TILE_PX = 8


@dataclass(frozen=True)
class Tile:
    """A rectangle in pixels of the picture."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, margin: int, limit: "Tile") -> "Tile":
        """Return the tile with a margin on each side, clipped to another tile."""
        return Tile(
            max(limit.top, self.top - margin),
            min(limit.bottom, self.bottom + margin),
            max(limit.left, self.left - margin),
            min(limit.right, self.right + margin),
        )


def visible_area(wanted: NDArray[np.bool_]) -> Tile:
    """Return the part of the picture that the network can see: all wanted pixels and some context around them."""
    height, width = wanted.shape
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    if not len(rows):
        return Tile(0, 0, 0, 0)
    bounds = Tile(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    return bounds.grown(EDGE_CONTEXT, Tile(0, height, 0, width))


def plan_tiles(wanted: NDArray[np.bool_], side: int) -> list[Tile]:
    """Plan tiles of at most `side`² pixels that cover all wanted pixels with the least total work.

    The work includes the context. The tiles form bands of rows, and each band is only as wide as its wanted part. For
    example, the band of the head is narrower than the band of the shoulders.
    Raises ValueError if `side` is below MIN_TILE_PX."""
    if side < MIN_TILE_PX:
        raise ValueError(f"tiles of {side} px; at least {MIN_TILE_PX}")
    height, limit = len(wanted), visible_area(wanted)
    step = max(MIN_STEP, math.ceil(height / MAX_STEPS))
    cuts = [*range(0, height, step), height]
    # best[i]: least work for all rows above cut i, and the tiles.
    best: list[tuple[int, list[Tile]]] = [(0, [])]
    for end in range(1, len(cuts)):
        choices = []
        for start in range(end):
            band = list(_split_band(wanted[cuts[start] : cuts[end]], cuts[start], side))
            work = sum(tile.grown(OVERLAP, limit).area for tile in band)
            choices.append((best[start][0] + work, start, band))
        work, start, band = min(choices, key=lambda choice: choice[:2])
        best.append((work, best[start][1] + band))
    return best[-1][1]


def _split_band(rows: NDArray[np.bool_], top: int, side: int) -> Iterator[Tile]:
    """Split the wanted part of a band into equally wide tiles of at most `side`² pixels."""
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
    """Return the blending weight along a tile, (length,).

    The weight rises from 0 to 1 over the seam at the selected ends."""
    places = np.arange(length, dtype=np.float32) + np.float32(0.5)
    own = np.ones(length, np.float32)
    if at_start:
        own = np.minimum(own, places / seam)
    if at_end:
        own = np.minimum(own, (length - places) / seam)
    return np.asarray(own, np.float32)
