"""What makes a face comparable: dlib's 128 numbers, in which pictures of one person lie close together."""

import threading

import numpy as np

from pipeline.faces import points
from pipeline.types import Embedding, Face, Pixels
from pipeline.weights import Weights

# The order of dlib's five-point predictor: outer and inner corner of the left eye, of the right eye, base of the nose.
ALIGNMENT_POINTS = (
    points.LEFT_EYE_OUTER,
    points.LEFT_EYE_INNER,
    points.RIGHT_EYE_OUTER,
    points.RIGHT_EYE_INNER,
    points.NOSE_BASE,
)
# What dlib's aligned chip shows reaches less than one face beyond the mesh on every side.
SURROUNDINGS = 1.0
JITTERS = 0
PADDING = 0.25


class FaceEmbedder:
    """Runs dlib's face_recognition_resnet_model_v1. Safe to share between threads: calls take turns."""

    def __init__(self, weights: Weights) -> None:
        import dlib

        self._network = dlib.face_recognition_model_v1(str(weights.path("dlib_face")))
        self._turn = threading.Lock()

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        """Embedding of one face: (128,) float32, length about 1.4, compared by Euclidean distance."""
        import dlib

        bounds = points.bounds(face.mesh)
        margin = SURROUNDINGS * max(bounds.width, bounds.height)
        left, top = (max(0, int(edge - margin)) for edge in (bounds.left, bounds.top))
        region = np.ascontiguousarray(pixels[top : int(bounds.bottom + margin), left : int(bounds.right + margin)])

        corners = points.points(face.mesh, ALIGNMENT_POINTS) - np.array([left, top])
        shape = dlib.full_object_detection(
            dlib.rectangle(0, 0, region.shape[1], region.shape[0]), [dlib.point(round(x), round(y)) for x, y in corners]
        )
        with self._turn:
            embedding = self._network.compute_face_descriptor(region, shape, JITTERS, PADDING)
        return np.array(embedding, dtype=np.float32)


def embedding_distance(one: Embedding, other: Embedding) -> float:
    """Euclidean distance, 0 upwards: below about 0.5 it is one person."""
    return float(np.linalg.norm(one - other))
