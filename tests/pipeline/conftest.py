"""The real networks, loaded once for all tests of the pipeline. They read the same pixels once."""

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.faces.find import FaceFinder
from pipeline.identity.embedding import FaceEmbedder
from pipeline.types import Embedding, Face, Pixels
from pipeline.weights import DEFAULT_DIR, Weights


class RememberingFinder(FaceFinder):
    """Remembers the faces of all pixels that it has seen: many tests begin with the same few photos."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights, threads=1)
        self._known: dict[bytes, tuple[Face, ...]] = {}

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        key = digest(pixels)
        if key not in self._known:
            self._known[key] = super().find(pixels)
        return self._known[key]


class RememberingEmbedder(FaceEmbedder):
    """Remembers the embeddings of all faces that it has seen."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._known: dict[bytes, Embedding] = {}

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        key = digest(pixels, face.mesh)
        if key not in self._known:
            self._known[key] = super().embed(pixels, face)
        return self._known[key].copy()


def digest(*arrays: np.ndarray) -> bytes:
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr(array.shape).encode())
        found.update(np.ascontiguousarray(array))
    return found.digest()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Let OpenCV compute in one thread.

    The tests run in as many processes as there are cores. Threads that wait for one another would only be slower."""
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def weights() -> Weights:
    return Weights(Path(os.environ.get("HEADSHOTS_WEIGHTS_DIR") or DEFAULT_DIR))


@pytest.fixture(scope="session")
def finder(weights: Weights) -> FaceFinder:
    return RememberingFinder(weights)


@pytest.fixture(scope="session")
def embedder(weights: Weights) -> FaceEmbedder:
    return RememberingEmbedder(weights)
