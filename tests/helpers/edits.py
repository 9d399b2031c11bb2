"""What happens to a picture after its download: edits that an invisible watermark must survive."""

import io
import random
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from pipeline.types import Pixels


def recompress(pixels: Pixels, quality: int) -> Pixels:
    """As a JPEG with chroma subsampling, as websites do it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def resize(pixels: Pixels, long_edge: int) -> Pixels:
    scale = long_edge / max(pixels.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def crop(pixels: Pixels, share: float, rng: random.Random) -> Pixels:
    """A random part with this share of the width and of the height."""
    height, width = (round(length * share) for length in pixels.shape[:2])
    top, left = (rng.randint(0, whole - part) for whole, part in zip(pixels.shape[:2], (height, width), strict=True))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def adjust(pixels: Pixels, *, gain: float = 1, saturation: float = 1) -> Pixels:
    """Contrast around middle gray, and saturation."""
    gray = pixels.mean(axis=2, keepdims=True)
    changed = (gray + (pixels - gray) * saturation - 128) * gain + 128
    return np.asarray(np.clip(changed, 0, 255), np.uint8)


def sharpen(pixels: Pixels) -> Pixels:
    blurred = cv2.GaussianBlur(pixels, (0, 0), 1)
    return np.asarray(cv2.addWeighted(pixels, 1.5, blurred, -0.5, 0), np.uint8)


def screenshot(pixels: Pixels) -> Pixels:
    """Shown at 83 % on a page, by a display with another gamma, and saved as a JPEG."""
    shown = cv2.resize(pixels, None, fx=0.83, fy=0.83, interpolation=cv2.INTER_LINEAR)
    shown = np.asarray(np.rint(255 * (shown / 255) ** 1.05), np.uint8)
    height, width = shown.shape[:2]
    page = np.full((round(height * 1.25), round(width * 1.6), 3), 246, np.uint8)
    page[40 : 40 + height, 90 : 90 + width] = shown
    return recompress(page, 85)


EDITS: dict[str, Callable[[Pixels, random.Random], Pixels]] = {
    "none": lambda pixels, rng: pixels,
    "JPEG 70": lambda pixels, rng: recompress(pixels, 70),
    "JPEG 50": lambda pixels, rng: recompress(pixels, 50),
    "512 px": lambda pixels, rng: resize(pixels, 512),
    "512 px, JPEG 70": lambda pixels, rng: recompress(resize(pixels, 512), 70),
    "400 px, JPEG 80": lambda pixels, rng: recompress(resize(pixels, 400), 80),
    "crop to 70 % of the area": lambda pixels, rng: crop(pixels, 0.84, rng),
    "crop to 70 % of each side": lambda pixels, rng: crop(pixels, 0.7, rng),
    "crop to 70 % of each side, JPEG 70": lambda pixels, rng: recompress(crop(pixels, 0.7, rng), 70),
    "brighter by 10 %": lambda pixels, rng: np.asarray(np.clip(pixels * 1.1, 0, 255), np.uint8),
    "contrast, saturation": lambda pixels, rng: adjust(pixels, gain=1.15, saturation=1.25),
    "black and white": lambda pixels, rng: adjust(pixels, saturation=0),
    "blur of 1 px": lambda pixels, rng: np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1), np.uint8),
    "sharpened": lambda pixels, rng: sharpen(pixels),
    "mirrored": lambda pixels, rng: np.ascontiguousarray(pixels[:, ::-1]),
    "screenshot of a page": lambda pixels, rng: screenshot(pixels),
}
