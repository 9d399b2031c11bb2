"""Painters of places far behind the person that are strongly out of focus."""

import numpy as np

from pipeline.engines.studio.backdrops.surface import PaintSurface, mix, soft
from pipeline.imaging.filters import Floats, blur, color
from pipeline.portrait.background import out_of_focus


def paint_park(surface: PaintSurface) -> Floats:
    """Paint trees and a lawn in open shade, with sky between the leaves."""
    rng = surface.rng
    horizon = rng.uniform(0.60, 0.70)
    leaves = mix(surface.fill(color(66, 88, 44)), surface.fill(color(146, 164, 88)), soft(surface.clouds(0.16)))
    leaves = mix(leaves, surface.fill(color(40, 58, 36)), soft(surface.clouds(0.3) - 0.4) * 0.75)
    gaps = np.clip(surface.clouds(0.05) + 0.7 * surface.clouds(0.22) - 1.1 - 1.5 * surface.y, 0, 1.0)
    scene = leaves + gaps[..., None] * color(250, 246, 196) * 1.15
    glow = surface.pool(rng.uniform(0.1, 0.3), 0.02, 0.5, 0.42)
    scene += glow[..., None] * color(238, 236, 196) * 0.55
    lawn = mix(surface.fill(color(98, 122, 60)), surface.fill(color(150, 164, 92)), soft(surface.clouds(0.2)))
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
