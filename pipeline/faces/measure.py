"""Measure the visibility of a face: sharpness, lighting, occlusion and more. The photo rules judge the results."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.faces.resolution import estimate_detail
from pipeline.faces.sampling import Similarity, sample, shrink_to, square_around
from pipeline.types import Box, Face, Measurements, Mesh, Pixels

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

CHIP_SIZE = 160
PHOTO_LONG_EDGE = 512
# Side of the face chip (a small upright crop of the face) in face sizes.
CHIP_SIDE = 1.15
# Face recognition aligns a face to 112 px, with 35.2 px between the eyes. The ratio converts the distance between the
# eyes to the width of a face that fills that square.
FACE_WIDTHS_PER_EYE_DISTANCE = 112 / 35.2
OVEREXPOSED_LIGHTNESS = 97.0
# Zones with fewer pixels in the chip are too small to measure.
MIN_ZONE_PX = 30

# Detail finer than DETAIL_SIGMA is noise or JPEG artifacts. Contrast counts as at least MIN_CONTRAST, so that noise in
# a black picture does not count as sharpness.
DETAIL_SIGMA = 0.6
MIN_CONTRAST = 2
# Second derivatives along the row, the column and both diagonals.
BENDS = tuple(
    np.array(kernel, dtype=np.float32)
    for kernel in (
        [[1, -2, 1], [2, -4, 2], [1, -2, 1]],
        [[1, 2, 1], [-2, -4, -2], [1, 2, 1]],
        [[2, 0, 0], [0, -4, 0], [0, 0, 2]],
        [[0, 0, 2], [0, -4, 0], [2, 0, 0]],
    )
)
# Crisp faces have at least 0.12 contrasts of detail in their least detailed direction. Faces with motion blur (a tenth
# of the face) have at most 0.06. The kernels of BENDS compute four times a second derivative, and this factor reduces
# that to three times.
DIRECTION_SHARE = 0.75

# An occlusion of 1 means a warning. 2 means that an eye or the mouth is not visible at all. The limits below were
# measured on 38 faces in 24 photos, and on the same faces with boxes, sunglasses, masks and hands pasted over them
# (docs/benchmarks.md).
# Contrast of an eye (5th to 95th percentile) relative to the contrast of the face. Bare eyes have at least 0.41, and
# eyes behind sunglasses at most 0.23.
HALF_SEEN_EYE = 0.27
# Bare lips reach at least one of the next two limits. The first is the spread of their lightness, relative to the
# contrast of the face (bare lips at least 0.12, masks at most 0.08). The second is the distance between their color and
# the surrounding skin (bare lips at least 0.7, masks at most 3).
HALF_SEEN_LIP_SPREAD = 0.09
HALF_SEEN_LIP_DISTANCE = 4.0
# A hand on the forehead is skin with strong edges, and hides both brows. A forehead that is darker than the face by
# more than this is covered by a fringe (bangs) instead.
FRINGE_LIGHTNESS = -8.0
# Lightness steps per pixel on the forehead (90th percentile), and how much darker the brows are than the skin above
# them. Both are relative to the contrast of the face. Bare foreheads have smaller steps or darker brows (0.27 for the
# faintest brow). The hand has 0.15 and 0.02.
FOREHEAD_EDGES = 0.10
FAINT_BROW = 0.16
BROW_TO_FOREHEAD_PX = 11
# A mouth is symmetric and a hand is not. The correlation of the mouth, rotated level, with its mirror image is at least
# 0.40 in all faces turned by less than 15 degrees. For the hand it is at most 0.02. A face turned by 19 degrees has
# 0.05.
MIRRORED_MOUTH, NO_MOUTH = 0.30, 0.05
MAX_MIRROR_YAW_DEGREES = 15
MOUTH_WIDTH_PX, MOUTH_HEIGHT_PX = 48, 32
# The evidence of a hand is based on structure alone. Therefore it can cause a warning but not a refusal.
MAX_HAND = 1.4


@dataclass(frozen=True, eq=False)
class _Chip:
    """An upright crop of one face, scaled to (160, 160).

    Attributes:
        lab: CIE Lab values, (160, 160, 3).
        mesh: (468, 2) in pixels of the chip.
        yaw_degrees: rotation of the head.
        inside: True for pixels inside the photo.
    """

    lab: Plane
    mesh: NDArray[np.float64]
    yaw_degrees: float
    inside: Mask

    @property
    def lightness(self) -> Plane:
        return self.lab[..., 0]

    def zone(self, indices: tuple[int, ...], grow_px: int = 0) -> Mask:
        """Return a mask of the convex hull of these points.

        grow_px: twice the number of pixels by which the mask grows, or shrinks if negative."""
        import cv2

        drawn = np.zeros((CHIP_SIZE, CHIP_SIZE), np.uint8)
        cv2.fillConvexPoly(drawn, cv2.convexHull(self.mesh[list(indices)].astype(np.int32)), 1)
        if grow_px:
            brush = np.ones((abs(grow_px), abs(grow_px)), np.uint8)
            drawn = np.asarray(cv2.dilate(drawn, brush) if grow_px > 0 else cv2.erode(drawn, brush))
        return drawn > 0


@dataclass(frozen=True)
class PhotoMeasurements:
    """Measurements of a whole photo. They can explain why no face was found.

    Attributes:
        contrast: standard deviation of CIE L.
        sharpness: fine detail relative to the contrast.
        overexposed_share: fraction of overexposed pixels.
    """

    contrast: float
    sharpness: float
    overexposed_share: float


def measure(pixels: Pixels, face: Face) -> Measurements:
    """Measure one face at the photo's own scale.

    Takes a few hundredths of a second, whatever the size of the face."""
    chip = _cut(pixels, face.mesh)
    oval = chip.zone(landmarks.OVAL, -7)
    seen = oval & chip.inside
    if np.count_nonzero(seen) < MIN_ZONE_PX:
        seen = chip.zone(landmarks.OVAL)
    lightness = chip.lightness[seen]
    return Measurements(
        face_width_px=face_width_px(face.mesh),
        yaw_degrees=landmarks.yaw_degrees(face.mesh),
        pitch_degrees=landmarks.pitch_degrees(face.mesh),
        roll_degrees=landmarks.roll_degrees(face.mesh),
        sharpness=_sharpness(chip),
        lightness_median=float(np.median(lightness)),
        lightness_p95=float(np.percentile(lightness, 95)),
        overexposed_share=float((lightness > OVEREXPOSED_LIGHTNESS).mean()),
        light_asymmetry=_light_asymmetry(chip, seen),
        occlusion=_occlusion(chip, seen),
        outside_share=float((~chip.inside[chip.zone(landmarks.OVAL)]).mean()),
        detail_share=estimate_detail(pixels, face.mesh),
    )


def measure_photo(pixels: Pixels) -> PhotoMeasurements:
    """Measure the whole photo at no more than 512 px."""
    import cv2

    small, _ = shrink_to(pixels, PHOTO_LONG_EDGE)
    lightness = _lab(small)[..., 0]
    contrast = float(lightness.std())
    detail = np.asarray(cv2.Laplacian(cv2.GaussianBlur(lightness, (0, 0), DETAIL_SIGMA), cv2.CV_32F))
    sharpness = float(detail.std()) / (contrast + MIN_CONTRAST)
    return PhotoMeasurements(contrast, sharpness, float((lightness > OVEREXPOSED_LIGHTNESS).mean()))


def _cut(pixels: Pixels, mesh: Mesh) -> _Chip:
    x, y = landmarks.select_points(mesh, (landmarks.FOREHEAD_TOP, landmarks.CHIN)).mean(axis=0)
    # Use the larger of width and height. A head that is tilted back is wider than high and must fit into the chip.
    side = max(landmarks.face_height(mesh), landmarks.face_width(mesh), 1.0) * CHIP_SIDE
    similarity = square_around((float(x), float(y)), side, CHIP_SIZE, landmarks.roll_degrees(mesh))
    rgb = sample(pixels, similarity, CHIP_SIZE, cubic=True)
    in_chip = np.c_[mesh[:, :2], np.ones(len(mesh))] @ similarity.T
    height, width = pixels.shape[:2]
    return _Chip(_lab(rgb), in_chip, landmarks.yaw_degrees(mesh), _inside(similarity, Box(0, 0, width, height)))


def _lab(rgb: Pixels) -> Plane:
    """Convert RGB to CIE Lab, with L in 0..100."""
    import cv2

    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), dtype=np.float32)


def _inside(similarity: Similarity, photo: Box) -> Mask:
    """Return a mask (160, 160) of the chip pixels that are inside the photo."""
    import cv2

    inverse = np.asarray(cv2.invertAffineTransform(similarity))
    rows, columns = np.mgrid[:CHIP_SIZE, :CHIP_SIZE]
    x, y = np.moveaxis(np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ inverse.T, -1, 0)
    inside: Mask = (x >= photo.left) & (x < photo.right) & (y >= photo.top) & (y < photo.bottom)
    return inside


def face_width_px(mesh: Mesh) -> float:
    """Return the width of a face that would fill the square of face recognition at this distance of the eyes."""
    # Measure in three dimensions. In the two-dimensional picture, turning the head moves the eyes closer together.
    right = mesh[[landmarks.RIGHT_EYE_OUTER, landmarks.RIGHT_EYE_INNER]].mean(axis=0)
    left = mesh[[landmarks.LEFT_EYE_OUTER, landmarks.LEFT_EYE_INNER]].mean(axis=0)
    return float(np.linalg.norm(left - right)) * FACE_WIDTHS_PER_EYE_DISTANCE


def _sharpness(chip: _Chip) -> float:
    """Return the fine detail around eyes and lips, relative to their contrast.

    0.35 to 0.55 is crisp, and below 0.15 is blurred. Also considers the direction with the least detail, because camera
    motion blurs in one direction only."""
    import cv2

    features = chip.zone(landmarks.RIGHT_EYE, 9) | chip.zone(landmarks.LEFT_EYE, 9) | chip.zone(landmarks.LIPS, 9)
    smooth = cv2.GaussianBlur(chip.lightness, (0, 0), DETAIL_SIGMA)
    details = [np.asarray(cv2.filter2D(smooth, cv2.CV_32F, bend))[features].std() for bend in BENDS]
    all_round = np.asarray(cv2.Laplacian(smooth, cv2.CV_32F))[features].std()
    return float(min(all_round, DIRECTION_SHARE * min(details)) / (chip.lightness[features].std() + MIN_CONTRAST))


def _light_asymmetry(chip: _Chip, seen: Mask) -> float:
    """Return the difference in lightness between the left and the right half of the face, 0..100.

    Returns 0 if one half is hidden."""
    columns = np.arange(CHIP_SIZE)[None, :] + np.zeros((CHIP_SIZE, 1))
    nose = chip.mesh[landmarks.NOSE_TIP, 0]
    left, right = chip.lightness[seen & (columns < nose)], chip.lightness[seen & (columns > nose)]
    if min(left.size, right.size) < MIN_ZONE_PX:
        return 0.0
    return float(abs(np.median(left) - np.median(right)))


def _occlusion(chip: _Chip, seen: Mask) -> float:
    """Return the degree of occlusion: 0 for a bare face, 1 for a warning, 2 if an eye or the mouth is not visible."""
    contrast = _contrast(chip.lightness[seen])
    eyes = (
        min(_contrast(chip.lightness[chip.zone(eye, 3)]) for eye in (landmarks.RIGHT_EYE, landmarks.LEFT_EYE))
        / contrast
    )
    hand = MAX_HAND * max(_hand_on_forehead(chip, seen), _hand_on_mouth(chip))
    return max(0.0, 2 - eyes / HALF_SEEN_EYE, 2 - _lips_seen(chip, contrast), hand)


def _contrast(lightness: Plane) -> float:
    low, high = np.percentile(lightness, (5, 95))
    return float(high - low) + 1


def _lips_seen(chip: _Chip, contrast: float) -> float:
    """Return the visibility of the lips.

    Values below 1 cause a warning."""
    lips, rim = chip.zone(landmarks.LIPS), chip.zone(landmarks.LIPS, 5)
    around = chip.zone(landmarks.LIPS, 15) & ~rim
    difference = np.median(chip.lab[lips], axis=0) - np.median(chip.lab[around], axis=0)
    distance = float(np.linalg.norm(difference * (0.45, 1, 1)))
    spread = float(chip.lightness[chip.zone(landmarks.LIPS, 3)].std()) / contrast
    return max(spread / HALF_SEEN_LIP_SPREAD, distance / HALF_SEEN_LIP_DISTANCE)


def _hand_on_forehead(chip: _Chip, seen: Mask) -> float:
    """Return the evidence of a hand on the forehead, 0..1.

    0 is a bare forehead or a fringe. 1 is skin with strong edges that hides both brows."""
    import cv2

    brows = [chip.zone(brow) for brow in (landmarks.RIGHT_BROW, landmarks.LEFT_BROW)]
    rows = np.arange(CHIP_SIZE)[:, None]
    top_of_brows = min(int(np.flatnonzero(brow.any(axis=1)).min(initial=CHIP_SIZE)) for brow in brows)
    forehead = seen & (rows < top_of_brows - 4) & (rows > chip.mesh[landmarks.FOREHEAD_TOP, 1] + 6)
    if np.count_nonzero(forehead) < MIN_ZONE_PX:
        return 0.0
    lightness = chip.lightness
    if np.median(lightness[forehead]) - np.median(lightness[seen]) < FRINGE_LIGHTNESS:
        return 0.0

    contrast = _contrast(lightness[seen])
    steps = np.hypot(cv2.Sobel(lightness, cv2.CV_32F, 1, 0), cv2.Sobel(lightness, cv2.CV_32F, 0, 1)) / 8
    edges = float(np.percentile(steps[forehead], 90)) / contrast
    above = [np.roll(brow, -BROW_TO_FOREHEAD_PX, axis=0) & seen for brow in brows]
    darkness = max(_median(lightness[up]) - _median(lightness[brow]) for up, brow in zip(above, brows, strict=True))
    return min(1.0, edges / FOREHEAD_EDGES) * max(0.0, 1 - max(0.0, darkness / contrast) / FAINT_BROW)


def _hand_on_mouth(chip: _Chip) -> float:
    """Return the evidence of a hand on the mouth, 0..1.

    0 is a symmetric mouth. 1 is a mouth region without any symmetry. Returns 0 if the head is turned to the side."""
    import cv2

    if abs(chip.yaw_degrees) > MAX_MIRROR_YAW_DEGREES:
        return 0.0
    right, left = chip.mesh[landmarks.MOUTH_RIGHT], chip.mesh[landmarks.MOUTH_LEFT]
    length = max(float(np.hypot(*(left - right))), 1.0)
    cos, sin = 0.8 * MOUTH_WIDTH_PX / length * (left - right) / length
    x, y = (left + right) / 2
    level = np.array(
        [[cos, sin, MOUTH_WIDTH_PX / 2 - cos * x - sin * y], [-sin, cos, MOUTH_HEIGHT_PX / 2 + sin * x - cos * y]]
    )
    mouth = np.asarray(cv2.warpAffine(chip.lightness, level, (MOUTH_WIDTH_PX, MOUTH_HEIGHT_PX)))
    detail = mouth - cv2.GaussianBlur(mouth, (0, 0), MOUTH_WIDTH_PX / 8)
    detail -= detail.mean()
    likeness = float((detail * detail[:, ::-1]).sum() / ((detail * detail).sum() + 1))
    return min(1.0, max(0.0, (MIRRORED_MOUTH - likeness) / (MIRRORED_MOUTH - NO_MOUTH)))


def _median(lightness: Plane) -> float:
    return float(np.median(lightness)) if lightness.size else 0.0
