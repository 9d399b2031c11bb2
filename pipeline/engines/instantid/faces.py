"""Read faces with insightface as raw 512-number embeddings, the input that InstantID expects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FaceNotFound, WeightsError
from pipeline.faces.landmarks import yaw_degrees
from pipeline.identity.embedding import fuse as fuse_embeddings
from pipeline.types import Box, Embedding, Pixels, SourcePhoto

DETECTOR, RECOGNIZER = "scrfd_10g_bnkps.onnx", "glintr100.onnx"
DETECTOR_INPUT = (640, 640)
# Width of the square that the detector sees, in face sizes. The square is centered on the selected face.
SURROUNDINGS = 3.0
# Largest side of the detector's input. The published implementation uses no larger image either. Larger faces would be
# undersampled when they are aligned to 112 px.
MAX_SIDE = 1280
# Minimum intersection over union at which a detection counts as the selected face.
MIN_OVERLAP = 0.15
# Faces of at least this width are not enlarged for the recognizer.
FULL_QUALITY_PX = 112


@dataclass(frozen=True, eq=False)
class FaceReading:
    """The embedding of a face in one photo.

    Attributes:
        embedding: (512,), not normalized.
        quality: weight of the embedding, above 0 and at most 1.
    """

    embedding: Embedding
    quality: float


class FaceReader:
    """insightface's detection and recognition networks, loaded from a local folder.

    The networks run on the CPU. They run only a few times per person, and a second runtime on the GPU would need
    memory.
    Raises WeightsError if a file is missing or not the expected network."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        sessions = []
        for name in (DETECTOR, RECOGNIZER):
            if not (folder / name).is_file():
                raise WeightsError(f"{folder / name} is missing.")
            try:
                sessions.append(onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"]))
            except Exception as error:  # onnxruntime has no public base class for its errors
                reason = str(error).splitlines()[0]
                raise WeightsError(f"{folder / name} cannot be loaded: {reason}") from error
        detector, recognizer = sessions
        if len(detector.get_outputs()) != 9:
            raise WeightsError(f"{folder / DETECTOR} is not an SCRFD detector with key points.")
        if list(recognizer.get_inputs()[0].shape[1:]) != [3, 112, 112] or recognizer.get_outputs()[0].shape[-1] != 512:
            raise WeightsError(f"{folder / RECOGNIZER} does not produce 512 numbers from 112 × 112 pixels.")
        # Imported after the checks, because importing insightface takes a second, and insightface does not check the
        # files.
        from insightface.model_zoo import SCRFD, ArcFaceONNX

        # One session for all input sizes. By default, insightface rewrites the graph for each size, which fails for
        # detectors whose graph it does not know.
        self._detector = SCRFD(str(folder / DETECTOR), detector, static_shape_sessions=False)
        self._recognizer = ArcFaceONNX(str(folder / RECOGNIZER), recognizer)

    def read(self, photo: SourcePhoto) -> FaceReading:
        """Compute the embedding of the selected face in a photo.

        Raises FaceNotFound if the detector does not find the face."""
        from insightface.utils.face_align import norm_crop

        square, offset, scale = crop_around(photo.pixels, photo.face.box)
        # insightface expects BGR.
        square = square[:, :, ::-1]
        boxes, keypoints = self._detector.detect(square, input_size=DETECTOR_INPUT)
        overlaps = [overlap(Box(*(box[:4] / scale + np.tile(offset, 2))), photo.face.box) for box in boxes]
        if not overlaps or max(overlaps) < MIN_OVERLAP:
            raise FaceNotFound("insightface's detector did not find the chosen face")
        best = int(np.argmax(overlaps))
        embedding = self._recognizer.get_feat(norm_crop(square, keypoints[best])).astype(np.float32).flatten()
        return FaceReading(embedding, quality(photo, float(boxes[best][4])))

    def find_keypoints(self, pixels: Pixels) -> NDArray[np.float64] | None:
        """Return the five key points, (5, 2), of the largest face in a picture, or None if there is no face."""
        boxes, keypoints = self._detector.detect(pixels[:, :, ::-1], input_size=DETECTOR_INPUT)
        if len(boxes) == 0:
            return None
        largest = np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        return np.asarray(keypoints[largest], np.float64)


def crop_around(pixels: Pixels, box: Box) -> tuple[Pixels, NDArray[np.float64], float]:
    """Crop a square around the box. Areas outside the photo are black.

    Returns the square, its top left corner (x, y) in the photo, and its scale, which is at most 1."""
    import cv2

    side = max(2, round(SURROUNDINGS * max(box.width, box.height)))
    left = round((box.left + box.right - side) / 2)
    top = round((box.top + box.bottom - side) / 2)
    inside = pixels[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    square = np.zeros((side, side, 3), np.uint8)
    down, right = max(0, -top), max(0, -left)
    square[down : down + inside.shape[0], right : right + inside.shape[1]] = inside
    scale = min(1.0, MAX_SIDE / side)
    if scale < 1:
        square = cv2.resize(square, (MAX_SIDE, MAX_SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return square, np.array([left, top], float), scale


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0..1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.width * one.height + other.width * other.height - shared)


def quality(photo: SourcePhoto, score: float) -> float:
    """Return the weight of an embedding, above 0 and at most 1.

    The weight is the product of detection score, face size and frontality, each 0..1."""
    size = min(1.0, photo.face.box.width / FULL_QUALITY_PX)
    frontal = float(np.cos(np.radians(yaw_degrees(photo.face.mesh))) ** 2)
    return max(1e-3, score * size * frontal)


def fuse(readings: Sequence[FaceReading]) -> Embedding:
    """Combine the embeddings of one person into one raw embedding (512,), weighted by quality.

    Raises FaceNotFound if there are no readings."""
    if not readings:
        raise FaceNotFound("no photo shows the face")
    return fuse_embeddings([reading.embedding for reading in readings], [reading.quality for reading in readings])
