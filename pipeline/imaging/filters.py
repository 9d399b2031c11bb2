"""Image operations on float32 arrays. Values are 0..1 unless stated otherwise.

Display values are gamma-encoded, as in an image file. Linear light is proportional to the physical intensity.
"""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""One channel (H, W), called a plane, or a color picture (H, W, 3)."""

Shape = tuple[int, int]
"""Height and width in pixels."""

Sample = TypeVar("Sample", np.uint8, np.float32)

DISPLAY_GAMMA = 2.2

# Orthonormal columns of a color rotation: brightness, red minus blue, and red plus blue minus twice green.
DECORRELATED = np.array(
    [[3**-0.5, 2**-0.5, 6**-0.5], [3**-0.5, 0, -2 * 6**-0.5], [3**-0.5, -(2**-0.5), 6**-0.5]], np.float32
)
# The same rotation for cv2.transform, with the gray of 0.5 as its origin.
TO_DECORRELATED = np.c_[DECORRELATED.T, -0.5 * DECORRELATED.sum(axis=0)]


def blur(values: Floats, sigma: float) -> Floats:
    """Apply a Gaussian blur. Repeats the edge pixels beyond the border.

    A large blur is computed on a reduced picture. It would take seconds at 4K, and removes fine detail anyway. sigma:
    in pixels."""
    if sigma <= 0.05:
        return values
    step = int(sigma / 4)
    if step < 2:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    height, width = values.shape[:2]
    small = resize(values, (max(2, height // step), max(2, width // step)))
    soft = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
    return resize(np.asarray(soft, np.float32), (height, width))


def box_filter(values: Floats, radius: float) -> Floats:
    """Return the mean over a square of 2 * radius + 1 pixels around each pixel."""
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def resize(values: Floats, shape: Shape) -> Floats:
    """Resize by area averaging if the result is smaller, otherwise by cubic interpolation.

    Cubic interpolation can overshoot the value range. Callers must clip the result if that matters."""
    height, width = shape
    if values.shape[:2] == shape:
        return values
    shrinks = height * width < values.shape[0] * values.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(values, (width, height), interpolation=how), np.float32)


def enlarge_rows(values: Floats, factor: int, top: int, bottom: int) -> Floats:
    """Enlarge by a whole factor with linear interpolation, and return rows `top` to `bottom` of the result.

    Callers can assemble a large picture from such strips without seams."""
    if factor == 1:
        return values[top:bottom]
    first, last = max(0, top // factor - 1), min(len(values), -(-bottom // factor) + 1)
    part = values[first:last]
    size = (part.shape[1] * factor, part.shape[0] * factor)
    # OpenCV's resize accepts at most four channels.
    channels = 1 if values.ndim == 2 else values.shape[2]
    pieces = [part] if channels <= 4 else [part[..., start : start + 4] for start in range(0, channels, 4)]
    large = [np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_LINEAR), np.float32) for piece in pieces]
    joined = large[0] if len(large) == 1 else np.dstack(large)
    return joined[top - first * factor : bottom - first * factor]


def circular_kernel(radius: float) -> NDArray[np.uint8]:
    """Return a filled circle as structuring element.

    radius: in pixels."""
    side = 2 * max(0, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def dilate(values: Floats, radius: float) -> Floats:
    """Return the largest value within the radius of each pixel."""
    return np.asarray(cv2.dilate(values, circular_kernel(radius)), np.float32)


def erode(values: Floats, radius: float) -> Floats:
    """Return the smallest value within the radius of each pixel.

    The edge pixels are repeated beyond the border, so the border does not shrink a mask."""
    return np.asarray(cv2.erode(values, circular_kernel(radius), borderType=cv2.BORDER_REPLICATE), np.float32)


def fill_convex_hull(points: Floats, shape: Shape) -> Floats:
    """Return a mask that is 1 inside the convex hull of the points (N, 2) and 0 outside."""
    mask = np.zeros(shape, np.uint8)
    hull = np.asarray(cv2.convexHull(np.round(points).astype(np.int32)), np.int32)
    cv2.fillConvexPoly(mask, hull, (1,))
    return mask.astype(np.float32)


def distance_transform(mask: Floats) -> Floats:
    """Return the distance in pixels from each pixel inside the mask to the nearest pixel outside."""
    return np.asarray(cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def connected_component_at(mask: Floats, x: float, y: float) -> Floats:
    """Return the connected component of the mask at this point.

    Returns the whole mask if the point is outside the mask."""
    _, labels = cv2.connectedComponents((mask > 0.5).astype(np.uint8))
    height, width = mask.shape
    label = labels[int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))]
    return mask if label == 0 else (labels == label).astype(np.float32)


def gradients(plane: Floats) -> tuple[Floats, Floats]:
    """Return the change per pixel to the right, and the change per pixel downward (Sobel)."""
    right = np.asarray(cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=1 / 8), np.float32)
    down = np.asarray(cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=1 / 8), np.float32)
    return right, down


def bilateral_filter(plane: Floats, contrast: float, sigma: float) -> Floats:
    """Smooth the plane, but keep differences well above `contrast`.

    sigma: in pixels."""
    return np.asarray(cv2.bilateralFilter(plane, 9, contrast, sigma), np.float32)


def warp(values: NDArray[Sample], matrix: NDArray[np.float64], shape: Shape) -> NDArray[Sample]:
    """Transform the picture with an affine map (2, 3) from source to result. Repeats the border outside the source.

    Coordinates are continuous: pixel i covers i..i+1. Therefore maps at different scales can be combined."""
    height, width = shape
    centered = matrix.copy()
    centered[:, 2] += centered[:, :2] @ (0.5, 0.5) - 0.5
    seen = cv2.warpAffine(values, centered, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, values.dtype)


def displace(values: Floats, right: Floats, down: Floats) -> Floats:
    """Return the picture with each pixel taken from `right` pixels to its right and `down` pixels below it.

    right, down: (H, W), can be negative."""
    height, width = values.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.asarray(
        cv2.remap(values, columns + right, rows + down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def convolve(values: Floats, kernel: Floats) -> Floats:
    """Return the weighted mean around each pixel. The kernel contains the weights."""
    weighted = cv2.filter2D(values, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(weighted, np.float32)


def to_linear(display: Floats) -> Floats:
    """Convert display values to linear light. Clips the input to 0..1."""
    return np.asarray(cv2.pow(np.clip(display, 0, 1), DISPLAY_GAMMA), np.float32)


def to_display(linear: Floats) -> Floats:
    """Convert linear light to display values. Clips the input to 0..1."""
    return np.asarray(cv2.pow(np.clip(linear, 0, 1), 1 / DISPLAY_GAMMA), np.float32)


def to_lab(display: Floats) -> Floats:
    """Convert display values to CIE Lab, with L in 0..100."""
    return np.asarray(cv2.cvtColor(display, cv2.COLOR_RGB2Lab), np.float32)


def from_lab(lab: Floats) -> Floats:
    """Convert CIE Lab to display values. Clips the result to 0..1."""
    return np.clip(np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32), 0, 1)


def color(*rgb: float) -> Floats:
    """Convert an sRGB color, 0..255 per channel, to linear light, (3,)."""
    display = np.array(rgb, np.float32).reshape(1, 1, 3) / np.float32(255)
    return np.asarray(to_linear(np.asarray(display, np.float32))[0, 0], np.float32)


def stack(planes: Sequence[Floats]) -> Floats:
    """Stack planes as the channels of one array."""
    return np.ascontiguousarray(np.stack(list(planes), axis=2), dtype=np.float32)


def guided_filter(guide: Floats, values: Floats, radius: int, eps: float) -> Floats:
    """Smooth the plane so that its edges follow the colors of the guide.

    guide: (H, W, 3). values: (H, W).
    Source: He, Sun, Tang: Guided Image Filtering (2013), the color case."""
    return apply_guided_filter(guide, guided_filter_lines(guide, values, radius, eps))


def apply_guided_filter(guide: Floats, lines: Floats) -> Floats:
    """Compute the filtered plane from the guide's colors and the result of `guided_filter_lines`.

    guide: (H, W, 3). lines: (H, W, 4)."""
    # cv2 transforms and sums the three channels several times as fast as NumPy.
    turned = cv2.transform(guide, TO_DECORRELATED)
    light, warm, fresh = cv2.split(turned)
    slope_l, slope_w, slope_f, offset = cv2.split(lines)
    return np.asarray(light * slope_l + warm * slope_w + fresh * slope_f + offset, np.float32)


def guided_filter_lines(guide: Floats, values: Floats, radius: int, eps: float) -> Floats:
    """Fit a linear function from color to value around each pixel.

    Returns (H, W, 4): three slopes and an offset. They vary smoothly. Therefore they can be enlarged and applied to a
    guide at full resolution (He, Sun: Fast Guided Filter, 2015)."""
    # Use brightness and two color differences instead of red, green and blue. In theory this rotation does not change
    # the result. But gray hair in front of a white wall varies along one axis only, and float32 cannot invert its RGB
    # covariance.
    turned = np.asarray((guide - 0.5) @ DECORRELATED, np.float32)
    light, warm, fresh = (np.ascontiguousarray(turned[..., channel]) for channel in range(3))
    mean_l, mean_w, mean_f = box_filter(light, radius), box_filter(warm, radius), box_filter(fresh, radius)
    mean = box_filter(values, radius)
    cov_l = box_filter(light * values, radius) - mean_l * mean
    cov_w = box_filter(warm * values, radius) - mean_w * mean
    cov_f = box_filter(fresh * values, radius) - mean_f * mean

    ll = box_filter(light * light, radius) - mean_l * mean_l + eps
    lw = box_filter(light * warm, radius) - mean_l * mean_w
    lf = box_filter(light * fresh, radius) - mean_l * mean_f
    ww = box_filter(warm * warm, radius) - mean_w * mean_w + eps
    wf = box_filter(warm * fresh, radius) - mean_w * mean_f
    ff = box_filter(fresh * fresh, radius) - mean_f * mean_f + eps
    # Invert the 3 x 3 covariances by cofactors. A million small solves in LAPACK would take seconds.
    i_ll, i_lw, i_lf = ww * ff - wf * wf, wf * lf - lw * ff, lw * wf - ww * lf
    i_ww, i_wf, i_ff = ll * ff - lf * lf, lf * lw - ll * wf, ll * ww - lw * lw
    determinant = np.maximum(ll * i_ll + lw * i_lw + lf * i_lf, eps**3)

    slope_l = (i_ll * cov_l + i_lw * cov_w + i_lf * cov_f) / determinant
    slope_w = (i_lw * cov_l + i_ww * cov_w + i_wf * cov_f) / determinant
    slope_f = (i_lf * cov_l + i_wf * cov_w + i_ff * cov_f) / determinant
    offset = mean - slope_l * mean_l - slope_w * mean_w - slope_f * mean_f
    return stack([box_filter(plane, radius) for plane in (slope_l, slope_w, slope_f, offset)])
