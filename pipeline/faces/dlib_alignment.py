"""The five points by which dlib's networks align a face."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.faces import landmarks
from pipeline.types import Face, Pixels

if TYPE_CHECKING:
    import dlib

# The order of dlib's five-point predictor: outer and inner corner of the left eye, outer and inner corner of the right
# eye, base of the nose.
ALIGNMENT_POINTS = (
    landmarks.LEFT_EYE_OUTER,
    landmarks.LEFT_EYE_INNER,
    landmarks.RIGHT_EYE_OUTER,
    landmarks.RIGHT_EYE_INNER,
    landmarks.NOSE_BASE,
)
# Margin of the crop around the mesh, in face sizes. dlib's aligned chip needs less on every side.
SURROUNDINGS = 1.0


def surroundings(pixels: Pixels, face: Face) -> "tuple[Pixels, dlib.full_object_detection]":
    """Return the part of the photo around a face, (height, width, 3), and the alignment points in that part."""
    import dlib

    bounds = landmarks.bounds(face.mesh)
    margin = SURROUNDINGS * max(bounds.width, bounds.height)
    left, top = (max(0, int(edge - margin)) for edge in (bounds.left, bounds.top))
    region = np.ascontiguousarray(pixels[top : int(bounds.bottom + margin), left : int(bounds.right + margin)])
    corners = landmarks.select_points(face.mesh, ALIGNMENT_POINTS) - np.array([left, top])
    points = [dlib.point(round(x), round(y)) for x, y in corners]
    return region, dlib.full_object_detection(dlib.rectangle(0, 0, region.shape[1], region.shape[0]), points)
