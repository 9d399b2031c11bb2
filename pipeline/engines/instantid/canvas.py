"""Choose the size at which a picture is rendered, and fit the result to the requested size."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.types import Pixels, Size

# SDXL's VAE divides sides by 8 and its UNet halves them twice more.
SIDE_MULTIPLE = 32
# A requested size is rendered directly if its pixel count differs from the model's by at most this share.
TOLERANCE = 0.15
FORBIDDEN = Size(1024, 1024)


@dataclass(frozen=True)
class Canvas:
    """The size that is rendered, and the factor by which the result must grow to cover the requested size."""

    size: Size
    growth: float


def canvas_for(size: Size, pixels: int, side_multiple: int = SIDE_MULTIPLE) -> Canvas:
    """Choose a canvas of about `pixels` pixels with nearly the shape of `size`.

    Both sides are multiples of `side_multiple`."""
    close = abs(size.width * size.height / pixels - 1) <= TOLERANCE
    if close and size.width % side_multiple == size.height % side_multiple == 0 and size != FORBIDDEN:
        return Canvas(size, 1.0)
    scale = math.sqrt(pixels / (size.width * size.height))
    width, height = (
        max(side_multiple, round(side * scale / side_multiple) * side_multiple) for side in (size.width, size.height)
    )
    if Size(width, height) == FORBIDDEN:
        # Exactly this size produces stock photo watermarks (published). `fit` cuts off the extra strip.
        height += side_multiple
    return Canvas(Size(width, height), max(size.width / width, size.height / height))


# Rec. 709 luma weights.
LUMA = (0.2126, 0.7152, 0.0722)


def fit(picture: Tensor, size: Size) -> Tensor:
    """Scale a picture (3, H, W) to cover `size` and crop it evenly to (3, size.height, size.width)."""
    height, width = picture.shape[-2:]
    if (width, height) == (size.width, size.height):
        return picture
    scale = max(size.width / width, size.height / height)
    covering = (max(size.height, round(height * scale)), max(size.width, round(width * scale)))
    scaled = functional.interpolate(picture[None], size=covering, mode="bicubic", antialias=True)[0].clamp(0, 1)
    top, left = (covering[0] - size.height) // 2, (covering[1] - size.width) // 2
    return scaled[:, top : top + size.height, left : left + size.width]


def to_gray(picture: Tensor) -> Tensor:
    """Replace all three channels of (3, H, W) by the luma."""
    weights = torch.tensor(LUMA, device=picture.device, dtype=picture.dtype)[:, None, None]
    return (picture * weights).sum(dim=0, keepdim=True).expand(3, -1, -1)


def to_pixels(picture: Tensor) -> Pixels:
    """Convert (3, H, W), 0..1, to (H, W, 3) uint8 in main memory."""
    # Transpose on the device. The CPU would need a tenth of a second for a large picture while the GPU waits.
    pixels: Pixels = picture.mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
