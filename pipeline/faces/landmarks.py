"""Indices of facial features in the face mesh, and geometry on their points.

The indices are MediaPipe's (468 points, face_landmark.tflite). Left and right are those of the person: in an unmirrored
picture, the right eye is on the left side.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Box, Mesh

Points = NDArray[np.float32]
"""Points (N, 2) float32: x, y in pixels of the photo."""

# Closed outlines. Their points are in order along the outline.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)

# Single points.
FOREHEAD_TOP = 10
CHIN = 152
NOSE_TIP = 1
NOSE_BASE = 2
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 33, 133
LEFT_EYE_OUTER, LEFT_EYE_INNER = 263, 362
MOUTH_RIGHT, MOUTH_LEFT = 61, 291
UPPER_LIP, LOWER_LIP = 13, 14
RIGHT_CHEEK, LEFT_CHEEK = 234, 454


def select_points(mesh: Mesh, indices: tuple[int, ...]) -> Points:
    """Return x and y of the mesh points with these indices."""
    return mesh[list(indices), :2]


def eye_centers(mesh: Mesh) -> tuple[Points, Points]:
    """Return the center of the right eye and of the left eye, each (2,)."""
    right = select_points(mesh, (RIGHT_EYE_OUTER, RIGHT_EYE_INNER)).mean(axis=0)
    left = select_points(mesh, (LEFT_EYE_OUTER, LEFT_EYE_INNER)).mean(axis=0)
    return right, left


def keypoints(mesh: Mesh) -> NDArray[np.float64]:
    """Return five points in insightface's order, (5, 3) like the mesh.

    The order is right eye, left eye, nose tip, right mouth corner and left mouth corner. An eye is the middle of its
    corners."""
    corners = (
        (RIGHT_EYE_OUTER, RIGHT_EYE_INNER),
        (LEFT_EYE_OUTER, LEFT_EYE_INNER),
        (NOSE_TIP,),
        (MOUTH_RIGHT,),
        (MOUTH_LEFT,),
    )
    return np.array([mesh[list(indices)].mean(axis=0) for indices in corners], np.float64)


def face_height(mesh: Mesh) -> float:
    """Return the distance from the top of the forehead to the chin, in pixels."""
    return float(np.hypot(*(mesh[CHIN, :2] - mesh[FOREHEAD_TOP, :2])))


def face_width(mesh: Mesh) -> float:
    """Return the distance between the outer edges of the cheeks, in pixels."""
    return float(np.hypot(*(mesh[LEFT_CHEEK, :2] - mesh[RIGHT_CHEEK, :2])))


def yaw_degrees(mesh: Mesh) -> float:
    """Return the rotation of the head about the vertical axis.

    0 faces the camera, positive values face the right side of the picture, and ±90 is a profile."""
    across = mesh[LEFT_EYE_OUTER] - mesh[RIGHT_EYE_OUTER]
    return math.degrees(math.atan2(across[2], math.hypot(across[0], across[1])))


def pitch_degrees(mesh: Mesh) -> float:
    """Return the nod of the head in degrees.

    A level head has about 5 degrees. The value grows as the chin moves away from the camera."""
    down = mesh[CHIN] - mesh[FOREHEAD_TOP]
    return math.degrees(math.atan2(down[2], math.hypot(down[0], down[1])))


def roll_degrees(mesh: Mesh) -> float:
    """Return the tilt of the head in the picture plane, -180..180.

    0 is upright. Positive values are clockwise for the viewer."""
    right, left = eye_centers(mesh)
    return math.degrees(math.atan2(left[1] - right[1], left[0] - right[0]))


def bounds(mesh: Mesh) -> Box:
    """Return the bounding box of all points."""
    left, top = mesh[:, :2].min(axis=0)
    right, bottom = mesh[:, :2].max(axis=0)
    return Box(float(left), float(top), float(right), float(bottom))
