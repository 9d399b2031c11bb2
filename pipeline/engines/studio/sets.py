"""Paint the backdrops (sets) behind the person, out of focus as a fast lens would show them.

Backdrops are blurry, so they are painted small and enlarged. All lengths are fractions of the picture's height. x is
measured from the vertical center line of the picture. Values are linear light: 1 is white paper, and lamps and sky are
brighter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.imaging.filters import Floats, Shape, blur, color, resize
from pipeline.portrait.background import PAINT_HEIGHT, out_of_focus


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


@dataclass(frozen=True)
class Set:
    """A backdrop and how it reacts to the lights.

    Attributes:
        paint: function that paints the backdrop.
        shadow: strength of the person's shadow on the backdrop, 0 for none.
        steadiness: 0..1, how little the lights change the brightness of the backdrop. White paper stays white.
        rim_light: sRGB color of the rim light.
    """

    paint: Painter
    shadow: float = 0.0
    steadiness: float = 0.0
    rim_light: tuple[float, float, float] = (255, 250, 242)


def paint_set(name: str, shape: Shape, rng: np.random.Generator) -> Floats:
    """Paint the named backdrop, (H, W, 3) in linear light.

    The same generator state always gives the same picture."""
    height, width = shape
    rows = PAINT_HEIGHT
    columns = max(8, round(rows * width / height))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    surface = PaintSurface((x + 0.5 - columns / 2) / rows, (y + 0.5) / rows, rng)
    if rng.random() < 0.5:
        surface = PaintSurface(np.ascontiguousarray(-surface.x), surface.y, rng)
    return fit_scene(SETS[name].paint(surface), shape)


def fit_scene(scene: Floats, shape: Shape) -> Floats:
    """Enlarge a painted backdrop to the size of the picture."""
    # Cubic interpolation of a gradient leaves a faint grid pattern. This blur removes it, and does not affect painted
    # detail, which is coarser.
    return np.clip(blur(resize(scene, shape), 0.5 * shape[0] / scene.shape[0]), 0, None)


def mix(one: Floats, other: Floats, share: Floats) -> Floats:
    return np.asarray(one + (other - one) * share[..., None], np.float32)


def backdrop(
    dark: tuple[int, int, int],
    bright: tuple[int, int, int],
    reach: tuple[float, float],
    mottling: float,
    floor: float,
) -> Painter:
    """Return a painter of seamless paper or canvas.

    The painter adds the glow of a lamp, mottling and a darker floor. dark, bright: sRGB colors."""

    def paint(surface: PaintSurface) -> Floats:
        rng = surface.rng
        x, y = rng.uniform(0.02, 0.14), rng.uniform(0.36, 0.48)
        size = rng.uniform(0.92, 1.1)
        pool = surface.pool(x, y, reach[0] * size, reach[1] * size)
        scene = mix(surface.fill(color(*dark)), surface.fill(color(*bright)), pool)
        brushed = 0.6 * surface.clouds(0.24) + 0.4 * surface.clouds(0.09)
        scene *= (1 + mottling * np.clip(brushed, -2, 2))[..., None]
        scene *= (1 - floor * np.clip(surface.y - 0.62, 0, 1) / 0.38)[..., None]
        return blur(scene, 2.5)

    return paint


def paint_linen(surface: PaintSurface) -> Floats:
    """Paint a warm plastered wall with soft window light."""
    rng = surface.rng
    scene = surface.fill(color(196, 180, 161)) * rng.uniform(0.92, 1.04)
    scene *= (1 + 0.018 * surface.clouds(0.2) + 0.01 * surface.clouds(0.06))[..., None]
    slant = rng.uniform(0.28, 0.42)
    along = surface.x + slant * (surface.y - 0.4) + rng.uniform(-0.06, 0.06)
    light = np.clip((along + 0.42) * 6, 0, 1) * np.clip((0.44 - along) * 6, 0, 1)
    bars = 1 - 0.55 * np.clip(1 - np.abs(along - 0.02) / 0.022, 0, 1)
    window = blur(np.asarray(light * bars, np.float32), 0.045 * surface.shape[0])
    scene = scene * (0.74 + 0.40 * window)[..., None] * (0.97 + 0.06 * window[..., None] * (color(255, 244, 226)))
    return np.asarray(scene * (1 - 0.22 * np.clip(surface.y - 0.55, 0, 1) / 0.45)[..., None], np.float32)


def paint_park(surface: PaintSurface) -> Floats:
    """Paint trees and a lawn in open shade, with sky between the leaves."""
    rng = surface.rng
    horizon = rng.uniform(0.60, 0.70)
    leaves = mix(surface.fill(color(66, 88, 44)), surface.fill(color(146, 164, 88)), _soft(surface.clouds(0.16)))
    leaves = mix(leaves, surface.fill(color(40, 58, 36)), _soft(surface.clouds(0.3) - 0.4) * 0.75)
    gaps = np.clip(surface.clouds(0.05) + 0.7 * surface.clouds(0.22) - 1.1 - 1.5 * surface.y, 0, 1.0)
    scene = leaves + gaps[..., None] * color(250, 246, 196) * 1.15
    glow = surface.pool(rng.uniform(0.1, 0.3), 0.02, 0.5, 0.42)
    scene += glow[..., None] * color(238, 236, 196) * 0.55
    lawn = mix(surface.fill(color(98, 122, 60)), surface.fill(color(150, 164, 92)), _soft(surface.clouds(0.2)))
    scene = mix(scene, lawn, np.clip((surface.y - horizon) * 9 + 0.5, 0, 1) * 0.85)
    for _ in range(2):
        x, width = rng.uniform(-0.5, 0.5), rng.uniform(0.025, 0.05)
        trunk = surface.panel(x - width, -0.1, x + width, horizon + 0.03)
        scene = mix(scene, surface.fill(color(58, 52, 42)), trunk * 0.6)
    scene = out_of_focus(np.asarray(scene, np.float32), 0.038)
    return blur(out_of_focus(scene, 0.022), 3)


def paint_office(surface: PaintSurface) -> Floats:
    """Paint a bright office: tall windows on one side, a wall, distant desks and plants, ceiling lamps."""
    rng = surface.rng
    scene = surface.fill(color(158, 163, 167))
    scene = mix(scene, surface.fill(color(108, 106, 104)), np.clip((surface.y - 0.58) / 0.5, 0, 1))
    x = rng.uniform(-0.62, -0.5)
    while x < 0.1:
        width = rng.uniform(0.13, 0.19)
        pane = surface.panel(x, -0.1, x + width - 0.022, 0.64)
        scene = mix(scene, surface.fill(color(228, 236, 243)), pane * (1 - 0.35 * np.clip(surface.y / 0.64, 0, 1)))
        x += width
    wall = surface.panel(x, -0.1, 1.0, 0.7)
    scene = mix(scene, surface.fill(color(186, 181, 173)) * (1 + 0.25 * surface.x)[..., None], wall)
    furniture = ((74, 66, 60), (126, 104, 84), (188, 184, 178), (58, 68, 80), (70, 98, 66), (70, 98, 66))
    for _ in range(8):
        left, top = rng.uniform(-0.55, 0.5), rng.uniform(0.52, 0.84)
        piece = surface.panel(left, top, left + rng.uniform(0.06, 0.24), top + rng.uniform(0.06, 0.3))
        scene = mix(scene, surface.fill(color(*furniture[rng.integers(len(furniture))])), piece * 0.65)
    for _ in range(4):
        left, top = rng.uniform(0.0, 0.42), rng.uniform(0.02, 0.2)
        lamp = surface.panel(left, top, left + rng.uniform(0.012, 0.03), top + 0.012)
        scene += lamp[..., None] * color(255, 240, 214) * 5
    return blur(out_of_focus(np.asarray(scene, np.float32), 0.04), 4)


def paint_city(surface: PaintSurface) -> Floats:
    """Paint a street at dusk: facades as dark rectangles, windows and lamps as discs of light."""
    rng = surface.rng
    sky = mix(
        surface.fill(color(70, 92, 124)), surface.fill(color(168, 152, 148)), np.clip(surface.y / 0.7, 0, 1) ** 1.5
    )
    scene = sky * 0.9
    for _ in range(7):
        left, width = rng.uniform(-0.6, 0.45), rng.uniform(0.12, 0.28)
        top = rng.uniform(0.0, 0.42)
        facade = surface.panel(left, top, left + width, 1.2)
        shade = color(44, 52, 68) * rng.uniform(0.7, 1.6)
        scene = mix(scene, surface.fill(shade), facade * 0.8)
    warm, cool, red = color(255, 206, 138), color(206, 226, 255), color(255, 120, 92)
    for _ in range(58):
        x, y = rng.uniform(-0.5, 0.5), float(np.clip(rng.normal(0.5, 0.2), 0.06, 0.98))
        size = rng.uniform(0.003, 0.006)
        kind = rng.random()
        light = warm if kind < 0.68 else cool if kind < 0.92 else red
        lamp = surface.panel(x - size, y - size, x + size, y + size)
        scene += lamp[..., None] * light * rng.uniform(4, 22)
    return blur(out_of_focus(np.asarray(scene, np.float32), 0.034), 1.6)


def _soft(plane: Floats) -> Floats:
    """Map noise to 0..1 with a sigmoid."""
    return np.asarray(1 / (1 + np.exp(-1.8 * plane)), np.float32)


OWN_BACKGROUND = "natural"
SETS: Mapping[str, Set] = {
    "corporate": Set(backdrop((118, 124, 132), (220, 223, 226), (0.62, 0.62), 0.012, 0.20), shadow=0.10),
    "executive": Set(backdrop((16, 18, 22), (82, 87, 95), (0.50, 0.52), 0.05, 0.25), shadow=0.10),
    "navy": Set(backdrop((13, 21, 37), (58, 79, 112), (0.55, 0.55), 0.07, 0.25), shadow=0.10),
    "slate": Set(backdrop((52, 52, 52), (150, 150, 150), (0.55, 0.58), 0.04, 0.25), shadow=0.12),
    "bright": Set(backdrop((226, 228, 231), (250, 250, 250), (0.7, 0.7), 0.004, 0.05), steadiness=0.85),
    "linen": Set(paint_linen, shadow=0.08, steadiness=0.5, rim_light=(255, 244, 226)),
    "park": Set(paint_park, steadiness=0.4, rim_light=(255, 240, 205)),
    "office": Set(paint_office, steadiness=0.5),
    "city": Set(paint_city, steadiness=0.3, rim_light=(255, 222, 176)),
}
