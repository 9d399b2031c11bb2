"""Pure: how large a picture is rendered for the size that was asked, and how it becomes that size."""

import math
from dataclasses import dataclass

from pipeline.types import Size

# The UNet halves its latents twice; in pixels, with SDXL's VAE.
GRAIN = 32
# Canvases within this share of the pixels that a model was trained for need no other size.
TOLERANCE = 0.15
FORBIDDEN = Size(1024, 1024)


@dataclass(frozen=True)
class Canvas:
    """What is rendered, and by how much it has to grow to cover the size that was asked."""

    size: Size
    growth: float


def canvas_for(size: Size, pixels: int, grain: int = GRAIN) -> Canvas:
    """A canvas of about this many pixels, its sides in grains, with nearly the shape of `size`."""
    close = abs(size.width * size.height / pixels - 1) <= TOLERANCE
    if close and size.width % grain == size.height % grain == 0 and size != FORBIDDEN:
        return Canvas(size, 1.0)
    scale = math.sqrt(pixels / (size.width * size.height))
    width, height = (max(grain, round(side * scale / grain) * grain) for side in (size.width, size.height))
    if Size(width, height) == FORBIDDEN:
        # Exactly this size brings stock photo watermarks (published). A strip is cut off again.
        height += grain
    return Canvas(Size(width, height), max(size.width / width, size.height / height))
