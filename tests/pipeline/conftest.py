"""The real networks, loaded once for all tests of the pipeline."""

import os
from pathlib import Path

import cv2
import pytest

from pipeline.faces.find import FaceFinder
from pipeline.identity.embedding import FaceEmbedder
from pipeline.weights import DEFAULT_DIR, Weights


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
    return FaceFinder(weights, threads=1)


@pytest.fixture(scope="session")
def embedder(weights: Weights) -> FaceEmbedder:
    return FaceEmbedder(weights)
