"""Head poses: five facial keypoints per pose.

Each template rotates the person's head (see `heads`) and places it in the picture. The proportions are the person's.
Position, size and rotation are never taken from a photo. The poses make the pictures of a pack differ. All poses are
nearly frontal, with a face height of 35% to 50% of the picture's height. InstantID works best in this range (published
practice).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.instantid.heads import AVERAGE_HEAD, Head
from pipeline.types import Pixels, Size

Keypoints = NDArray[np.float64]
"""Facial keypoints (5, 2): x, y in pixels, in insightface's order.

The order is the person's right eye, left eye, nose tip, right mouth corner and left mouth corner. The right eye is on
the viewer's left.
"""

# Distances from the hairline to the chin and to the line of the eyes, in eye distances.
FACE_HEIGHT = 2.9
EYES_BELOW_HAIRLINE = 1.15
# Distance of the head's axis of rotation behind the eyes, in eye distances.
NECK_DEPTH = 0.9

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NOSE = 2
LIMBS = (0, 1, 3, 4)
LIMB_HALF_WIDTH, LIMB_BRIGHTNESS, POINT_RADIUS = 4, 0.6, 10


@dataclass(frozen=True)
class Pose:
    """A template for the position of the head.

    Attributes:
        name: name of the pose.
        yaw: degrees that the head turns to the viewer's right.
        pitch: degrees that the head nods down.
        roll: degrees that the head tilts clockwise.
        face_height: distance from hairline to chin, as a fraction of the picture's height.
        x: horizontal center of the face, as a fraction of the picture's width.
        y: vertical center of the face, as a fraction of the picture's height.
    """

    name: str
    yaw: float
    pitch: float
    roll: float
    face_height: float
    x: float
    y: float


# Nineteen is a prime number. Therefore a pack that cycles through its styles renders each style in every pose before it
# repeats one.
POSES = (
    Pose("straight", 0, 0, 0, 0.42, 0.50, 0.42),
    Pose("straight_close", 0, 1, 0, 0.50, 0.50, 0.46),
    Pose("slightly_right", 8, 0, -1, 0.42, 0.49, 0.42),
    Pose("slightly_left", -8, 0, 1, 0.42, 0.51, 0.42),
    Pose("head_tilt_right", 3, 0, 5, 0.43, 0.51, 0.43),
    Pose("head_tilt_left", -3, 0, -5, 0.43, 0.49, 0.43),
    Pose("right_close", 11, 1, 1, 0.48, 0.49, 0.45),
    Pose("left_close", -11, 1, -1, 0.48, 0.51, 0.45),
    Pose("chin_up", 2, -5, 0, 0.41, 0.50, 0.41),
    Pose("chin_down", -2, 5, 0, 0.42, 0.50, 0.43),
    Pose("room_right", 6, 0, 0, 0.38, 0.44, 0.40),
    Pose("room_left", -6, 0, 0, 0.38, 0.56, 0.40),
    Pose("wide", 0, 0, 1, 0.35, 0.50, 0.38),
    Pose("wide_right", 10, -2, -2, 0.36, 0.48, 0.39),
    Pose("wide_left", -10, -2, 2, 0.36, 0.52, 0.39),
    Pose("tilted_up_right", 7, -3, 4, 0.44, 0.50, 0.43),
    Pose("tilted_up_left", -7, -3, -4, 0.44, 0.50, 0.43),
    Pose("leaning_in_right", 5, 4, 6, 0.46, 0.52, 0.45),
    Pose("leaning_in_left", -5, 4, -6, 0.46, 0.48, 0.45),
)


def pose_for(index: int) -> Pose:
    """Return the pose of the shot with this index in its pack.

    A repeated shot has the same index and thus the same pose."""
    return POSES[index % len(POSES)]


def place_keypoints(pose: Pose, size: Size, head: Head = AVERAGE_HEAD) -> Keypoints:
    """Return the keypoints of a head in a pose, in a picture of this size.

    The distance between the eyes is the same for every head."""
    yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw, pose.pitch, pose.roll))
    turn = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    tilt = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    middle = np.array([0.0, FACE_HEIGHT / 2 - EYES_BELOW_HAIRLINE, 0.0])
    neck = np.array([0.0, 0.0, NECK_DEPTH])
    turned: Keypoints = (head - middle + neck) @ (tilt @ nod @ turn).T - neck
    scale = pose.face_height * size.height / FACE_HEIGHT
    placed: Keypoints = turned[:, :2] * scale + np.array([pose.x * size.width, pose.y * size.height])
    return placed


def draw_keypoints(keypoints: Keypoints, size: Size) -> Pixels:
    """Draw InstantID's keypoint image, (H, W, 3), on black.

    Each keypoint is a disc. Dimmed lines connect the nose to the other keypoints. The image must match the ControlNet's
    training data to the pixel. Therefore coordinates are truncated to whole pixels, angles to whole degrees, and line
    widths do not scale."""
    import cv2

    picture = np.zeros((size.height, size.width, 3), np.uint8)
    for index in LIMBS:
        middle, across = (keypoints[index] + keypoints[NOSE]) / 2, keypoints[index] - keypoints[NOSE]
        half_length = int(math.hypot(*across) / 2)
        angle = int(math.degrees(math.atan2(across[1], across[0])))
        center = (int(middle[0]), int(middle[1]))
        outline = cv2.ellipse2Poly(center, (half_length, LIMB_HALF_WIDTH), angle, 0, 360, 1)
        cv2.fillConvexPoly(picture, np.asarray(outline), COLORS[index])
    picture = (picture * LIMB_BRIGHTNESS).astype(np.uint8)
    for point, color in zip(keypoints, COLORS, strict=True):
        cv2.circle(picture, (int(point[0]), int(point[1])), POINT_RADIUS, color, -1)
    return picture
