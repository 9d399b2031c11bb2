"""Poses: five generated key points of the face, never taken from the photo.

Each template turns one generic head in space and places it in the frame, so that fifty pictures differ. All are nearly
frontal, with a face of 35% to 50% of the picture's height, where InstantID works best (published practice).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Pixels, Size

Keypoints = NDArray[np.float64]
"""Key points (5, 2): x, y in pixels, in insightface's order.

The person's right eye, left eye, nose tip, right and left mouth corner. The right eye is on the viewer's left."""

# A generic head in eye distances: x to the viewer's right, y down, z to the viewer. The origin is between the eyes. x
# and y are insightface's alignment template, z anthropometric means (63 mm between the eyes).
HEAD = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.571, 0.42], [-0.41, 1.155, 0.10], [0.41, 1.155, 0.10]])
# Hairline to chin, and hairline to the line of the eyes, in eye distances.
FACE_HEIGHT = 2.9
EYES_BELOW_HAIRLINE = 1.15
# Distance of the head's axis of rotation behind the eyes.
NECK_DEPTH = 0.9

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NOSE = 2
LIMBS = (0, 1, 3, 4)
LIMB_HALF_WIDTH, LIMB_BRIGHTNESS, POINT_RADIUS = 4, 0.6, 10


@dataclass(frozen=True)
class Pose:
    """A template for the pose of the head.

    Degrees: yaw turns to the viewer's right, pitch nods down, roll tilts clockwise.

    Attributes:
        face_height: from hairline to chin, as a share of the picture's height.
        x: horizontal position of the face's middle, as a share of the width.
        y: vertical position of the face's middle, as a share of the height.
    """

    name: str
    yaw: float
    pitch: float
    roll: float
    face_height: float
    x: float
    y: float


# Nineteen is prime, so a pack that cycles through its looks gives each look every pose before repeating one.
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

    A repeated shot gets the same pose."""
    return POSES[index % len(POSES)]


def place_keypoints(pose: Pose, size: Size) -> Keypoints:
    """Place the template's five points in a picture of this size."""
    yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw, pose.pitch, pose.roll))
    turn = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    tilt = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    middle = np.array([0.0, FACE_HEIGHT / 2 - EYES_BELOW_HAIRLINE, 0.0])
    neck = np.array([0.0, 0.0, NECK_DEPTH])
    turned: Keypoints = (HEAD - middle + neck) @ (tilt @ nod @ turn).T - neck
    scale = pose.face_height * size.height / FACE_HEIGHT
    placed: Keypoints = turned[:, :2] * scale + np.array([pose.x * size.width, pose.y * size.height])
    return placed


def draw_keypoints(keypoints: Keypoints, size: Size) -> Pixels:
    """Draw InstantID's key point image, (H, W, 3), on black.

    Dimmed limbs connect the nose to the other points, and each point is a disc. The image matches the ControlNet's
    training data to the pixel: coordinates are cut to whole pixels and angles to whole degrees, and sizes do not scale.
    """
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
