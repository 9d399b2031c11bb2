"""Choose the size at which a picture is rendered, and fit the result to the requested size."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.types import Pixels, Size

# The UNet halves its latents twice; in pixels, with SDXL's VAE.
SIDE_MULTIPLE = 32
# Canvases within this share of the pixels that a model was trained for need no other size.
TOLERANCE = 0.15
FORBIDDEN = Size(1024, 1024)


@dataclass(frozen=True)
class Canvas:
    """What is rendered, and by how much it has to grow to cover the size that was asked."""

    size: Size
    growth: float


def canvas_for(size: Size, pixels: int, side_multiple: int = SIDE_MULTIPLE) -> Canvas:
    """A canvas of about this many pixels, its sides in grains, with nearly the shape of `size`."""
    close = abs(size.width * size.height / pixels - 1) <= TOLERANCE
    if close and size.width % side_multiple == size.height % side_multiple == 0 and size != FORBIDDEN:
        return Canvas(size, 1.0)
    scale = math.sqrt(pixels / (size.width * size.height))
    width, height = (
        max(side_multiple, round(side * scale / side_multiple) * side_multiple) for side in (size.width, size.height)
    )
    if Size(width, height) == FORBIDDEN:
        # Exactly this size brings stock photo watermarks (published). A strip is cut off again.
        height += side_multiple
    return Canvas(Size(width, height), max(size.width / width, size.height / height))


# Rec. 709 luma weights.
LUMA = (0.2126, 0.7152, 0.0722)


def fit(picture: Tensor, size: Size) -> Tensor:
    """(3, H, W) -> (3, size.height, size.width): scaled to cover, the overhang cut off evenly."""
    height, width = picture.shape[-2:]
    if (width, height) == (size.width, size.height):
        return picture
    scale = max(size.width / width, size.height / height)
    covering = (max(size.height, round(height * scale)), max(size.width, round(width * scale)))
    scaled = functional.interpolate(picture[None], size=covering, mode="bicubic", antialias=True)[0].clamp(0, 1)
    top, left = (covering[0] - size.height) // 2, (covering[1] - size.width) // 2
    return scaled[:, top : top + size.height, left : left + size.width]


def to_gray(picture: Tensor) -> Tensor:
    """(3, H, W), 0..1: the same lightness in all three channels."""
    weights = torch.tensor(LUMA, device=picture.device, dtype=picture.dtype)[:, None, None]
    return (picture * weights).sum(dim=0, keepdim=True).expand(3, -1, -1)


def to_pixels(picture: Tensor) -> Pixels:
    """(3, H, W), 0..1 -> (H, W, 3) uint8 in main memory."""
    # Turned on the device: the processor would take a tenth of a second for a large one, and the GPU would wait for it.
    pixels: Pixels = picture.mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
