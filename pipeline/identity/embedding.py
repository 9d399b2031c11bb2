"""Compute face embeddings with dlib: 128 numbers per face. Embeddings of the same person are close together."""

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pipeline.faces.dlib_alignment import surroundings
from pipeline.identity.auraface import AuraFaceEmbedder
from pipeline.types import Embedding, Face, Pixels
from pipeline.weights import Weights

JITTERS = 0
PADDING = 0.25


class FaceEmbedder:
    """dlib's face recognition network, face_recognition_resnet_model_v1.

    Safe to share between threads, because a lock serializes the calls."""

    def __init__(self, weights: Weights) -> None:
        import dlib

        self._weights = weights
        self._network = dlib.face_recognition_model_v1(str(weights.path("dlib_face")))
        self._lock = threading.Lock()

    @cached_property
    def second(self) -> AuraFaceEmbedder | None:
        """The independent second network, or None if its weight is not installed. Loaded when it is first needed.

        Raises WeightsError if the weight is damaged."""
        return AuraFaceEmbedder(self._weights.path("auraface")) if self._weights.is_there("auraface") else None

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        """Compute the embedding of one face, (128,) float32, with a length of about 1.4.

        Compare embeddings by Euclidean distance."""
        region, shape = surroundings(pixels, face)
        with self._lock:
            embedding = self._network.compute_face_descriptor(region, shape, JITTERS, PADDING)
        return np.array(embedding, dtype=np.float32)


def embedding_distance(one: Embedding, other: Embedding) -> float:
    """Return the Euclidean distance of two embeddings.

    Below about 0.5 both faces are the same person."""
    return float(np.linalg.norm(one - other))


def fuse(embeddings: Sequence[Embedding], qualities: Sequence[float]) -> Embedding:
    """Combine embeddings of one person into one, (N,) float32.

    The direction is the weighted mean of the normalized embeddings. The length is the weighted mean length, because a
    plain mean would be shorter, and the length matters for distances (dlib) and for generation (InstantID). A single
    embedding is returned unchanged.

    Args:
        embeddings: embeddings, each (N,).
        qualities: one weight per embedding, above 0.

    Raises ValueError if there are no embeddings.
    """
    if not embeddings:
        raise ValueError("no embedding to fuse")
    if len(embeddings) == 1:
        return embeddings[0]
    stacked = np.stack(embeddings).astype(np.float64)
    lengths = np.linalg.norm(stacked, axis=1)
    mean = np.average(stacked / lengths[:, None], axis=0, weights=qualities)
    fused: Embedding = (mean / np.linalg.norm(mean) * np.average(lengths, weights=qualities)).astype(np.float32)
    return fused
