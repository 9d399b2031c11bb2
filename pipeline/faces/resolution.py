"""Estimate the true resolution of a face from its power spectrum.

A photo that was enlarged, or is out of focus, has fewer details than pixels.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.types import Mesh, Pixels

Powers = NDArray[np.float32]

WINDOW_PX = 32
MIN_STEP_PX = 8
# At most about this many windows along each side of the face, so that a large face does not take longer.
MAX_WINDOWS = 32
# Faces with a shorter side have too few windows for an estimate.
MIN_SIDE_PX = 2 * WINDOW_PX

# The power of the most detailed windows of a sharp face falls with this power of the frequency. An edge alone would
# fall with the power of 3, and lashes and hairs fall more slowly.
POWER_LAW = 2.5
# Detail ends where the power falls this far below that law. 0.9 is 9 dB: the contrast there is a third of what a sharp
# photo has.
BELOW_LAW_LOG10 = 0.9
# Noise has the same power in all windows, and detail is limited to eyes, hair and edges. Detail therefore ends where
# the most detailed windows have less than this factor of the power of windows with little detail. With 3, a sharp but
# noisy portrait counted as enlarged.
ABOVE_NOISE = 2.0
DETAILED_PERCENTILE, SMOOTH_PERCENTILE = 97, 25
# The lowest frequencies contain shading, which is not noise.
SHADING_FREQUENCIES = 2
# Rounding to 8 bits adds 1/12. It keeps a window without any noise above zero.
ROUNDING_POWER = 0.05

# A photo with less than this fraction of its resolution was enlarged before, or is out of focus. Photos that were
# enlarged twice have 0.37 to 0.51 at the median, by method. Of 46 photos of people as they were found, 5 are below.
ENLARGED_DETAIL = 0.45
# From faces that are narrower than this at their true resolution the upscaling network invents eyes and teeth. A photo
# below ENLARGED_DETAIL needs a third more, because the estimate can be a third too high.
MIN_TRUE_WIDTH_PX, MIN_TRUE_WIDTH_ENLARGED_PX = 112, 150


def has_detail_for_4k(face_width_px: float, detail_share: float) -> bool:
    """Return False if the face has too little detail for the upscaling network, and must be enlarged plainly."""
    min_width_px = MIN_TRUE_WIDTH_ENLARGED_PX if detail_share < ENLARGED_DETAIL else MIN_TRUE_WIDTH_PX
    return face_width_px * detail_share >= min_width_px


def estimate_detail(pixels: Pixels, mesh: Mesh) -> float:
    """Return the true resolution of a face as a fraction of its pixels, more than 0 and at most 1.

    A photo that was enlarged twice has about 0.5: it could be halved without losing detail. Noise does not count as
    detail. Returns 1 if the face is too small for an estimate. The limits were chosen with enlarged photos
    (docs/benchmarks.md)."""
    import cv2

    bounds, (height, width) = landmarks.bounds(mesh), pixels.shape[:2]
    left, top = max(0, int(bounds.left)), max(0, int(bounds.top))
    right, bottom = min(width, max(0, int(bounds.right))), min(height, max(0, int(bounds.bottom)))
    if min(right - left, bottom - top) < MIN_SIDE_PX:
        return 1.0
    lightness = np.asarray(cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_RGB2GRAY), np.float32)
    detailed, smooth = np.log10(
        np.percentile(_spectra(lightness), (DETAILED_PERCENTILE, SMOOTH_PERCENTILE), axis=0) + ROUNDING_POWER
    )
    frequencies = np.arange(1, len(detailed) + 1)
    sharp = detailed[0] - POWER_LAW * np.log10(frequencies) - BELOW_LAW_LOG10
    noise = np.where(frequencies > SHADING_FREQUENCIES, smooth + np.log10(ABOVE_NOISE), -np.inf)
    above = detailed - np.maximum(sharp, noise)
    missing = np.flatnonzero(above < 0)
    if not missing.size:
        return 1.0
    # The first frequency is above the law by definition.
    last = int(missing[0])
    before, after = float(above[last - 1]), float(above[last])
    return (last + before / (before - after)) / len(detailed)


def _spectra(lightness: NDArray[np.float32]) -> Powers:
    """Return the power of each window at the frequencies 1 to 16 per window, (windows, 16), averaged over directions.

    White noise has its variance as power at each frequency."""
    step = max(MIN_STEP_PX, round(max(lightness.shape) / MAX_WINDOWS))
    tops, lefts = (range(0, side - WINDOW_PX + 1, step) for side in lightness.shape)
    windows = np.stack([lightness[top : top + WINDOW_PX, left : left + WINDOW_PX] for top in tops for left in lefts])
    taper = np.hanning(WINDOW_PX + 1)[:WINDOW_PX]
    weight = np.asarray(np.outer(taper, taper), np.float32)
    tapered = (windows - windows.mean(axis=(1, 2), keepdims=True)) * weight
    powers = np.abs(np.fft.rfft2(tapered)) ** 2 / (weight**2).sum()
    radius = np.hypot(np.fft.fftfreq(WINDOW_PX)[:, None], np.fft.rfftfreq(WINDOW_PX)[None]) * WINDOW_PX
    rings = [np.rint(radius) == ring for ring in range(1, WINDOW_PX // 2 + 1)]
    return np.stack([powers[:, ring].mean(axis=1) for ring in rings], axis=1).astype(np.float32)
