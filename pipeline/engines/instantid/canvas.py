"""Choose the size at which a picture is rendered, and finish the result at the requested size."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.types import Pixels, Size

# SDXL's VAE divides width and height by 8, and its UNet halves them twice more.
SIDE_MULTIPLE = 32
# A requested size is rendered directly if its pixel count differs from the model's by at most this fraction.
TOLERANCE = 0.15
FORBIDDEN = Size(1024, 1024)


@dataclass(frozen=True)
class Canvas:
    """The size at which a picture is rendered.

    Attributes:
        size: size of the rendered picture.
        growth: factor by which the rendered picture must be enlarged to cover the requested size.
    """

    size: Size
    growth: float


def canvas_for(size: Size, pixels: int, side_multiple: int = SIDE_MULTIPLE) -> Canvas:
    """Choose a canvas with about `pixels` pixels and nearly the aspect ratio of `size`.

    Width and height are multiples of `side_multiple`."""
    close = abs(size.width * size.height / pixels - 1) <= TOLERANCE
    if close and size.width % side_multiple == size.height % side_multiple == 0 and size != FORBIDDEN:
        return Canvas(size, 1.0)
    scale = math.sqrt(pixels / (size.width * size.height))
    width, height = (
        max(side_multiple, round(side * scale / side_multiple) * side_multiple) for side in (size.width, size.height)
    )
    if Size(width, height) == FORBIDDEN:
        # SDXL adds stock photo watermarks at exactly this size (published). `fit` crops the extra rows.
        height += side_multiple
    return Canvas(Size(width, height), max(size.width / width, size.height / height))


# Fraction of interpolation (plain enlargement) that is mixed into the upscaler's result, for a picture that is nearly
# large enough and for one that grows four times. The network alone makes skin too crisp (docs/adr/0039).
PLAIN_SHARES = (0.5, 0.15)
# Standard deviation of the grain, 0..1, and its increase per factor of enlargement. The studio engine uses the same.
GRAIN, MONOCHROME_GRAIN = 0.0045, 0.009
GRAIN_GROWTH = 0.35
# Height of a picture whose grain is one pixel wide.
GRAIN_ROWS = 1120

# Luma weights of Rec. 709.
LUMA = (0.2126, 0.7152, 0.0722)


def mix_plain(enlarged: Tensor, picture: Tensor, growth: float) -> Tensor:
    """Mix a plain enlargement of `picture`, (3, H, W), into the upscaler's result, (3, 4H, 4W).

    growth: factor by which the picture has to grow."""
    nearly, far = PLAIN_SHARES
    share = nearly + (far - nearly) * min(1.0, max(0.0, (growth - 2) / 2))
    plain = functional.interpolate(picture[None].to(enlarged), size=enlarged.shape[-2:], mode="bicubic")[0]
    return torch.lerp(enlarged, plain, share).clamp(0, 1)


def add_grain(picture: Tensor, growth: float, seed: int, *, monochrome: bool) -> Tensor:
    """Add film grain to a picture (3, H, W), 0..1. The grain is the same in all channels.

    The grain also hides the banding of 8-bit values. As on film, it is strongest in the midtones. An enlarged picture
    lacks fine texture and gets more of it. The same seed gives the same grain on the same kind of device."""
    height, width = picture.shape[-2:]
    amount = (MONOCHROME_GRAIN if monochrome else GRAIN) * (1 + GRAIN_GROWTH * min(2.5, max(0.0, growth - 1.5)))
    factor = max(1, round(height / GRAIN_ROWS))
    generator = torch.Generator(picture.device).manual_seed(seed)
    shape = (1, 1, -(-height // factor), -(-width // factor))
    grain = torch.randn(shape, generator=generator, device=picture.device)
    grain = functional.interpolate(grain, size=(height, width), mode="bicubic")[0]
    strength = 0.6 + 1.6 * picture * (1 - picture)
    return (picture + strength * grain * (amount / grain.std())).clamp(0, 1)


def fit(picture: Tensor, size: Size) -> Tensor:
    """Scale a picture (3, H, W) to cover `size`, and crop it evenly. Returns (3, size.height, size.width)."""
    height, width = picture.shape[-2:]
    if (width, height) == (size.width, size.height):
        return picture
    scale = max(size.width / width, size.height / height)
    covering = (max(size.height, round(height * scale)), max(size.width, round(width * scale)))
    scaled = functional.interpolate(picture[None], size=covering, mode="bicubic", antialias=True)[0].clamp(0, 1)
    top, left = (covering[0] - size.height) // 2, (covering[1] - size.width) // 2
    return scaled[:, top : top + size.height, left : left + size.width]


def to_gray(picture: Tensor) -> Tensor:
    """Replace each of the three channels of (3, H, W) by the luma."""
    weights = torch.tensor(LUMA, device=picture.device, dtype=picture.dtype)[:, None, None]
    return (picture * weights).sum(dim=0, keepdim=True).expand(3, -1, -1)


def to_pixels(picture: Tensor) -> Pixels:
    """Convert (3, H, W) float, 0..1, to (H, W, 3) uint8 in CPU memory."""
    # Transpose on the GPU. On the CPU a large picture takes a tenth of a second, during which the GPU is idle.
    pixels: Pixels = picture.mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
