"""Vary shots within a look: the person's size and place, and the position of the lamps."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.filters import Shape
from pipeline.types import Framing, Light, StyleSpec

# Zoom relative to the prepared frame, and shift to the side in frame widths. The zoom is never below 1, because the
# photo has no more of the person. The shift never exceeds the room that the zoom creates.
PLACES = {
    Framing.CLASSIC: (1.0, 0.0),
    Framing.CLOSE: (1.12, 0.0),
    Framing.LEFT: (1.16, -0.075),
    Framing.TIGHT: (1.3, 0.0),
    Framing.RIGHT: (1.16, 0.075),
    Framing.TIGHT_LEFT: (1.34, -0.11),
    Framing.TIGHT_RIGHT: (1.34, 0.11),
    Framing.NEAR: (1.46, 0.0),
    Framing.A_LITTLE_LEFT: (1.22, -0.04),
    Framing.A_LITTLE_RIGHT: (1.22, 0.04),
}
# The row that does not move, as a share of the height from the top. A small share keeps room above the hair.
FIXED_ROW = 0.2


# Light on the set relative to the look's own. Lamps near the camera light the set, lamps at the side or above less so.
SET_LIGHT = {Light.KEY: 1.0, Light.FRONT: 1.3, Light.SIDE: 0.62, Light.HIGH: 0.8}


def place_person(framing: Framing, shape: Shape) -> NDArray[np.float64] | None:
    """Return the map (2, 3) from the prepared frame to this framing in pixels, or None if nothing moves."""
    zoom, aside = PLACES[framing]
    if zoom == 1.0:
        return None
    height, width = shape
    return np.array([[zoom, 0, width * (0.5 * (1 - zoom) + aside)], [0, zoom, height * FIXED_ROW * (1 - zoom)]])


def light_set(light: Light, steadiness: float) -> float:
    """Return the factor on a set's light.

    steadiness: 0..1, 1 keeps the factor at 1."""
    return float(SET_LIGHT[light] ** (1 - steadiness))


def arrange_lamps(style: StyleSpec, light: Light) -> StyleSpec:
    """Return the look with its lamps moved: softer from the front, harder from the side, or from above."""
    x, y, z = style.key_light
    if light is Light.FRONT:
        return replace(style, key_light=(0.2 * x, y - 0.1, z + 0.3), key=0.6 * style.key, rim=0.5 * style.rim)
    if light is Light.SIDE:
        return replace(style, key_light=(1.5 * x, 0.6 * y, 0.6 * z), key=1.6 * style.key, rim=1.3 * style.rim)
    if light is Light.HIGH:
        return replace(style, key_light=(0.4 * x, y - 0.5, 0.8 * z), key=1.3 * style.key, wrap=0.8 * style.wrap)
    return style
