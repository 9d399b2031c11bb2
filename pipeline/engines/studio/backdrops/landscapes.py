"""Painters of places outdoors with a horizon: a coast, hills and a roof terrace. The sun is on the left."""

import numpy as np

from pipeline.engines.studio.backdrops.surface import PaintSurface, mix, soft
from pipeline.engines.studio.backdrops.view import FAR, FLOOR, View, per_cell, start_view, step, texture
from pipeline.imaging.filters import Floats, color

FACADES = ((176, 150, 132), (150, 96, 78), (196, 186, 172), (120, 128, 140), (142, 132, 124), (98, 106, 118))


def paint_coast(surface: PaintSurface) -> Floats:
    """Paint a beach in the morning: sand, a calm sea, a headland in the haze, and thin clouds."""
    rng = surface.rng
    horizon = rng.uniform(0.50, 0.56)
    view = start_view(surface, horizon, _sky(surface, horizon, (120, 164, 208), (224, 228, 226)))
    _clouds(view, 0.55)
    _headland(view, rng.uniform(-0.1, 0.4), 900.0)
    floor = view.level_plane(FLOOR + 1.0)
    across = view.across(floor)
    near = np.clip((surface.y - horizon) / 0.2, 0, 1)
    sea = mix(surface.fill(color(150, 172, 184)), surface.fill(color(84, 122, 134)), near**0.6)
    swell = texture(rng, across * 0.25, floor * 0.16) + 0.7 * texture(rng, across * 0.9, floor * 0.55)
    sea *= (1 + 0.14 * swell)[..., None]
    glitter = np.clip(texture(rng, across * 1.3, floor * 0.9) - 1.0, 0, 1)
    glitter = glitter * surface.pool(-0.85 * view.edge, horizon + 0.1, 0.75 * view.edge, 0.2)
    view.paint(sea + glitter[..., None] * color(255, 244, 220) * 7, step(view.y, 0.004), floor)
    shore = horizon + rng.uniform(0.17, 0.22) + 0.10 * surface.x + 0.012 * texture(rng, surface.x * 6, surface.y * 0)
    below = surface.y - shore
    sand = color(206, 186, 156) * (1 + 0.05 * texture(rng, across * 2.2, floor * 2.2))[..., None]
    sand = sand * (1 + 0.03 * texture(rng, across * 0.9, floor * 0.25))[..., None]
    wet = np.clip(1 - below / 0.06, 0, 1)
    sand = mix(sand, surface.fill(color(150, 140, 128)), 0.75 * wet)
    view.paint(sand, step(below, 0.006), floor)
    foam = step(0.008 - np.abs(below + 0.004), 0.01)
    view.paint(color(240, 242, 240), 0.8 * foam * soft(1.5 + 1.5 * texture(rng, across * 2, floor)), floor)
    return view.photograph(0.026)


def paint_hills(surface: PaintSurface) -> Floats:
    """Paint rows of hills that fade into the haze, behind a meadow with a few trees."""
    rng = surface.rng
    horizon = rng.uniform(0.54, 0.60)
    view = start_view(surface, horizon, _sky(surface, horizon, (126, 166, 210), (232, 228, 214)))
    _clouds(view, 0.6)
    haze = color(176, 196, 212)
    rows = ((9000, 0.17, 0.07, 1.5), (5000, 0.115, 0.05, 1.9), (2600, 0.07, 0.032, 2.4), (1200, 0.03, 0.018, 3.0))
    for distance, rise, wave, frequency in rows:
        _ridge(view, float(distance), rise, wave, frequency, haze)
    _wood(view, 160.0)
    _meadow(view, horizon)
    return view.photograph(0.026)


def paint_terrace(surface: PaintSurface) -> Floats:
    """Paint a roof terrace in late sunlight: a hedge, and the skyline of a city in the haze."""
    rng = surface.rng
    horizon = rng.uniform(0.56, 0.62)
    view = start_view(surface, horizon, _sky(surface, horizon, (138, 164, 198), (248, 216, 172)))
    sun = surface.pool(-1.05 * view.edge, horizon - 0.06, 0.85 * view.edge, 0.24)
    view.light[:] += sun[..., None] * color(255, 206, 140) * 0.9
    for distance, count, lowest, highest in ((1100.0, 12, 20, 190), (520.0, 9, 8, 66), (230.0, 7, -2, 20)):
        _skyline(view, distance, count, (lowest, highest))
    _hedge(view, rng.uniform(6.0, 7.5))
    return view.photograph(0.028)


def _sky(surface: PaintSurface, horizon: float, high: tuple[int, int, int], low: tuple[int, int, int]) -> Floats:
    """Return the sky, lighter toward the horizon and toward the sun. high, low: sRGB colors."""
    share = np.clip(1 - surface.y / horizon, 0, 1) ** 0.8
    sky = mix(surface.fill(color(*low)), surface.fill(color(*high)), share)
    edge = surface.shape[1] / surface.shape[0] / 2
    glow = surface.pool(-1.4 * edge, horizon - 0.2, 1.5 * edge, 0.45)
    return np.asarray(sky * (1 + 0.2 * glow)[..., None], np.float32)


def _clouds(view: View, amount: float) -> None:
    """Paint thin clouds in a level layer, so that they are flatter toward the horizon."""
    rng = view.surface.rng
    layer = view.level_plane(-1500.0)
    across = view.across(layer)
    u, v = across / 1400 + rng.uniform(0, 50), layer / 2600 + rng.uniform(0, 50)
    noise = sum(texture(rng, u * 2**octave, v * 2**octave) / 1.8**octave for octave in range(4))
    fade = np.clip(-view.y / 0.25, 0, 1)
    cover = amount * np.clip(np.asarray(noise) - 0.1, 0, 1.2) / 1.2 * fade
    view.paint(color(252, 250, 246), cover, FAR)


def _headland(view: View, x: float, distance: float) -> None:
    """Paint a hazy headland that ends at x and continues to the right edge."""
    rng = view.surface.rng
    reach = np.clip((view.surface.x - x) / 0.35, 0, 1)
    top = view.horizon - 0.05 * reach**0.7 * (1 + 0.25 * texture(rng, view.surface.x * 9, view.surface.y * 0))
    mask = step(view.surface.y - top, 0.004) * (reach > 0)
    view.paint(color(136, 156, 166), mask, distance)


def _ridge(view: View, distance: float, rise: float, wave: float, frequency: float, haze: Floats) -> None:
    """Paint one row of wooded hills. rise: height of the row above the horizon. wave: height of its hills."""
    rng, surface = view.surface.rng, view.surface
    x = surface.x[0] * frequency + rng.uniform(0, 40)
    flat = np.zeros_like(x)
    line = sum(texture(rng, x * 2**octave, flat) / 2.1**octave for octave in range(4))
    top = view.horizon - rise - wave * np.asarray(line)
    # Slopes that fall to the left face the sun.
    slope = np.gradient(top, surface.x[0])
    facing = np.clip(0.5 + 0.9 * -np.convolve(np.pad(slope, 6, mode="edge"), np.ones(13) / 13, "valid"), 0, 1)
    woods = texture(rng, surface.x * 23 + surface.y * 9, surface.y * 31) + texture(rng, surface.x * 61, surface.y * 83)
    light = mix(
        surface.fill(color(58, 78, 56)),
        surface.fill(color(150, 156, 96)),
        np.broadcast_to(facing, surface.shape),
    )
    light = light * (1 + 0.2 * woods)[..., None]
    far = float(1 - np.exp(-distance / 6500))
    # Haze gathers in the valleys.
    valley = np.clip((surface.y - top) / 0.16, 0, 1) * 0.25
    share = np.clip(far + valley * far, 0, 0.97)
    light = mix(light, surface.fill(haze), share)
    view.paint(light, step(surface.y - top, 0.004), distance)


def _meadow(view: View, horizon: float) -> None:
    rng, surface = view.surface.rng, view.surface
    floor = view.level_plane(FLOOR + 2.0)
    across = view.across(floor)
    patches = texture(rng, across * 0.12, floor * 0.05) + 0.7 * texture(rng, across * 0.6, floor * 0.3)
    grass = mix(surface.fill(color(96, 122, 56)), surface.fill(color(172, 170, 96)), soft(patches))
    blades = texture(rng, across * 3, floor * 1.5)
    flowers = np.clip(texture(rng, across * 2.2, floor * 1.6) - 1.5, 0, 1) * 1.6
    grass = grass * (1 + 0.14 * blades)[..., None] + flowers[..., None] * color(250, 240, 190)
    sunny = 0.86 + 0.12 * np.clip(1 - surface.x / view.edge, 0, 2)
    edge = horizon + 0.012 * texture(rng, surface.x * 5, surface.y * 0) + 0.03 * surface.x
    view.paint(grass * sunny[..., None], step(surface.y - edge, 0.006), floor)


def _wood(view: View, distance: float) -> None:
    """Paint the edge of a wood behind the meadow. The sun lights the left side of each crown."""
    rng = view.surface.rng
    across, down = view.across(distance), view.down(distance)
    ground = FLOOR + 2.0
    outline = texture(rng, across * 0.09 + rng.uniform(0, 40), across * 0)
    crowns = texture(rng, across * 0.3, across * 0) + 0.5 * texture(rng, across * 0.8, across * 0)
    gap = step(outline + 0.5, 0.5)
    height = gap * (5 + 2.6 * outline + 1.3 * crowns) + 0.6
    leaves = texture(rng, across * 0.6, down * 0.7) + 0.8 * texture(rng, across * 1.5, down * 1.7)
    toward_sun = np.gradient(crowns[0], view.surface.x[0]) / 30
    lit = soft(0.9 * leaves + toward_sun - 0.5 * (down - ground + height) / height)
    light = mix(view.surface.fill(color(44, 58, 42)), view.surface.fill(color(132, 142, 84)), lit)
    light = mix(light, view.surface.fill(color(176, 196, 212)), np.full(view.surface.shape, 0.12, np.float32))
    view.paint(light, step(down - ground + height + 0.5 * leaves, 0.6), distance)


def _skyline(view: View, distance: float, count: int, heights: tuple[int, int]) -> None:
    """Paint one row of buildings. heights: lowest and highest roof, in meters above the camera."""
    rng = view.surface.rng
    span = 1.25 * view.edge * distance / view.zoom
    for _ in range(round(count * view.edge / 0.4)):
        left, width = rng.uniform(-span, 0.9 * span), rng.uniform(0.07, 0.17) * distance / view.zoom
        roof = -heights[0] - (heights[1] - heights[0]) * rng.power(0.6)
        tone = color(*FACADES[rng.integers(len(FACADES))]) * rng.uniform(0.7, 1.1)
        mask = view.upright(distance, left, roof, left + width, 400)
        columns = np.flatnonzero(mask.any(axis=0))
        if not len(columns):
            continue
        part = slice(columns[0], columns[-1] + 1)
        across, down = view.across(distance)[:, part], view.down(distance)[:, part]
        light = np.zeros_like(view.light)
        light[:, part] = _facade(rng, across - left, down - roof, tone, rng.uniform(0.2, 0.42) * width)
        light += (color(226, 206, 188) - light) * float(1 - np.exp(-distance / 800))
        view.paint(light, mask, distance)


def _facade(rng: np.random.Generator, across: Floats, down: Floats, tone: Floats, corner: float) -> Floats:
    """Return a building seen at its corner: the sun lights the face on the left of it.

    across, down: meters from its upper left corner."""
    window = (down % 3.4 < 1.9) * (across % 3.0 < 1.9)
    glass = per_cell(rng, np.floor(np.abs(down) / 3.4), np.floor(np.abs(across) / 3.0))
    sunny = step(corner - across, 0.5)[..., None]
    face = tone * (0.5 * color(214, 222, 240) + (0.75 * color(255, 214, 160)) * sunny)
    face = face * (1 - 0.4 * window * (glass < 0.75))[..., None]
    return np.asarray(face + color(255, 206, 136) * (1.6 * (glass > 0.965) * window)[..., None], np.float32)


def _hedge(view: View, distance: float) -> None:
    """Paint a planter with a hedge at the edge of the terrace."""
    rng = view.surface.rng
    across, down = view.across(distance), view.down(distance)
    leaves = texture(rng, across * 9, down * 9) + 0.7 * texture(rng, across * 22, down * 22)
    top = 0.42 + 0.09 * texture(rng, across * 1.6, across * 0) + 0.03 * leaves
    lit = soft(1.2 * leaves - 5 * (down - top) + 0.6 - 0.8 * across)
    light = mix(view.surface.fill(color(40, 52, 34)), view.surface.fill(color(166, 158, 84)), lit)
    view.paint(light, step(down - top, 0.05), distance)
    sun = np.clip(leaves - 1.9, 0, 1) * step(down - top, 0.05)
    view.light[:] += sun[..., None] * color(255, 226, 150) * 1.5
    planter = (
        color(128, 116, 106) * (1.15 - 0.5 * np.clip(down - 1.05, 0, 1) - 0.25 * np.clip(across, -1, 1))[..., None]
    )
    view.paint(planter, view.upright(distance, -9, 1.05, 9, 3), distance)
