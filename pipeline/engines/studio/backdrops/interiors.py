"""Painters of rooms with depth: a lobby, a library and a loft. Daylight comes from the left."""

import numpy as np

from pipeline.engines.studio.backdrops.surface import PaintSurface, soft
from pipeline.engines.studio.backdrops.view import FLOOR, View, per_cell, repeated, start_view, step, texture
from pipeline.imaging.filters import Floats, color

DAYLIGHT = color(244, 248, 255)


def paint_lobby(surface: PaintSurface) -> Floats:
    """Paint a long lobby: a glass front on the left, a stone floor that reflects it, lamps, and a wooden wall."""
    rng = surface.rng
    vanishing = rng.uniform(0.10, 0.2)
    view = start_view(surface, rng.uniform(0.49, 0.53), color(176, 172, 165), vanishing)
    depth = rng.uniform(17, 22)
    view.distance[:] = depth
    _lobby_end(view, depth)
    glass, wood = view.side_wall(-2.0), view.side_wall(1.25)
    ceiling = view.level_plane(-2.4)
    _glass_front(view, glass, depth)
    _wooden_wall(view, wood, depth)
    _ceiling(view, ceiling, glass, wood, depth)
    reflected = _mirror_at_horizon(view)
    floor = view.level_plane(FLOOR)
    across = view.across(floor)
    lit = 0.42 + 0.55 * np.exp(-np.clip(across + 2.0, 0, 9) / 1.6)
    stone = 1 + 0.06 * texture(rng, across * 1.4, floor * 1.4)
    joints = 1 - 0.12 * np.maximum(repeated(across, 1.2, 0.03), repeated(floor, 1.2, 0.05))
    paving = color(178, 174, 168) * (lit * stone * joints)[..., None] + 0.22 * reflected
    nearest = (floor < glass) & (floor < wood) & (floor < depth)
    view.paint(paving, nearest.astype(np.float32), floor)
    _lobby_furniture(view)
    return view.photograph(0.032)


def _lobby_end(view: View, depth: float) -> None:
    """Paint the far wall: a dark wooden panel, a door to daylight, and a reception desk in front of it."""
    view.paint(color(104, 82, 64), view.upright(depth, -0.4, -2.4, 1.3, 1.5), depth)
    view.paint(DAYLIGHT * 0.95, view.upright(depth, -1.6, -1.0, -0.7, 1.4), depth)
    view.paint(color(70, 70, 72), view.upright(depth, -1.17, -1.0, -1.12, 1.4), depth)
    desk = depth - 3
    view.paint(color(196, 190, 181), view.upright(desk, -0.3, 0.45, 1.2, 1.5), desk)
    view.paint(color(78, 62, 50), view.upright(desk, -0.3, 0.36, 1.2, 0.5), desk)


def _glass_front(view: View, glass: Floats, depth: float) -> None:
    rng = view.surface.rng
    down = view.down(glass)
    leaves = texture(rng, glass * 0.7, down * 1.6) + 0.8 * texture(rng, glass * 1.9, down * 3.7)
    trees = step(down + 0.7 + 0.6 * leaves, 0.5)
    green = color(104, 122, 88) * (0.75 + 0.35 * soft(leaves))[..., None]
    outside = DAYLIGHT * (1.05 + 0.1 * np.clip(-down, 0, 2))[..., None]
    outside = outside + (green - outside) * (0.85 * trees)[..., None]
    pavement = step(down - 0.75 + 0.1 * leaves, 0.1)[..., None]
    outside = outside + (color(198, 194, 186) * 0.9 - outside) * pavement
    frame = np.maximum(repeated(glass + rng.uniform(0, 2), 2.0, 0.2), step(0.06 - np.abs(down + 1.1), 0.02))
    frame = np.maximum(frame, step(down - 1.4, 0.02))
    outside = outside + (color(62, 62, 64) - outside) * frame[..., None]
    view.paint(outside, (glass < depth).astype(np.float32), glass)


def _wooden_wall(view: View, wood: Floats, depth: float) -> None:
    """Paint the right wall: plaster, with panels of wooden slats. The glass front lights it."""
    rng = view.surface.rng
    down = view.down(wood)
    slats = color(158, 124, 92) * (0.72 + 0.5 * per_cell(rng, np.floor(wood / 0.16), np.zeros_like(wood)))[..., None]
    slats = slats * (1 - 0.5 * repeated(wood, 0.16, 0.03))[..., None]
    plaster = np.broadcast_to(color(206, 200, 191), slats.shape)
    panel = repeated(wood + rng.uniform(0, 3), 5.2, 3.1) * step(down + 1.9, 0.03)
    wall = plaster + (slats - plaster) * panel[..., None]
    shade = 0.92 - 0.1 * np.clip(down, -1, 1.5)
    view.paint(wall * shade[..., None], (wood < depth).astype(np.float32), wood)


def _ceiling(view: View, ceiling: Floats, glass: Floats, wood: Floats, depth: float) -> None:
    rng = view.surface.rng
    across = view.across(ceiling)
    lit = 0.46 + 0.34 * np.exp(-np.clip(across + 2.0, 0, 9) / 1.5)
    light = color(226, 224, 220) * lit[..., None]
    start = rng.uniform(0, 2)
    for line in (-0.9, 0.5):
        lamp = repeated(ceiling + start, 3.4, 1.3) * step(0.16 - np.abs(across - line), 0.02)
        light = light + color(255, 242, 222) * (1.5 * lamp)[..., None]
    nearest = (ceiling < glass) & (ceiling < wood) & (ceiling < depth)
    view.paint(light, nearest.astype(np.float32), ceiling)


def _mirror_at_horizon(view: View) -> Floats:
    """Return what a polished floor reflects: the picture, upside down about the horizon."""
    rows = view.surface.shape[0]
    mirrored = np.clip(2 * round(view.horizon * rows) - np.arange(rows), 0, rows - 1)
    return np.asarray(np.minimum(view.light[mirrored], 1.1), np.float32)


def _lobby_furniture(view: View) -> None:
    """Paint armchairs and a plant between the glass front and the person."""
    rng = view.surface.rng
    for _ in range(2):
        z, x = rng.uniform(8, 13), rng.uniform(-1.7, -0.4)
        seat = color(*((66, 78, 92), (96, 84, 74), (58, 60, 64))[rng.integers(3)])
        view.paint(seat, view.upright(z, x, 0.72, x + 0.75, 1.28), z)
        view.paint(seat * 1.5, view.upright(z, x + 0.05, 0.98, x + 0.7, 1.06), z)
    z, x = rng.uniform(8, 11), rng.uniform(0.6, 0.85)
    leaf = _foliage(view, z, (x, 0.35), (0.38, 0.75), 0.14)
    green = color(62, 78, 52) * (1 + 0.9 * soft(-6 * (view.across(z) - x)))[..., None]
    view.paint(green, leaf, z)
    view.paint(color(150, 144, 136), view.upright(z, x - 0.2, 0.95, x + 0.2, 1.5), z)


def _foliage(
    view: View, distance: float, center: tuple[float, float], reach: tuple[float, float], leaf: float
) -> Floats:
    """Return the mask of leaves around a point. center, reach, leaf: in meters."""
    rng = view.surface.rng
    across, down = view.across(distance), view.down(distance)
    inside = 1 - ((across - center[0]) / reach[0]) ** 2 - ((down - center[1]) / reach[1]) ** 2
    noise = texture(rng, across / leaf, down / leaf) + 0.6 * texture(rng, across / leaf * 2.3, down / leaf * 2.3)
    return step(1.6 * inside + noise - 0.2, 0.3)


BINDINGS = (
    ((92, 46, 38), 3), ((58, 66, 52), 2), ((44, 54, 74), 3), ((142, 112, 74), 3), ((196, 180, 150), 2),
    ((74, 58, 46), 4), ((118, 74, 50), 3), ((160, 148, 128), 2), ((54, 44, 42), 2), ((128, 52, 42), 1),
)  # fmt: skip


def paint_library(surface: PaintSurface) -> Floats:
    """Paint a wall of books that recedes toward a window on the left, in warm light."""
    rng = surface.rng
    view = start_view(surface, rng.uniform(0.47, 0.53), color(92, 78, 64))
    distance, along = view.oblique_wall(left=rng.uniform(6.0, 7.0), right=rng.uniform(2.5, 2.9))
    down = view.down(distance) + rng.uniform(0, 0.36)
    row = np.floor(down / 0.36)
    height = 0.36 - (down - row * 0.36)
    shelves = np.empty((*surface.shape, 3), np.float32)
    for each in np.unique(row):
        here = row == each
        shelves[here] = _row_of_books(rng, along[here], height[here])
    wood = color(112, 80, 54) * (0.9 + 0.15 * texture(rng, along * 2, down * 14))[..., None]
    board = np.maximum(step(0.028 - height, 0.006), repeated(along + rng.uniform(0, 1), 1.05, 0.045))
    shelves += (wood - shelves) * board[..., None]
    # Daylight falls along the wall, and a lamp lights its middle.
    lamp = surface.pool(rng.uniform(-0.05, 0.2), rng.uniform(0.18, 0.32), 1.05 * view.edge, 0.5)
    length = along.max()
    lit = 0.5 + 0.5 * np.clip(along / length, 0, 1) ** 1.5
    light = lit[..., None] * color(255, 248, 238) + 0.62 * lamp[..., None] * color(255, 222, 178)
    view.paint(shelves * light, np.ones(surface.shape, np.float32), distance)
    end = rng.uniform(0.84, 0.92) * length
    window = step(along - end, 0.04)
    sky = DAYLIGHT * (1.35 - 0.8 * np.clip(surface.y - 0.35, 0, 0.6))[..., None]
    view.paint(sky, window * (repeated(along - end, 0.9, 0.84)), 7.0)
    view.paint(color(150, 132, 110), step(0.09 - np.abs(along - end), 0.02), 6.5)
    return view.photograph(0.030)


def _row_of_books(rng: np.random.Generator, along: Floats, height: Floats) -> Floats:
    """Return the books of one shelf, (N, 3) linear light. along, height: (N,) meters; height above the shelf."""
    widths = rng.gamma(7.0, 0.0046, 420) + 0.008
    edges = np.cumsum(widths) - 1.5
    book = np.searchsorted(edges, along)
    weights = np.array([weight for _, weight in BINDINGS], np.float64)
    # Books of one series stand together.
    series = np.repeat(rng.choice(len(BINDINGS), 420, p=weights / weights.sum()), rng.integers(1, 5, 420))[:421]
    palette = np.array([color(*rgb) for rgb, _ in BINDINGS], np.float32)
    shade = rng.uniform(0.7, 1.3, 421).astype(np.float32)
    tops = rng.uniform(0.2, 0.31, 421).astype(np.float32)
    light = palette[series[book]] * shade[book][:, None]
    band = (np.abs(height - 0.6 * tops[book]) < 0.01) & (shade[book] > 1.2)
    light = np.where(band[:, None], color(178, 150, 104), light)
    # Round backs: darker toward the joint of two books.
    middle = edges[np.minimum(book, 419)] - widths[np.minimum(book, 419)] / 2
    light = light * (1 - 0.5 * np.clip(np.abs(along - middle) / 0.02, 0, 1) ** 2)[:, None]
    shadow = step(tops[book] - height, 0.02)[:, None]
    return np.asarray(light * shadow + (1 - shadow) * color(30, 24, 20), np.float32)


def paint_loft(surface: PaintSurface) -> Floats:
    """Paint a brick wall that recedes toward a window on the left. Its light fades along the wall."""
    rng = surface.rng
    view = start_view(surface, rng.uniform(0.47, 0.53), DAYLIGHT)
    distance, along = view.oblique_wall(left=rng.uniform(4.2, 4.8), right=rng.uniform(2.5, 2.8))
    down = view.down(distance)
    row = np.floor((down + 5) / 0.077)
    shifted = along + 0.125 * (row % 2) + 9
    column = np.floor(shifted / 0.25)
    tone, hue = per_cell(rng, row, column), per_cell(rng, column, row)
    bricks = color(116, 80, 66) + (color(158, 122, 102) - color(116, 80, 66)) * hue[..., None]
    bricks = bricks * (0.72 + 0.5 * tone)[..., None] * (1 + 0.12 * texture(rng, along * 30, down * 40))[..., None]
    bricks = np.where((tone > 0.93)[..., None], bricks * 0.55, bricks)
    joint = np.maximum(repeated(down + 5, 0.077, 0.012), repeated(shifted, 0.25, 0.012))
    bricks = bricks + (color(150, 140, 128) - bricks) * (0.8 * joint)[..., None]
    stains = 1 + 0.14 * texture(rng, along * 1.7, down * 1.3) + 0.07 * texture(rng, along * 5, down * 4)
    length = along.max()
    fade = 0.34 + 0.75 * np.clip(along / length, 0, 1) ** 1.7
    slant = step(0.55 - np.abs(along - 0.62 * length + 0.9 * down), 0.5)
    lit = fade * (1 + 0.45 * slant) * stains
    wall = bricks * lit[..., None] * color(255, 246, 232)
    view.paint(wall, np.ones(surface.shape, np.float32), distance)
    end = rng.uniform(0.82, 0.9) * length
    frame = step(along - end, 0.03)
    view.paint(color(62, 60, 58), frame, 5.4)
    pane = frame * (1 - repeated(along - end, 0.48, 0.1)) * (1 - repeated(down + 5.2, 0.74, 0.07))
    outside = DAYLIGHT * (1.4 - 1.0 * np.clip(surface.y - 0.3, 0, 0.7))[..., None]
    view.paint(outside, pane, 6.0)
    return view.photograph(0.021)
