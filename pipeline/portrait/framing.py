"""Vary the shots of a style: size and position of the person, and position of the lights."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.filters import Shape
from pipeline.types import Framing, Light, StyleSpec

# Zoom relative to the prepared frame, and horizontal shift as a fraction of the width. The zoom is never below 1,
# because the photo shows no more of the person. The shift never exceeds the space that the zoom creates.
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
# The row that zooming does not move, as a fraction of the height from the top. A small fraction preserves the space
# above the hair.
FIXED_ROW = 0.2


# Brightness of the backdrop relative to the style. Lights near the camera illuminate the backdrop. Lights at the side
# or above illuminate it less.
SET_LIGHT = {Light.KEY: 1.0, Light.FRONT: 1.3, Light.SIDE: 0.62, Light.HIGH: 0.8}


def place_person(framing: Framing, shape: Shape) -> NDArray[np.float64] | None:
    """Return the map (2, 3) in pixels from the prepared frame to this framing, or None if nothing moves."""
    zoom, aside = PLACES[framing]
    if zoom == 1.0:
        return None
    height, width = shape
    return np.array([[zoom, 0, width * (0.5 * (1 - zoom) + aside)], [0, zoom, height * FIXED_ROW * (1 - zoom)]])


def light_set(light: Light, steadiness: float) -> float:
    """Return the factor on the backdrop's brightness.

    steadiness: 0..1, where 1 keeps the factor at 1."""
    return float(SET_LIGHT[light] ** (1 - steadiness))


def arrange_lamps(style: StyleSpec, light: Light) -> StyleSpec:
    """Return the style with its lights moved: softer from the front, harder from the side, or from above."""
    x, y, z = style.key_light
    if light is Light.FRONT:
        return replace(style, key_light=(0.2 * x, y - 0.1, z + 0.3), key=0.6 * style.key, rim=0.5 * style.rim)
    if light is Light.SIDE:
        return replace(style, key_light=(1.5 * x, 0.6 * y, 0.6 * z), key=1.6 * style.key, rim=1.3 * style.rim)
    if light is Light.HIGH:
        return replace(style, key_light=(0.4 * x, y - 0.5, 0.8 * z), key=1.3 * style.key, wrap=0.8 * style.wrap)
    return style
