"""Fit the face mesh: 468 points of one face, with the confidence of the network."""

import math

import numpy as np

from pipeline.faces import landmarks
from pipeline.faces.interpreter import TfliteNetwork
from pipeline.faces.sampling import sample, square_around
from pipeline.types import Box, Mesh, Pixels
from pipeline.weights import Weights

INPUT_SIZE = 192
# MediaPipe feeds the network a square 1.5 times the face's longer side.
MARGIN = 1.5
# The second pass starts from the mesh of the first pass instead of the detector's box. A third pass would move the
# points by less than a pixel.
PASSES = 2


class FaceMesh:
    """The face mesh network, face_landmark.tflite.

    Not thread-safe."""

    def __init__(self, weights: Weights, threads: int) -> None:
        self._network = TfliteNetwork(weights.path("face_mesh"), threads)

    def fit(self, pixels: Pixels, box: Box, roll_degrees: float) -> tuple[Mesh, float]:
        """Fit the mesh to the face in this box.

        Returns the mesh, and the probability (0..1) that the box shows a face."""
        center = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        side = max(box.width, box.height) * MARGIN
        for _ in range(PASSES):
            mesh, probability = self._run(pixels, center, side, roll_degrees)
            roll_degrees = _eye_line_degrees(mesh)
            center, side = _square_of(mesh, roll_degrees)
        return mesh, probability

    def _run(self, pixels: Pixels, center: tuple[float, float], side: float, roll_degrees: float) -> tuple[Mesh, float]:
        import cv2

        similarity = square_around(center, side, INPUT_SIZE, roll_degrees)
        chip = sample(pixels, similarity, INPUT_SIZE)
        mesh_values, logit = self._network.run(np.asarray(chip / 255, dtype=np.float32))
        in_chip = mesh_values.reshape(468, 3)
        inverse = np.asarray(cv2.invertAffineTransform(similarity))
        in_photo = np.c_[in_chip[:, :2], np.ones(468)] @ inverse.T
        mesh = np.c_[in_photo, in_chip[:, 2] * side / INPUT_SIZE].astype(np.float32)
        return mesh, 1 / (1 + math.exp(-float(np.clip(logit.ravel()[0], -80, 80))))


def _eye_line_degrees(mesh: Mesh) -> float:
    across = mesh[landmarks.LEFT_EYE_OUTER] - mesh[landmarks.RIGHT_EYE_OUTER]
    return math.degrees(math.atan2(across[1], across[0]))


def _square_of(mesh: Mesh, roll_degrees: float) -> tuple[tuple[float, float], float]:
    """Return center and side of the square around a mesh that the network expects, in pixels of the photo.

    The square has the roll angle of the face."""
    angle = math.radians(roll_degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    upright = mesh[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = turn @ ((low + high) / 2)
    return (float(x), float(y)), float((high - low).max()) * MARGIN
