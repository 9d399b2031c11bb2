"""Measure and correct the skin tone.

Compared with the person's photo, a headshot may only change by this correction. The correction removes a color cast and
corrects the exposure, both within the limits of this module.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import (
    Floats,
    blur,
    dilate,
    erode,
    fill_convex_hull,
    from_lab,
    to_display,
    to_lab,
    to_linear,
)
from pipeline.types import Face, Mesh, Pixels

# Long edge in pixels of the picture to measure. Medians over a face need no more.
LONG_EDGE = 320
# Margin around the mesh, as a fraction of its height.
MARGIN = 0.15
# Limits for the change of the skin from photo to headshot. Lightness is the median of CIE L, and hue is the angle in
# Lab.
MAX_LIGHTEN = 6.0
MAX_DARKEN = 6.0
MAX_HUE_DEGREES = 8.0
# Skin of every tone has a hue and chroma in these ranges under neutral light. Other values are caused by the light.
NATURAL_HUES = (42.0, 66.0)
NATURAL_CHROMA = (11.0, 30.0)
CAST_SHARE = 0.75
GRAY_CHROMA = 3.0
# A face is underexposed if both the whites of the eyes and the highlights of the skin are dim. Dark skin in good light
# has bright eyes. Smiling eyes show little white, but then the skin is bright.
DIM_EYES = 56.0
DIM_FACE = 76.0
OVEREXPOSED_FACE = 90.0
# What remains of MAX_LIGHTEN for the style's light.
LIFT_RESERVE = 0.5


@dataclass(frozen=True)
class Skin:
    """Measurements of the skin of a face.

    Attributes:
        lightness: median of CIE L, 0..100.
        a: median of Lab a.
        b: median of Lab b.
        p95: lightness of the highlights (95th percentile).
    """

    lightness: float
    a: float
    b: float
    p95: float

    @property
    def hue_degrees(self) -> float:
        return math.degrees(math.atan2(self.b, self.a))

    @property
    def chroma(self) -> float:
        return math.hypot(self.a, self.b)


def skin_of(pixels: Pixels, face: Face) -> Skin:
    """Measure the skin of a face, without any correction."""
    picture, mesh = _cut(pixels, face.mesh)
    return measure_skin(to_lab(picture), skin_area(mesh, (picture.shape[0], picture.shape[1])))


def corrected_skin_of(pixels: Pixels, face: Face) -> Skin:
    """Measure the skin of a face after exposure and white balance have been corrected."""
    picture, mesh = _cut(pixels, face.mesh)
    area = skin_area(mesh, (picture.shape[0], picture.shape[1]))
    source = measure_skin(to_lab(picture), area)
    lab = to_lab(correct_cast(picture, source))
    lab = correct_exposure(lab, source, eye_whites(lab, mesh))
    return measure_skin(clamp_lightness(lab, area, source), area)


def _cut(pixels: Pixels, mesh: Mesh) -> tuple[Floats, Mesh]:
    """Crop the face, and shrink the crop to LONG_EDGE.

    Returns the crop as display values, and the mesh in pixels of the crop."""
    bounds = landmarks.bounds(mesh)
    margin = MARGIN * bounds.height
    left, top = (max(0, int(edge - margin)) for edge in (bounds.left, bounds.top))
    region = pixels[top : max(top + 8, int(bounds.bottom + margin)), left : max(left + 8, int(bounds.right + margin))]
    factor = min(1.0, LONG_EDGE / max(region.shape[:2]))
    placed = (mesh - np.array([left, top, 0])) * factor
    if factor < 1:
        shape = (max(8, round(region.shape[1] * factor)), max(8, round(region.shape[0] * factor)))
        region = np.asarray(cv2.resize(region, shape, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(region / np.float32(255), np.float32), np.asarray(placed, np.float32)


def skin_area(mesh: Mesh, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the face without eyes, brows, lips and outline.

    The mask can include hair and beard, which hardly change a median."""
    unit = landmarks.face_height(mesh)
    area = erode(fill_convex_hull(landmarks.select_points(mesh, landmarks.OVAL), shape), 0.028 * unit)
    for indices, margin in (
        (landmarks.LEFT_EYE, 0.02),
        (landmarks.RIGHT_EYE, 0.02),
        (landmarks.LEFT_BROW, 0.012),
        (landmarks.RIGHT_BROW, 0.012),
        (landmarks.LIPS, 0.01),
    ):
        area = area * (1 - dilate(fill_convex_hull(landmarks.select_points(mesh, indices), shape), margin * unit))
    return area > 0.5


def measure_skin(lab: Floats, area: NDArray[np.bool_]) -> Skin:
    """Measure the skin inside the area.

    The color medians ignore the darkest and brightest pixels, which can be beard or shine."""
    lightness = lab[..., 0][area]
    low, high = np.percentile(lightness, (20, 92))
    core = lab[area][(lightness > low) & (lightness < high)]
    if not len(core):
        core = lab[area]
    return Skin(
        float(np.median(lightness)),
        float(np.median(core[:, 1])),
        float(np.median(core[:, 2])),
        float(np.percentile(lightness, 95)),
    )


def eye_whites(lab: Floats, mesh: Mesh) -> float:
    """Return the lightness of the whites of both eyes, as the 85th percentile to exclude catchlights.

    Returns DIM_EYES if the eyes contain no pixel."""
    shape = (lab.shape[0], lab.shape[1])
    eyes = fill_convex_hull(landmarks.select_points(mesh, landmarks.LEFT_EYE), shape)
    eyes = np.maximum(eyes, fill_convex_hull(landmarks.select_points(mesh, landmarks.RIGHT_EYE), shape))
    values = lab[..., 0][eyes > 0.5]
    return float(np.percentile(values, 85)) if len(values) else DIM_EYES


def correct_cast(picture: Floats, skin: Skin) -> Floats:
    """Remove a color cast with one gain per channel. Moves the skin's hue and chroma toward the natural range.

    The hue changes by at most MAX_HUE_DEGREES. Gray skin (of a monochrome photo) is left unchanged."""
    if skin.chroma < GRAY_CHROMA:
        return picture
    hue = skin.hue_degrees
    step = (float(np.clip(hue, *NATURAL_HUES)) - hue) * CAST_SHARE
    target_hue = math.radians(hue + float(np.clip(step, -MAX_HUE_DEGREES, MAX_HUE_DEGREES)))
    chroma = skin.chroma + (float(np.clip(skin.chroma, *NATURAL_CHROMA)) - skin.chroma) * CAST_SHARE
    before = np.array([[[skin.lightness, skin.a, skin.b]]], np.float32)
    after = np.array([[[skin.lightness, chroma * math.cos(target_hue), chroma * math.sin(target_hue)]]], np.float32)
    light_before, light_after = (to_linear(from_lab(lab))[0, 0] for lab in (before, after))
    # A color cast is modeled as one factor per channel for the whole picture (von Kries).
    gains = np.clip((light_after + 1e-4) / (light_before + 1e-4), 0.8, 1.25)
    gains /= gains @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return to_display(to_linear(picture) * gains)


def correct_exposure(lab: Floats, skin: Skin, whites: float) -> Floats:
    """Lighten the picture if eye whites and face are dim. Darken the picture if the face is overexposed.

    The change stays within MAX_LIGHTEN and MAX_DARKEN. whites: lightness of the eye whites."""
    lift = float(np.clip(min(DIM_EYES - whites, DIM_FACE - skin.p95), 0, MAX_LIGHTEN - LIFT_RESERVE))
    if skin.p95 > OVEREXPOSED_FACE:
        lift = -float(np.clip((skin.p95 - OVEREXPOSED_FACE) * 0.7, 0, MAX_DARKEN - 2))
    return shift_lightness(lab, skin.lightness, lift)


def shift_lightness(lab: Floats, lightness: float, change: float) -> Floats:
    """Apply a tone curve that changes `lightness` by `change` and preserves black and white."""
    if abs(change) < 0.05:
        return lab
    start = float(np.clip(lightness, 5, 95)) / 100
    end = float(np.clip(lightness + change, 4, 96)) / 100
    moved = lab.copy()
    moved[..., 0] = 100 * np.power(np.clip(lab[..., 0] / 100, 0, 1), math.log(end) / math.log(start))
    return moved


def restore_skin(lab: Floats, area: NDArray[np.bool_], lightness: float) -> Floats:
    """Shift the picture's lightness so that the skin has this median lightness."""
    now = float(np.median(lab[..., 0][area]))
    return shift_lightness(lab, now, lightness - now)


def clamp_lightness(lab: Floats, area: NDArray[np.bool_], source: Skin) -> Floats:
    """Shift the picture's lightness so that the skin's median stays within the limits around that of the photo."""
    return clamp_known_lightness(lab, float(np.median(lab[..., 0][area])), source)


def clamp_known_lightness(lab: Floats, lightness: float, source: Skin) -> Floats:
    """Shift the picture's lightness like `clamp_lightness`, given the skin's median lightness."""
    allowed = float(np.clip(lightness, source.lightness - MAX_DARKEN, source.lightness + MAX_LIGHTEN))
    return shift_lightness(lab, lightness, allowed - lightness)


def skin_likeness(lab: Floats, area: NDArray[np.bool_], skin: Skin, spread: float) -> Floats:
    """Return a soft mask (H, W), 0..1, of the pixels that have the person's skin color.

    spread: softness of the mask's edge, in pixels."""
    near = blur(dilate(area.astype(np.float32), spread / 3), spread)
    off = (lab[..., 1] - skin.a) ** 2 + (lab[..., 2] - skin.b) ** 2
    return np.asarray(near * np.exp(-off / (2 * 14.0**2)), np.float32)
