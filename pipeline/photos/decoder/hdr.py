"""Tone-map HDR pictures (PQ and HLG, ITU-R BT.2100) to sRGB."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

# Diffuse white according to ITU-R BT.2408: its luminance for PQ, and the linear light of a 75% signal for HLG. HLG's
# system gamma is omitted. It is 1.2 for a screen of 1,000 nits, and close to 1 for a screen whose white has 203 nits.
WHITE_NITS = 203.0
HLG_WHITE = 0.26496
# Light up to this fraction of white is unchanged, so that skin keeps its color. Brighter light is compressed to stay
# below white.
KNEE = 0.8
ROWS_AT_ONCE = 128

Floats = npt.NDArray[np.floating]


def tone_map(
    pixels: npt.NDArray[np.uint16], to_srgb: tuple[tuple[float, ...], ...], *, is_hlg: bool
) -> npt.NDArray[np.uint8]:
    """Convert an HDR picture to sRGB.

    Args:
        pixels: (H, W, 3), 16 bits.
        to_srgb: matrix from the picture's linear colors to linear sRGB.
        is_hlg: True if the transfer function is HLG, False if it is PQ.
    """
    signal = np.arange(65536, dtype=np.float32) / 65535
    to_linear = (_hlg_to_linear(signal) if is_hlg else _pq_to_linear(signal)).astype(np.float32)
    to_signal = np.round(255 * _srgb_curve(signal)).astype(np.uint8)
    matrix = np.array(to_srgb, np.float32)
    result = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), ROWS_AT_ONCE):
        linear = to_linear[pixels[top : top + ROWS_AT_ONCE]]
        linear = np.maximum(linear @ matrix.T, 0)
        brightest = linear.max(axis=2, keepdims=True)
        over = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
        pressed = KNEE + (1 - KNEE) * over / (1 + over)
        linear *= np.where(over > 0, pressed / np.maximum(brightest, KNEE), 1)
        result[top : top + ROWS_AT_ONCE] = to_signal[(linear * 65535).astype(np.uint16)]
    return result


def tone_map_image(image: Image.Image, to_srgb: tuple[tuple[float, ...], ...], *, is_hlg: bool) -> Image.Image:
    """Convert an 8-bit HDR image to sRGB. Keeps the alpha channel if the image has one."""
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    wide = np.asarray(image.convert("RGB")).astype(np.uint16) * 257
    mapped = Image.fromarray(tone_map(wide, to_srgb, is_hlg=is_hlg))
    if alpha:
        mapped.putalpha(alpha)
    return mapped


def read_heic_16_bit(data: bytes) -> npt.NDArray[np.uint16]:
    """Return the pixels of a HEIC, (H, W, 3), 16 bits.

    Pillow's 8 bits would cause visible banding in dark skin."""
    import pillow_heif

    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    pixels = np.asarray(file[file.primary_index])
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * 257
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return pixels[..., :3]


def _pq_to_linear(signal: Floats) -> Floats:
    """Convert a PQ signal to multiples of diffuse white (SMPTE ST 2084)."""
    power = signal ** (1 / 78.84375)
    nits = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    return np.asarray(nits / WHITE_NITS, np.float32)


def _hlg_to_linear(signal: Floats) -> Floats:
    """Convert an HLG signal to multiples of diffuse white (ITU-R BT.2100)."""
    bright = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.asarray(np.where(signal <= 0.5, signal**2 / 3, bright) / HLG_WHITE, np.float32)


def _srgb_curve(linear: Floats) -> Floats:
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055), np.float32)
