"""Map a rectangle of the photo to the headshot, and sample its pixels."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import Floats, Shape, blur, displace, from_lab, gradients, resize, to_lab, warp
from pipeline.types import Mesh, Pixels

# A tilted head is rotated only partly upright, because a little tilt looks more natural.
MAX_LEVELED_DEGREES = 30.0
LEVELED_SHARE = 0.85
IGNORED_ROLL_DEGREES = 1.5


@dataclass(frozen=True, eq=False)
class Frame:
    """A rectangle in the photo that can be rotated.

    Attributes:
        matrix: (2, 3) map from pixels of the photo to pixels of the frame.
        scale: pixels of the frame per pixel of the photo.
        shape: (height, width) of the frame in pixels.
    """

    matrix: NDArray[np.float64]
    scale: float
    shape: Shape

    def place(self, mesh: Mesh) -> Mesh:
        """Return the mesh in pixels of the frame."""
        xy = mesh[:, :2] @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.asarray(np.c_[xy, mesh[:, 2] * self.scale], np.float32)


@dataclass(frozen=True, eq=False)
class Outline:
    """Points of the person that limit the frame, in pixels of the photo.

    Attributes:
        cut: (N, 2) points where the photo's border cuts the person. The frame should contain none of them.
        crown: (2,) highest visible point of the hair, or None.
        contact: (N, 2) points where a bystander touches the person. The frame should contain as few of them as
            possible.
    """

    cut: NDArray[np.float64]
    crown: NDArray[np.float64] | None
    contact: NDArray[np.float64]


def level_degrees(mesh: Mesh) -> float:
    """Return the angle by which to rotate the photo so that the head is nearly upright."""
    roll = landmarks.roll_degrees(mesh)
    if abs(roll) <= IGNORED_ROLL_DEGREES:
        return 0.0
    return float(np.clip(roll, -MAX_LEVELED_DEGREES, MAX_LEVELED_DEGREES)) * LEVELED_SHARE


def head_anchor(mesh: Mesh) -> NDArray[np.float64]:
    """Return the point (2,) of the head that is centered horizontally and placed at eye level.

    Its x is halfway between the center of the eyes and the center of the face."""
    eyes = np.mean(landmarks.eye_centers(mesh), axis=0)
    bounds = landmarks.bounds(mesh)
    return np.array([(bounds.left + bounds.right) / 4 + eyes[0] / 2, eyes[1]], np.float64)


def rotation(degrees: float) -> NDArray[np.float64]:
    """Return the rotation matrix (2, 2) from photo axes to frame axes."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]], np.float64)


def crop_frame(photo: Pixels, frame: Frame) -> Floats:
    """Return the photo inside the frame, (H, W, 3) display values 0..1.

    If the photo is enlarged, it is denoised first and sharpened afterward."""
    region, matrix = _cut_region(photo, frame.matrix, frame.shape)
    if frame.scale > 1.15:
        region = _denoise(region, frame.scale)
    picture = np.clip(warp(np.asarray(region / np.float32(255), np.float32), matrix, frame.shape), 0, 1)
    picture = _clean_chroma(picture, frame.scale)
    return _thin_edges(picture, frame.scale) if frame.scale > 1.5 else picture


def sample_square(photo: Pixels, matrix: NDArray[np.float64], side: int) -> Pixels:
    """Sample the photo through any affine map, as network input (side, side, 3) uint8."""
    region, matrix = _cut_region(photo, matrix, (side, side))
    return warp(region, matrix, (side, side))


def inside_photo(photo_shape: Shape, frame: Frame) -> Floats:
    """Return a mask (H, W) that is 1 where the frame shows the photo, and 0 beyond the photo's border."""
    height, width = frame.shape
    inverse = np.asarray(cv2.invertAffineTransform(frame.matrix), np.float64)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    x = inverse[0, 0] * columns + inverse[0, 1] * rows + inverse[0, 2]
    y = inverse[1, 0] * columns + inverse[1, 1] * rows + inverse[1, 2]
    margin = 1.0
    seen = (x > margin) & (y > margin) & (x < photo_shape[1] - margin) & (y < photo_shape[0] - margin)
    return np.asarray(seen, np.float32)


def _cut_region(photo: Pixels, matrix: NDArray[np.float64], shape: Shape) -> tuple[Pixels, NDArray[np.float64]]:
    """Return the part of the photo that an affine map shows, and the map from that part.

    If the map would skip pixels, shrinks the part by area averaging."""
    inverse = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    height, width = shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64) @ inverse.T
    scale = math.hypot(matrix[0, 0], matrix[0, 1])
    margin = 4 / min(scale, 1) + 8
    low = np.floor(np.clip(corners.min(axis=0) - margin, 0, None)).astype(int)
    high = np.ceil(np.clip(corners.max(axis=0) + margin, 1, None)).astype(int)
    region = photo[low[1] : high[1], low[0] : high[0]]
    moved = matrix.copy()
    moved[:, 2] += moved[:, :2] @ low
    if scale < 0.75:
        rows, columns = (max(1, round(edge * scale)) for edge in region.shape[:2])
        moved[:, :2] = moved[:, :2] @ np.diag([region.shape[1] / columns, region.shape[0] / rows])
        region = np.asarray(cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return region, moved


def _denoise(region: Pixels, scale: float) -> Pixels:
    """Remove noise and JPEG blocks before the photo is enlarged.

    Both are small at the photo's own size. After enlarging they would look like texture."""
    lightness = np.asarray(cv2.cvtColor(region, cv2.COLOR_RGB2GRAY), np.float32)
    noise = float(np.median(np.abs(np.asarray(cv2.Laplacian(lightness, cv2.CV_32F))))) / 3.0
    # Use only half of the full strength. Skin without texture looks painted after enlarging.
    strength = 0.5 * float(np.clip(noise - 0.5, 0, 4)) * min(1.0, scale - 1.0)
    if strength < 0.4:
        return region
    cleaned = cv2.fastNlMeansDenoisingColored(region, None, strength, strength * 1.6, 5, 11)
    return np.asarray(cleaned, np.uint8)


def _clean_chroma(picture: Floats, scale: float) -> Floats:
    """Smooth color noise.

    This loses little detail, because cameras store chroma at half the resolution."""
    lab = to_lab(picture)
    height, width = picture.shape[:2]
    chroma = resize(np.ascontiguousarray(lab[..., 1:]), (height // 2, width // 2))
    chroma = resize(blur(chroma, 0.8 + 0.45 * min(scale, 5)), (height, width))
    lab[..., 1:] = 0.35 * lab[..., 1:] + 0.65 * chroma
    return from_lab(lab)


def _thin_edges(picture: Floats, scale: float) -> Floats:
    """Sharpen edges that are soft after enlarging, by sampling each pixel farther from its nearest edge.

    Unlike a stronger unsharp mask, this creates no halos and does not change smooth skin."""
    lightness = np.ascontiguousarray(picture @ np.array([0.299, 0.587, 0.114], np.float32))
    right, down = gradients(blur(lightness, 0.5 * scale))
    steepness = np.minimum(np.sqrt(right**2 + down**2) * scale, 0.35)
    toward_right, toward_down = gradients(blur(steepness, 0.5 * scale))
    reach = 2.4 * scale * scale * min(1.0, (scale - 1.5) / 1.5)
    limit = 0.2 * scale
    move = [np.clip(-part * reach, -limit, limit) for part in (toward_right, toward_down)]
    return np.clip(displace(picture, move[0], move[1]), 0, 1)
