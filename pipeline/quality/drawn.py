"""Skin tone of drawn pictures: what two real photos of one person differ by is allowed, and lightness is corrected.

A studio picture consists of the photo's own pixels, so that its skin must match closely. An engine that draws the face
invents its light. Its skin may differ by as much as in two real photos of one person.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.errors import Reason
from pipeline.imaging.filters import from_lab, to_lab
from pipeline.imaging.skin import GRAY_CHROMA, MAX_DARKEN, MAX_LIGHTEN, Skin, shift_lightness
from pipeline.types import DigitalSource, Pixels

LIMITS = Path(__file__).with_name("drawn_limits.toml")
# Skin with at least this chroma, relative to the photo's, is reported as oversaturated if it is refused.
OVERSATURATED_SHARE = 1.35
# Rows that are corrected at once. A whole picture at 4K would need a gigabyte.
STRIP_ROWS = 256


@dataclass(frozen=True)
class LightnessGroup:
    """The limit for people whose skin has a certain lightness in the photo.

    Attributes:
        name: name of the group.
        below: upper end of the group, in CIE L of the photo after correction. Begins where the previous group ends.
        max_difference: 95th percentile of the difference between two real photos of one person (CIE76).
        median: median of the same difference.
        pairs: number of pairs that were measured.
        people: number of people in these pairs.
    """

    name: str
    below: float
    max_difference: float
    median: float
    pairs: int
    people: int


@dataclass(frozen=True)
class ToneShift:
    """A tone curve that brings the skin of a picture into the band around the photo's skin.

    Attributes:
        lightness: median CIE L of the skin in the picture.
        change: change of this lightness. Black and white stay the same.
    """

    lightness: float
    change: float

    def apply(self, pixels: Pixels) -> Pixels:
        """Return the corrected picture."""
        if self.change == 0:
            return pixels
        strips = [pixels[top : top + STRIP_ROWS] for top in range(0, len(pixels), STRIP_ROWS)]
        labs = (to_lab(np.asarray(strip / np.float32(255), np.float32)) for strip in strips)
        shifted = (from_lab(shift_lightness(lab, self.lightness, self.change)) for lab in labs)
        return np.concatenate([np.asarray(np.rint(255 * strip), np.uint8) for strip in shifted])


def is_drawn(source: DigitalSource) -> bool:
    """Return True if a model drew the whole picture. The face in other pictures consists of a photo's pixels.

    Engines declare the source of each picture. The quality gate chooses its limits by it."""
    return source is DigitalSource.TRAINED


@cache
def lightness_groups() -> tuple[LightnessGroup, ...]:
    """Return the measured limits, darkest skin first."""
    return tuple(LightnessGroup(**group) for group in tomllib.loads(LIMITS.read_text("utf-8"))["groups"])


def shift_into_band(photo: Skin, picture: Skin) -> ToneShift:
    """Return the tone curve that brings the picture's skin into the studio's band around the photo's skin."""
    held = min(max(picture.lightness, photo.lightness - MAX_DARKEN), photo.lightness + MAX_LIGHTEN)
    return ToneShift(picture.lightness, held - picture.lightness)


def skin_difference(photo: Skin, picture: Skin, *, monochrome: bool = False) -> float:
    """Return the color difference of the skin (CIE76), divided by the limit of the photo's group. Above 1 is refused.

    Compares the lightness only, if the picture or the photo is black and white."""
    lightness = picture.lightness - photo.lightness
    if monochrome or photo.chroma < GRAY_CHROMA:
        difference = abs(lightness)
    else:
        difference = float(np.linalg.norm([lightness, picture.a - photo.a, picture.b - photo.b]))
    group = next(group for group in lightness_groups() if photo.lightness < group.below)
    return difference / group.max_difference


def skin_fault(photo: Skin, picture: Skin, *, monochrome: bool = False) -> Reason | None:
    """Return the reason against the skin of a drawn picture, or None.

    Gray skin is a fault, unless the photo is black and white or the picture is meant to be."""
    in_color = not monochrome and photo.chroma >= GRAY_CHROMA
    if in_color and picture.chroma < GRAY_CHROMA:
        return Reason.SKIN_TONE
    if skin_difference(photo, picture, monochrome=monochrome) <= 1:
        return None
    oversaturated = in_color and picture.chroma > OVERSATURATED_SHARE * photo.chroma
    return Reason.OVERSATURATED if oversaturated else Reason.SKIN_TONE
