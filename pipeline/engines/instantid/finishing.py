"""From decoded pictures to pixels of the size that was asked: enlarged, cut, grey where the look is grey."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.types import Pixels, Size

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


def to_grey(picture: Tensor) -> Tensor:
    """(3, H, W), 0..1: the same lightness in all three channels."""
    weights = torch.tensor(LUMA, device=picture.device, dtype=picture.dtype)[:, None, None]
    return (picture * weights).sum(dim=0, keepdim=True).expand(3, -1, -1)


def to_pixels(picture: Tensor) -> Pixels:
    """(3, H, W), 0..1 -> (H, W, 3) uint8 in main memory."""
    # Turned on the device: the processor would take a tenth of a second for a large one, and the GPU would wait for it.
    pixels: Pixels = picture.mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
