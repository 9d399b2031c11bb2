"""Paint places with depth: perspective in meters, and blur that grows with the distance.

The camera looks at the person, who is in focus. X is to the right of the camera, Y down and Z away from it, all in
meters. Every place is painted with its light coming from the left.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.engines.studio.backdrops.surface import Numbers, PaintSurface, mix
from pipeline.imaging.filters import Floats, blur
from pipeline.portrait.background import out_of_focus

# Distance of the person. A wall just behind the person is almost sharp, and the horizon is most blurred.
FOCUS = 1.3
# Height of a floor below the camera.
FLOOR = 1.5
FAR = 1e4
# Rows and columns of random numbers. Both are prime, so that patterns made of several textures do not repeat.
TABLE = (61, 67)
# Levels of blur between which the picture is interpolated.
LEVELS = 4


@dataclass(frozen=True, eq=False)
class View:
    """A picture of a place with the distance of each pixel. `paint` changes both.

    Attributes:
        surface: surface to paint on.
        horizon: vertical coordinate of the horizon.
        vanishing: horizontal coordinate of the point that the camera's direction vanishes in.
        light: (h, w, 3) linear light.
        distance: (h, w) meters.
        zoom: size in the picture, as a fraction of its height, of one meter at a distance of one meter.
    """

    surface: PaintSurface
    horizon: float
    light: Floats
    distance: Floats
    vanishing: float = 0.0
    zoom: float = 2.0

    @property
    def x(self) -> Floats:
        return self.surface.x - np.float32(self.vanishing)

    @property
    def y(self) -> Floats:
        return self.surface.y - np.float32(self.horizon)

    @property
    def edge(self) -> float:
        """Return the horizontal coordinate of the right edge: 0.4 in a 4:5 picture."""
        return self.surface.shape[1] / self.surface.shape[0] / 2

    def level_plane(self, height: float) -> Floats:
        """Return the distance (h, w) of a floor (height > 0, below the camera) or of a ceiling (height < 0)."""
        return _distance(self.zoom * height, self.y)

    def side_wall(self, offset: float) -> Floats:
        """Return the distance (h, w) of a wall parallel to the view, right (offset > 0) or left of the camera."""
        return _distance(self.zoom * offset, self.x)

    def oblique_wall(self, left: float, right: float) -> tuple[Floats, Floats]:
        """Return a wall that recedes, as its distance (h, w) and the meters along it (h, w) from the right edge.

        left, right: distance of the wall at the left and the right edge of the picture."""
        edge = self.edge
        distance = 1 / (((1 / left + 1 / right) + (1 / right - 1 / left) * self.surface.x / edge) / 2)
        across = self.surface.x * distance / self.zoom
        start, end = (edge * right / self.zoom, right), (-edge * left / self.zoom, left)
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        along = ((across - start[0]) * (end[0] - start[0]) + (distance - start[1]) * (end[1] - start[1])) / length
        return np.asarray(distance, np.float32), np.asarray(along, np.float32)

    def across(self, distance: Floats | float) -> Floats:
        """Return X in meters of each pixel, if it shows something at this distance."""
        return np.asarray(self.x * distance / self.zoom, np.float32)

    def down(self, distance: Floats | float) -> Floats:
        """Return Y in meters of each pixel, if it shows something at this distance."""
        return np.asarray(self.y * distance / self.zoom, np.float32)

    def upright(self, distance: float, left: float, top: float, right: float, bottom: float) -> Floats:
        """Return the mask (h, w) of an upright rectangle in meters that faces the camera."""
        scale = self.zoom / distance
        return self.surface.panel(
            self.vanishing + left * scale,
            self.horizon + top * scale,
            self.vanishing + right * scale,
            self.horizon + bottom * scale,
        )

    def paint(self, light: Numbers, mask: Numbers, distance: Numbers | float) -> None:
        """Paint over the pixels of the mask. light: (3,) or (h, w, 3)."""
        self.light[:] = mix(self.light, np.broadcast_to(light, self.light.shape), mask)
        self.distance[:] = np.where(mask > 0.5, distance, self.distance)

    def photograph(self, aperture: float) -> Floats:
        """Return the place out of focus, (h, w, 3).

        aperture: blur radius at the horizon, as a fraction of the picture's height."""
        radius = aperture * (1 - FOCUS / np.maximum(self.distance, 1.15 * FOCUS))
        low, high = float(radius.min()), float(radius.max())
        levels = np.linspace(high, low, LEVELS) if high - low > 0.1 * high else np.array([high])
        spacing = (high - low) / (LEVELS - 1)
        total = np.zeros((*self.surface.shape, 4), np.float32)
        for level in levels:
            share = np.ones_like(radius) if len(levels) == 1 else np.clip(1 - np.abs(radius - level) / spacing, 0, 1)
            layer = np.dstack([self.light * share[..., None], share]).astype(np.float32)
            total += out_of_focus(layer, float(level))
        result = total[..., :3] / np.maximum(total[..., 3:], 1e-3)
        return blur(np.asarray(result, np.float32), 1.6)


def start_view(surface: PaintSurface, horizon: float, light: Floats, vanishing: float = 0.0) -> View:
    """Return a view that shows only something infinitely far, such as the sky. light: (3,) or (h, w, 3)."""
    paper = np.array(np.broadcast_to(light, (*surface.shape, 3)), np.float32)
    return View(surface, horizon, paper, np.full(surface.shape, FAR, np.float32), vanishing)


def texture(rng: np.random.Generator, u: Numbers, v: Numbers) -> Floats:
    """Return smooth noise at any coordinates: mean 0, standard deviation about 0.7, features of length 1."""
    table = rng.standard_normal(TABLE).astype(np.float32)
    u, v = np.broadcast_arrays(np.asarray(u, np.float32), np.asarray(v, np.float32))
    left, above = np.floor(u), np.floor(v)
    right, down = u - left, v - above
    right, down = right * right * (3 - 2 * right), down * down * (3 - 2 * down)
    column, row = left.astype(np.int32) % TABLE[1], above.astype(np.int32) % TABLE[0]
    next_column, next_row = (column + 1) % TABLE[1], (row + 1) % TABLE[0] * TABLE[1]
    row *= TABLE[1]
    top = table.take(row + column) * (1 - right) + table.take(row + next_column) * right
    bottom = table.take(next_row + column) * (1 - right) + table.take(next_row + next_column) * right
    return np.asarray(top + (bottom - top) * down, np.float32)


def step(values: Numbers, softness: float) -> Floats:
    """Return 0 below 0 and 1 above it, with a linear transition of this width."""
    return np.asarray(np.clip(values / softness + 0.5, 0, 1), np.float32)


def repeated(values: Numbers, period: float, width: float) -> Floats:
    """Return a mask that is 1 on the first `width` of each period."""
    return np.asarray(values % period < width, np.float32)


def per_cell(rng: np.random.Generator, row: Numbers, column: Numbers) -> Floats:
    """Return one random number 0..1 for each pair of whole numbers."""
    table = rng.random(TABLE).astype(np.float32)
    return np.asarray(table[row.astype(np.int32) % TABLE[0], column.astype(np.int32) % TABLE[1]], np.float32)


def _distance(reach: float, part: Floats) -> Floats:
    toward = part * np.sign(reach)
    return np.asarray(np.where(toward > 1e-4, abs(reach) / np.maximum(toward, 1e-4), FAR), np.float32)
