"""Painters of walls close behind the person: seamless paper, canvas and plaster."""

import numpy as np

from pipeline.engines.studio.backdrops.surface import Painter, PaintSurface, mix
from pipeline.imaging.filters import Floats, blur, color


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
