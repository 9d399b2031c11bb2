"""The person's head: five facial keypoints in three dimensions, in the person's own proportions.

InstantID draws a face in the proportions of its keypoints. Foreign proportions cost likeness.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.types import Mesh

Head = NDArray[np.float64]
"""Keypoints of a level head that faces the viewer, (5, 3), in eye distances.

x points to the viewer's right, y down and z toward the viewer. The origin is halfway between the eyes. The order is
insightface's: the person's right eye, left eye, nose tip, right mouth corner and left mouth corner. The right eye is on
the viewer's left.
"""

# Depths of nose tip and mouth corners: anthropometric means, with 63 mm between the eyes. The mesh does not measure
# them. Its depths differ more between photos of one person than between people.
NOSE_DEPTH, MOUTH_DEPTH = 0.42, 0.10


def make_head(eye_to_mouth: float, mouth_width: float, eye_to_nose: float) -> Head:
    """Return the symmetric head with these proportions, in eye distances."""
    half = mouth_width / 2
    return np.array(
        [
            [-0.5, 0.0, 0.0],
            [0.5, 0.0, 0.0],
            [0.0, eye_to_nose, NOSE_DEPTH],
            [-half, eye_to_mouth, MOUTH_DEPTH],
            [half, eye_to_mouth, MOUTH_DEPTH],
        ]
    )


# eye_to_mouth, mouth_width and eye_to_nose. Means of 71 nearly frontal faces.
AVERAGE = (1.00, 0.93, 0.64)
AVERAGE_HEAD = make_head(*AVERAGE)
# insightface's alignment template. Faces that are drawn with it are about 15% too long.
TEMPLATE_HEAD = make_head(1.155, 0.82, 0.571)
# Standard deviations of the same three, between photos of one person and between people (18 people with three photos or
# more). A smile changes the width of a mouth by more than people differ.
WITHIN, BETWEEN = (0.070, 0.111, 0.033), (0.067, 0.083, 0.051)
# Photos within these angles from frontal are measured. Beyond them, the mesh guesses the far side of the face.
MAX_YAW_DEGREES = 15.0
MAX_PITCH_DEGREES = 15.0
# Pitch of the mesh of a level head.
LEVEL_PITCH_DEGREES = 5.0


def measure_head(meshes: Sequence[Mesh]) -> Head:
    """Return the head of one person, measured in their nearly frontal meshes. AVERAGE_HEAD if there are none.

    The more meshes, the more they count against the human average (empirical Bayes)."""
    measured = [frontal_proportions(mesh) for mesh in meshes if is_frontal(mesh)]
    if not measured:
        return AVERAGE_HEAD
    weight = len(measured) / (len(measured) + (np.array(WITHIN) / BETWEEN) ** 2)
    eye_to_mouth, mouth_width, eye_to_nose = weight * np.mean(measured, axis=0) + (1 - weight) * AVERAGE
    return make_head(eye_to_mouth, mouth_width, eye_to_nose)


def is_frontal(mesh: Mesh) -> bool:
    """Return True if the face is turned and nodded so little that its proportions can be measured."""
    if not np.ptp(mesh[:, :2], axis=0).all():
        return False
    pitch = landmarks.pitch_degrees(mesh) - LEVEL_PITCH_DEGREES
    return abs(landmarks.yaw_degrees(mesh)) <= MAX_YAW_DEGREES and abs(pitch) <= MAX_PITCH_DEGREES


def frontal_proportions(mesh: Mesh) -> tuple[float, float, float]:
    """Return eye_to_mouth, mouth_width and eye_to_nose of one mesh, with roll, yaw and pitch removed."""
    points = landmarks.keypoints(mesh)
    right_eye, left_eye = points[:2]
    eye_distance = np.linalg.norm(left_eye - right_eye)
    across = (left_eye - right_eye) / eye_distance
    forehead_to_chin = (mesh[landmarks.CHIN] - mesh[landmarks.FOREHEAD_TOP]).astype(np.float64)
    chinward = forehead_to_chin - forehead_to_chin @ across * across
    chinward /= np.linalg.norm(chinward)
    # The chin of a level head is farther from the camera than the forehead.
    level = math.radians(LEVEL_PITCH_DEGREES)
    down = math.cos(level) * chinward - math.sin(level) * np.cross(across, chinward)
    turned = (points - (right_eye + left_eye) / 2) @ np.stack([across, down]).T / eye_distance
    nose, mouth = turned[2], turned[3:]
    return float(mouth[:, 1].mean()), float(mouth[1, 0] - mouth[0, 0]), float(nose[1])
