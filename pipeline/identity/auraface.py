"""Compute face embeddings with AuraFace: 512 numbers per face. A second opinion that is independent of dlib.

AuraFace is an ArcFace network (ResNet-100, Apache-2.0) with the interface of insightface's recognition models. It was
trained by other people, with other photos and another loss than dlib's network. Its embeddings can't replace those of
InstantID's own encoder, which is another space.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WeightsError
from pipeline.faces import landmarks
from pipeline.faces.onnx_network import open_network
from pipeline.faces.sampling import Similarity, sample
from pipeline.types import Embedding, Face, Mesh, Pixels

CHIP_PX, EMBEDDING_LENGTH = 112, 512
# Places of the keypoints in the aligned face, in pixels: right eye, left eye, nose tip, right and left mouth corner.
# ArcFace networks are trained with faces in this place (insightface, face_align.py).
ALIGNED = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


class AuraFaceEmbedder:
    """AuraFace's recognition network, glintr100.onnx, on the CPU.

    Safe to share between threads. Raises WeightsError if the file is not the expected network."""

    def __init__(self, path: Path) -> None:
        self._network = open_network(path)
        found = self._network.get_inputs()[0].shape[1:], self._network.get_outputs()[0].shape[-1]
        if found != ([3, CHIP_PX, CHIP_PX], EMBEDDING_LENGTH):
            raise WeightsError(f"{path} does not produce {EMBEDDING_LENGTH} numbers from {CHIP_PX} × {CHIP_PX} pixels.")
        self._input = self._network.get_inputs()[0].name

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        """Compute the embedding of one face, (512,) float32, with a length of 1.

        Compare embeddings by `cosine`."""
        chip = sample(pixels, alignment(face.mesh), CHIP_PX)
        values = (chip.transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 127.5
        embedding = np.asarray(self._network.run(None, {self._input: values})[0], np.float32).ravel()
        unit: Embedding = embedding / np.float32(np.linalg.norm(embedding))
        return unit


def alignment(mesh: Mesh) -> Similarity:
    """Return the similarity transform (2, 3) that moves the face's keypoints closest to ALIGNED.

    Closest in the least squares sense, without reflection (Umeyama 1991)."""
    points = landmarks.keypoints(mesh)[:, :2]
    # A similarity of the plane is a product and a sum of complex numbers.
    source, target = (_as_complex(each - each.mean(axis=0)) for each in (points, ALIGNED))
    factor = np.vdot(source, target) / np.vdot(source, source)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    offset = ALIGNED.mean(axis=0) - linear @ points.mean(axis=0)
    return np.asarray(np.c_[linear, offset], np.float32)


def cosine(one: Embedding, other: Embedding) -> float:
    """Return the cosine of the angle between two embeddings. 1 for the same direction."""
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _as_complex(points: NDArray[np.float64]) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1]
