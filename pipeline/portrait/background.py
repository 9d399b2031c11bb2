"""Reconstruct the photo's own background without the person, out of focus as a fast lens would show it."""

import numpy as np

from pipeline.imaging.filters import Floats, blur, convolve, resize

PAINT_HEIGHT = 420


def out_of_focus(scene: Floats, radius: float) -> Floats:
    """Blur a scene like a wide-open lens.

    Every point becomes a disc with a slightly brighter rim. radius: as a fraction of the picture's height."""
    pixels = max(1.0, radius * scene.shape[0])
    reach = int(np.ceil(pixels)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    distance = np.hypot(x, y)
    kernel = np.clip(pixels - distance + 0.5, 0, 1) * (0.85 + 0.15 * np.clip(distance / pixels, 0, 1) ** 3)
    return blur(convolve(scene, kernel.astype(np.float32)), 0.8)


def blurred_background(picture: Floats, alpha: Floats) -> Floats:
    """Return the photo's background without the person, out of focus, (h, w, 3) in linear light.

    Fills the person's place from increasingly wide surroundings. picture: (H, W, 3) in linear light."""
    height, width = alpha.shape
    rows = PAINT_HEIGHT
    shape = (rows, max(8, round(rows * width / height)))
    side = float(np.sqrt(shape[0] * shape[1]))
    small = resize(picture, shape)
    open_ = np.clip(1 - resize(alpha, shape), 0, 1)
    # Pixels that are only partly background contain the person's color, so they get a low weight.
    weight = np.clip((blur(open_, 0.006 * side) - 0.85) / 0.15, 0, 1) ** 2
    filled, known = np.zeros_like(small), np.zeros_like(weight)
    for reach in (0.006, 0.018, 0.05, 0.13, 0.30):
        spread = blur(np.ascontiguousarray(small * weight[..., None]), reach * side)
        amount = blur(weight, reach * side)
        share = np.clip(amount * 8, 0, 1) * (1 - known)
        filled += share[..., None] * spread / (amount[..., None] + 1e-4)
        known += share
    filled = np.clip(filled / (known[..., None] + 1e-4), 0, 1)
    # Lamps and sky are clipped at display white. Brighten the lightest areas beyond white.
    filled = filled + 0.9 * np.clip(filled - 0.6, 0, 1) * filled
    return blur(out_of_focus(np.asarray(filled, np.float32), 0.036), 3)
