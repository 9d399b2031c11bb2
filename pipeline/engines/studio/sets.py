"""The backdrops (sets) behind the person, out of focus as a fast lens would show them.

Backdrops are blurry, so they are painted small and enlarged. The painters are in `backdrops`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.engines.studio.backdrops.interiors import paint_library, paint_lobby, paint_loft
from pipeline.engines.studio.backdrops.landscapes import paint_coast, paint_hills, paint_terrace
from pipeline.engines.studio.backdrops.places import paint_city, paint_office, paint_park
from pipeline.engines.studio.backdrops.surface import Painter, PaintSurface
from pipeline.engines.studio.backdrops.walls import backdrop, paint_linen
from pipeline.imaging.filters import Floats, Shape, blur, color, resize
from pipeline.portrait.background import PAINT_HEIGHT
from pipeline.styles.rules import is_plain_color


@dataclass(frozen=True)
class Set:
    """A backdrop and how it reacts to the lights.

    Attributes:
        paint: function that paints the backdrop.
        shadow: strength of the person's shadow on the backdrop, 0 for none.
        steadiness: 0..1, how little the lights change the brightness of the backdrop. White paper stays white.
        rim_light: sRGB color of the rim light.
        lit_from_left: True if the backdrop shows where its light comes from. It is mirrored if the key light is on the
            right. Otherwise the seed decides.
    """

    paint: Painter
    shadow: float = 0.0
    steadiness: float = 0.0
    rim_light: tuple[float, float, float] = (255, 250, 242)
    lit_from_left: bool = False


def find_set(name: str) -> Set:
    """Return the named set. A hex color such as "#1b3a5c" names a plain wall in that color."""
    if is_plain_color(name):
        red, green, blue = bytes.fromhex(name[1:])
        return Set(lambda surface: surface.fill(color(red, green, blue)), steadiness=1.0)
    return SETS[name]


def paint_set(name: str, shape: Shape, rng: np.random.Generator, key_side: float = -1.0) -> Floats:
    """Paint the named backdrop, (H, W, 3) in linear light.

    The same generator state always gives the same picture. key_side: side of the key light, below 0 for left."""
    scenery = find_set(name)
    height, width = shape
    rows = PAINT_HEIGHT
    columns = max(8, round(rows * width / height))
    # Places with depth fill any width. The other painters fill a square, so a wider picture stretches what they paint.
    stretch = 1.0 if scenery.lit_from_left else max(1.0, columns / rows)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    surface = PaintSurface((x + 0.5 - columns / 2) / rows / stretch, (y + 0.5) / rows, rng)
    mirrored = bool(rng.random() < 0.5)
    if scenery.lit_from_left:
        scene = scenery.paint(surface)
        return fit_scene(np.ascontiguousarray(scene[:, ::-1]) if key_side > 0 else scene, shape)
    if mirrored:
        surface = PaintSurface(np.ascontiguousarray(-surface.x), surface.y, rng)
    return fit_scene(scenery.paint(surface), shape)


def fit_scene(scene: Floats, shape: Shape) -> Floats:
    """Enlarge a painted backdrop to the size of the picture."""
    # Cubic interpolation of a gradient leaves a faint grid pattern. This blur removes it, and does not affect painted
    # detail, which is coarser.
    return np.clip(blur(resize(scene, shape), 0.5 * shape[0] / scene.shape[0]), 0, None)


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
    "lobby": Set(paint_lobby, steadiness=0.6, lit_from_left=True),
    "library": Set(paint_library, steadiness=0.5, rim_light=(255, 232, 200), lit_from_left=True),
    "loft": Set(paint_loft, steadiness=0.5, rim_light=(255, 240, 220), lit_from_left=True),
    "coast": Set(paint_coast, steadiness=0.7, rim_light=(255, 246, 226), lit_from_left=True),
    "hills": Set(paint_hills, steadiness=0.7, rim_light=(255, 244, 216), lit_from_left=True),
    "terrace": Set(paint_terrace, steadiness=0.7, rim_light=(255, 220, 170), lit_from_left=True),
}
