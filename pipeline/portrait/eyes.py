"""Compare the eyes that the upscaling network drew with the photo's, and restore the photo's where they differ."""

import numpy as np

from pipeline.faces import landmarks
from pipeline.faces.sampling import sample, square_around
from pipeline.imaging.filters import blur, dilate, fill_convex_hull
from pipeline.types import Mesh, Pixels
from pipeline.upscaling.upscale import SCALE, enlarge_plainly

EYES = (landmarks.RIGHT_EYE, landmarks.LEFT_EYE)
CORNERS = (
    (landmarks.RIGHT_EYE_OUTER, landmarks.RIGHT_EYE_INNER),
    (landmarks.LEFT_EYE_INNER, landmarks.LEFT_EYE_OUTER),
)
# Eyes are compared in an upright square with this side, in which an eye is 64 px wide. At this scale the iris, its
# reflections and the lids are visible, and lashes are not.
CHIP_PX = 96
CHIP_EYE_PX = 64
# Radius by which the compared area exceeds the outline of the eye.
GROW_PX = 4
# Correlation of the lightness of both pictures in that area, for the eye with the lower one. Invented irises have at
# most 0.93, and right ones at least 0.937 (docs/benchmarks.md). An iris at another place, of another size, or a
# second one lowers it. Measuring the darkest discs instead finds nearly the same discs in both pictures.
MIN_CORRELATION = 0.935
# In widths of the eye: how far the restored area exceeds the outline of the eye, and the softness of its border.
RESTORED, SOFTNESS = 0.18, 0.10
# Pixels around the restored area that the interpolation needs.
CONTEXT_PX = 4


def restore_eyes(enlarged: Pixels, pixels: Pixels, mesh: Mesh) -> bool:
    """Replace both eyes in place by plain enlargement if one of them does not look like the photo's.

    Returns True if the eyes were replaced.

    Args:
        enlarged: (4H, 4W, 3), result of the network.
        pixels: (H, W, 3), input of the network.
        mesh: face mesh in pixels of `enlarged`.
    """
    if min(correlate_eye(enlarged, pixels, mesh, side) for side in (0, 1)) >= MIN_CORRELATION:
        return False
    for side in (0, 1):
        _restore_eye(enlarged, pixels, mesh, side)
    return True


def correlate_eye(enlarged: Pixels, pixels: Pixels, mesh: Mesh, side: int) -> float:
    """Return the correlation (-1..1) of one eye before and after it was enlarged. side: 0 is the right eye."""
    (x, y), width, roll_degrees = _place(mesh, side)
    chips = []
    for picture, scale in ((pixels, SCALE), (enlarged, 1)):
        # The mesh has pixel centers at 0.5, and the transform has them at 0.
        center = (x / scale - 0.5, y / scale - 0.5)
        similarity = square_around(center, width / scale * CHIP_PX / CHIP_EYE_PX, CHIP_PX, roll_degrees)
        chips.append(sample(picture, similarity, CHIP_PX, cubic=True).mean(axis=2))
    outline = np.c_[landmarks.select_points(mesh, EYES[side]), np.ones(len(EYES[side]))] @ similarity.T
    area = dilate(fill_convex_hull(np.asarray(outline, np.float32), (CHIP_PX, CHIP_PX)), GROW_PX) > 0
    drawn, seen = (chip[area] - chip[area].mean() for chip in chips)
    return float((drawn * seen).sum() / (np.sqrt((drawn**2).sum() * (seen**2).sum()) + 1e-6))


def _place(mesh: Mesh, side: int) -> tuple[tuple[float, float], float, float]:
    """Return center, width and rotation in degrees of one eye, in pixels of the mesh."""
    first, last = (np.asarray(mesh[corner, :2], np.float64) for corner in CORNERS[side])
    x, y = (first + last) / 2
    across = last - first
    return (float(x), float(y)), max(float(np.hypot(*across)), 1.0), float(np.degrees(np.arctan2(across[1], across[0])))


def _restore_eye(enlarged: Pixels, pixels: Pixels, mesh: Mesh, side: int) -> None:
    points = landmarks.select_points(mesh, EYES[side])
    _, width, _ = _place(mesh, side)
    margin = (RESTORED + 3 * SOFTNESS) * width
    limits = pixels.shape[1::-1]
    low = np.clip(np.floor((points.min(axis=0) - margin) / SCALE).astype(int), 0, limits)
    high = np.clip(np.ceil((points.max(axis=0) + margin) / SCALE).astype(int), 0, limits)
    if (high <= low).any():
        return
    outer = np.maximum(low - CONTEXT_PX, 0)
    seen = pixels[outer[1] : high[1] + CONTEXT_PX, outer[0] : high[0] + CONTEXT_PX]
    inset = SCALE * (low - outer)
    columns, rows = SCALE * (high - low)
    plain = enlarge_plainly(np.ascontiguousarray(seen))[inset[1] : inset[1] + rows, inset[0] : inset[0] + columns]
    mask = fill_convex_hull(np.asarray(points - SCALE * low, np.float32), (int(rows), int(columns)))
    share = blur(dilate(mask, RESTORED * width), SOFTNESS * width)[..., None]
    place = enlarged[SCALE * low[1] : SCALE * high[1], SCALE * low[0] : SCALE * high[0]]
    place[:] = np.rint(place + share * (plain.astype(np.float32) - place))
