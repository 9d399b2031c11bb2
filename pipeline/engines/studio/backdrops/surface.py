"""The surface on which backdrops are painted, and operations that painters share.

All lengths are fractions of the picture's height. x is measured from the vertical center line of the picture. Values
are linear light: 1 is white paper, and lamps and sky are brighter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.filters import Floats, Shape, resize

Numbers = NDArray[np.floating]
"""Intermediate results of any precision, (h, w) or (h, w, 3)."""


@dataclass(frozen=True, eq=False)
class PaintSurface:
    """The surface on which a painter paints a backdrop.

    Attributes:
        x: (h, w) horizontal coordinate of each pixel.
        y: (h, w) vertical coordinate of each pixel.
        rng: random generator of the shot.
    """

    x: Floats
    y: Floats
    rng: np.random.Generator

    @property
    def shape(self) -> Shape:
        return self.x.shape[0], self.x.shape[1]

    def fill(self, light: Floats) -> Floats:
        """Return (h, w, 3) filled with one color."""
        return np.ones((*self.shape, 3), np.float32) * light

    def clouds(self, length: float) -> Floats:
        """Return smooth noise, (h, w), with features of about this length.

        The mean is about 0, and the standard deviation is 1."""
        height, width = self.shape
        step = max(2.0, length * height)
        small = self.rng.standard_normal((int(height / step) + 4, int(width / step) + 4)).astype(np.float32)
        rows, columns = small.shape
        large = resize(small, (int(rows * step) + 1, int(columns * step) + 1))
        top, left = int(step * self.rng.uniform(1, 1.9)), int(step * self.rng.uniform(1, 1.9))
        plane = np.ascontiguousarray(large[top : top + height, left : left + width])
        plane = resize(plane, self.shape)
        return np.asarray(plane / (plane.std() + 1e-6), np.float32)

    def pool(self, x: float, y: float, width: float, height: float) -> Floats:
        """Return the glow of a lamp, (h, w): 1 at its center, and 0.37 at the distance `width` or `height`."""
        return np.asarray(np.exp(-(((self.x - x) / width) ** 2) - ((self.y - y) / height) ** 2), np.float32)

    def panel(self, left: float, top: float, right: float, bottom: float) -> Floats:
        """Return a mask, (h, w), that is 1 inside a rectangle and 0 outside. Its edges are soft by one pixel."""
        sharpness = float(self.shape[0])
        across = np.minimum(self.x - left, right - self.x) * sharpness + 0.5
        down = np.minimum(self.y - top, bottom - self.y) * sharpness + 0.5
        return np.asarray(np.clip(np.minimum(across, down), 0, 1), np.float32)


Painter = Callable[[PaintSurface], Floats]


def mix(one: Numbers, other: Numbers, share: Numbers) -> Floats:
    return np.asarray(one + (other - one) * share[..., None], np.float32)


def soft(plane: Numbers) -> Floats:
    """Map noise to 0..1 with a sigmoid."""
    return np.asarray(1 / (1 + np.exp(-1.8 * plane)), np.float32)
