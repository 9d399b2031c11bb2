"""The tone of a face's skin: as a photo shows it, and as it is after the correction that the product states.

That correction, and no more, may lie between a person's photo and their headshot: a cast of the light taken out and
a dim exposure lifted, both within the bands of engines/studio/colours.py."""

import cv2
import numpy as np

from pipeline.engines.studio.colours import (
    Skin,
    correct_cast,
    correct_exposure,
    eye_whites,
    hold_in_band,
    measure_skin,
    skin_area,
)
from pipeline.engines.studio.filters import Floats, to_lab
from pipeline.faces import points
from pipeline.types import Face, Mesh, Pixels

# Medians over a face need no more pixels than this.
LONG_EDGE = 320
# Room around the mesh, in face heights.
MARGIN = 0.15


def skin_of(pixels: Pixels, face: Face) -> Skin:
    """The skin of a face as it is seen."""
    picture, mesh = _cut(pixels, face.mesh)
    return measure_skin(to_lab(picture), skin_area(mesh, (picture.shape[0], picture.shape[1])))


def corrected_skin_of(pixels: Pixels, face: Face) -> Skin:
    """The skin of a face in a photo after the stated correction of exposure and white balance."""
    picture, mesh = _cut(pixels, face.mesh)
    area = skin_area(mesh, (picture.shape[0], picture.shape[1]))
    source = measure_skin(to_lab(picture), area)
    lab = to_lab(correct_cast(picture, source))
    lab = correct_exposure(lab, source, eye_whites(lab, mesh))
    return measure_skin(hold_in_band(lab, area, source), area)


def _cut(pixels: Pixels, mesh: Mesh) -> tuple[Floats, Mesh]:
    """The face alone, display values 0..1, no larger than needed, and the mesh in it."""
    bounds = points.bounds(mesh)
    margin = MARGIN * bounds.height
    left, top = (max(0, int(edge - margin)) for edge in (bounds.left, bounds.top))
    region = pixels[top : max(top + 8, int(bounds.bottom + margin)), left : max(left + 8, int(bounds.right + margin))]
    factor = min(1.0, LONG_EDGE / max(region.shape[:2]))
    placed = (mesh - np.array([left, top, 0])) * factor
    if factor < 1:
        shape = (max(8, round(region.shape[1] * factor)), max(8, round(region.shape[0] * factor)))
        region = np.asarray(cv2.resize(region, shape, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(region / np.float32(255), np.float32), np.asarray(placed, np.float32)
