"""An invisible watermark in the pixels of finished pictures. It survives what removes metadata.

The watermark is a spread-spectrum pattern in the lightness, drawn from a secret key and the name of the engine, and
repeated over the picture (Kalker et al., "A video watermarking system for broadcast monitoring", 1999). It holds
nothing about the person. Reading asks whether the pattern of a key is there: the fine structure of the picture is
folded onto one tile of the pattern and correlated with it at all positions and many scales. So a crop or another size
does no harm.

The pattern is made of random signs that are independent of the picture. Therefore Hoeffding's inequality holds for
every picture: at one position and scale, a picture without the watermark reaches a score t with probability at most
exp(-t²/2) over the choice of the key.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.types import Pixels

Plane = NDArray[np.float32]
Spectrum = NDArray[np.complex128]

# The pattern is defined at this picture height, and one tile of it has this side there.
HEIGHT_PX = 320
TILE_PX = 128
# Spatial frequencies of the pattern in cycles per pixel at HEIGHT_PX. Below, the picture itself is strong. Above, JPEG
# compression and small sizes remove the pattern.
MIN_FREQUENCY, MAX_FREQUENCY = 0.06, 0.30
# Standard deviation of the pattern in steps of 8 bits, where the picture is smooth. Texture hides more: the strength
# grows with the contrast around a pixel, up to MAX_GAIN times.
STRENGTH = 0.4
GAIN_PER_CONTRAST = 0.15
MAX_GAIN = 2.5

# A score of at least this is a watermark. 16,384 positions, 190 scales, mirror images and three engines are tried for
# one key. With exp(-t²/2) for each, at most 4 in a thousand million pictures without the watermark reach it.
MIN_SCORE = 8.5
# This score is not reached by chance at any scale, so the search stops.
CERTAIN_SCORE = 14.0
# Heights to which a picture is resized for reading, as a share of HEIGHT_PX: below 1 for crops, above for pictures with
# something around them. One step shifts the picture's borders by less than a period of the finest pattern.
MIN_SCALE, MAX_SCALE, SCALE_STEP = 0.4, 1.7, 0.0075
REFINED_STEPS = (-0.5, -0.25, 0.25, 0.5)
CANDIDATES = 3
# Larger pictures are shrunk to this height first.
MAX_READ_HEIGHT_PX = 1280


@dataclass(frozen=True)
class Watermark:
    """A watermark that was found.

    Attributes:
        engine: name of the engine that made the picture.
        key: index of the key among those that were tried.
        score: strength of the finding. MIN_SCORE is the smallest.
    """

    engine: str
    key: int
    score: float


def embed(pixels: Pixels, key: bytes, engine: str) -> Pixels:
    """Return the picture with the watermark of this key and engine. The same arguments always give the same pixels.

    pixels: (H, W, 3) uint8, sRGB. Raises ValueError for an empty key."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX)
    lightness = _lightness(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))
    tile = _tile(key, engine)
    pattern = np.tile(tile, (-(-size[1] // TILE_PX), -(-size[0] // TILE_PX)))[: size[1], : size[0]]
    detail = lightness - cv2.GaussianBlur(lightness, (0, 0), 3)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4))
    strength = STRENGTH * np.minimum(1 + GAIN_PER_CONTRAST * contrast, MAX_GAIN)
    change = cv2.resize(pattern * strength, (width, height), interpolation=cv2.INTER_CUBIC)
    marked = np.empty_like(pixels)
    for top in range(0, height, 512):
        # Rounding the change alone is the same as rounding the sum, because the pixels are whole numbers.
        rows = np.rint(change[top : top + 512]).astype(np.int16)
        marked[top : top + 512] = cv2.add(pixels[top : top + 512], cv2.merge([rows] * 3), dtype=cv2.CV_8U)
    return marked


def find_watermark(pixels: Pixels, keys: Sequence[bytes], engines: Sequence[str]) -> Watermark | None:
    """Return the strongest watermark of these keys and engines, or None if there is none.

    Finds it in crops and mirror images too. Takes up to two seconds.
    pixels: (H, W, 3) uint8, sRGB."""
    names = [(key, engine) for key in range(len(keys)) for engine in engines]
    if not names or min(pixels.shape[:2]) < TILE_PX // 2:
        return None
    patterns = np.stack([_spectrum(keys[key], engine) for key, engine in names])
    lightness = _lightness(pixels)
    if (height := lightness.shape[0]) > MAX_READ_HEIGHT_PX:
        scale = MAX_READ_HEIGHT_PX / height
        smaller = cv2.resize(lightness, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        lightness = np.asarray(smaller, np.float32)

    def search(scales: Iterable[float]) -> list[tuple[float, float, int]]:
        """Return (score, scale, index of the name) of each scale."""
        found = []
        for scale in scales:
            scores = _scores(lightness, round(scale * HEIGHT_PX), patterns)
            best = int(np.argmax(scores))
            found.append((float(scores[best]), scale, best))
            if scores[best] >= CERTAIN_SCORE:
                break
        return found

    # Most pictures are whole. Otherwise try every scale, then the neighbors of the best ones.
    found = search([1.0])
    if max(found)[0] < CERTAIN_SCORE:
        found += search(np.arange(MIN_SCALE, MAX_SCALE, SCALE_STEP))
        nearby = sorted(found, reverse=True)[:CANDIDATES]
        found += search(scale + step * SCALE_STEP for _, scale, _ in nearby for step in REFINED_STEPS)
    score, _, name = max(found)
    return Watermark(names[name][1], names[name][0], round(score, 1)) if score >= MIN_SCORE else None


def _lightness(pixels: Pixels) -> Plane:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


@cache
def _spectrum(key: bytes, engine: str) -> Spectrum:
    """Return the spectrum of the pattern's tile: random signs, band-limited. The shape is that of numpy's rfft2."""
    if not key:
        raise ValueError("The key of the watermark is empty.")
    name = len(key).to_bytes(4, "big") + key + engine.encode()
    signs = np.unpackbits(np.frombuffer(hashlib.shake_256(name).digest(TILE_PX**2 // 8), np.uint8))
    return np.asarray(np.fft.rfft2(2.0 * signs.reshape(TILE_PX, TILE_PX) - 1) * _band())


@cache
def _tile(key: bytes, engine: str) -> Plane:
    """Return one tile of the pattern with a standard deviation of 1."""
    tile = np.fft.irfft2(_spectrum(key, engine), (TILE_PX, TILE_PX))
    return np.asarray(tile / tile.std(), np.float32)


@cache
def _band() -> NDArray[np.bool_]:
    frequency = np.hypot(np.fft.fftfreq(TILE_PX)[:, None], np.fft.rfftfreq(TILE_PX))
    return np.asarray((frequency >= MIN_FREQUENCY) & (frequency <= MAX_FREQUENCY))


def _scores(lightness: Plane, height: int, patterns: Spectrum) -> NDArray[np.float64]:
    """Return the best score of each pattern over all positions, in the picture or in its mirror image.

    A score is the correlation of the folded picture with the pattern's signs, divided by the norm of the folded
    picture. patterns: (N, TILE_PX, TILE_PX // 2 + 1)."""
    width = max(1, round(lightness.shape[1] * height / lightness.shape[0]))
    how = cv2.INTER_AREA if height < lightness.shape[0] else cv2.INTER_CUBIC
    fine = _whiten(np.asarray(cv2.resize(lightness, (width, height), interpolation=how), np.float32))
    rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
    padded = np.zeros((rows * TILE_PX, columns * TILE_PX), np.float32)
    padded[:height, :width] = fine
    folded = padded.reshape(rows, TILE_PX, columns, TILE_PX).sum((0, 2))
    # A mirrored tile has the same rows, read backward.
    spectrum = np.fft.rfft2(np.stack([folded, folded[:, ::-1]])) * _band()
    norm = np.linalg.norm(np.fft.irfft2(spectrum[0], (TILE_PX, TILE_PX))) + 1e-9
    correlation = np.fft.irfft2(spectrum[:, None] * np.conj(patterns), (TILE_PX, TILE_PX))
    return np.asarray(correlation.max((0, 2, 3)) / norm)


def _whiten(lightness: Plane) -> Plane:
    """Return the fine structure, equally strong everywhere, so that no edge outweighs the smooth regions."""
    detail = lightness - cv2.GaussianBlur(lightness, (0, 0), 2.5)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 5)) + 0.25
    return np.asarray(np.clip(detail / spread, -2.5, 2.5), np.float32)
