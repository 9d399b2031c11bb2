"""Find the faces in a photo. Two detectors propose candidates, and the face mesh network confirms them."""

import threading
from functools import cached_property

import numpy as np

from pipeline.faces import landmarks
from pipeline.faces.age import AgeNetwork
from pipeline.faces.detect import BlazeFace, Detection, Window, intersection, merge, overlap
from pipeline.faces.mesh import FaceMesh
from pipeline.faces.sampling import shrink_to
from pipeline.types import Face, Mesh, Pixels
from pipeline.weights import Weights

# Detection runs on a copy of this size. The finest detection window is half the long edge, sampled at 192 px. A larger
# copy would add no detail.
DETECTION_LONG_EDGE = 1024
MIN_SCORE = 0.5
MIN_TILE_SCORE = 0.6

# A candidate is confirmed as a face if the mesh network is confident, and if its points match the detector's eyes, nose
# and mouth (mean distance in box widths). Below SURE_SCORE the stricter DOUBTFUL limits apply.
# Measured on 59 photos with 149 faces: 146 faces found, no false positives (docs/benchmarks.md).
MIN_MESH_PROBABILITY = 0.5
MAX_DISAGREEMENT = 0.22
SURE_SCORE = 0.8
DOUBTFUL_MIN_MESH_PROBABILITY = 0.9
DOUBTFUL_MAX_DISAGREEMENT = 0.11
# A face with sunglasses has an overlap of 0.59.
DOUBTFUL_MIN_OVERLAP = 0.5
# If no face reaches this score, the photo is also searched in the other three orientations, which takes 8 ms each. In
# an upside-down face the detector can mistake the hair for a beard. Such faces score up to 0.83, and 0.95 in the right
# orientation. 1 of 19 photos scored below this limit (0.79, a hand on the forehead).
BEYOND_DOUBT_SCORE = 0.9
CLEARLY_BETTER = 0.05
# A detection is a duplicate if a better one covers more than this fraction of the smaller box. In 120 photos, the boxes
# of heads that touch overlap by at most 0.05. A forehead mistaken for a face overlaps the real face by at least 0.40.
DUPLICATE_SHARE = 0.3


class FaceFinder:
    """Finds the faces in a photo.

    Safe to share between threads, because a lock serializes the calls."""

    def __init__(self, weights: Weights, threads: int = 2) -> None:
        self._short = BlazeFace(weights, "blazeface_short", threads)
        self._full = BlazeFace(weights, "blazeface_full", threads)
        self._mesh = FaceMesh(weights, threads)
        self._lock = threading.Lock()
        self._weights = weights

    @cached_property
    def age_network(self) -> AgeNetwork:
        """The network that recognizes children. Loaded when it is first needed. Raises WeightsError."""
        return AgeNetwork(self._weights.path("dlib_age"))

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        """Return the faces in a photo, widest first.

        Returns an empty tuple if there are none. The same pixels always give the same faces. If no upright face has a
        high score, also searches the photo upside down and on its sides."""
        small, factor = shrink_to(pixels, DETECTION_LONG_EDGE)
        found: list[Face] = []
        with self._lock:
            for quarter_turns in (0, 2, 1, 3):
                seen = self._detect(np.ascontiguousarray(np.rot90(small, quarter_turns)), tiles=quarter_turns == 0)
                upright = [d.turned_back(quarter_turns, small.shape[1], small.shape[0]) for d in seen]
                faces = self._confirm_faces(pixels, [candidate.scaled(1 / factor) for candidate in upright])
                if _best_score(faces) > _best_score(found) + (CLEARLY_BETTER if found else 0):
                    found = faces
                if _best_score(found) >= BEYOND_DOUBT_SCORE:
                    break
        return tuple(sorted(found, key=lambda face: -face.box.width))

    def _detect(self, pixels: Pixels, tiles: bool) -> list[Detection]:
        """Return the merged detections in the photo, best first.

        Searches the whole photo. With `tiles`, also searches tiles with half its long edge."""
        height, width = pixels.shape[:2]
        side = max(height, width)
        whole = Window((width - side) / 2, (height - side) / 2, side)
        seen = self._short.detect(pixels, whole, MIN_SCORE) + self._full.detect(pixels, whole, MIN_SCORE)
        for tile in _tiles(width, height) if tiles else []:
            seen += self._full.detect(pixels, tile, MIN_TILE_SCORE)
        return merge(seen)

    def _confirm_faces(self, pixels: Pixels, candidates: list[Detection]) -> list[Face]:
        """Return the candidates that are faces, without duplicates.

        candidates: best first."""
        faces: list[Face] = []
        for candidate in candidates:
            if any(_inside(candidate, face) for face in faces):
                continue
            mesh, probability = self._mesh.fit(pixels, candidate.box, candidate.roll_degrees)
            if _is_face(candidate, mesh, probability):
                faces.append(Face(candidate.box, candidate.score, mesh))
        return faces


def _best_score(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _tiles(width: int, height: int) -> list[Window]:
    """Return square windows that cover the photo.

    The side of a window is half the photo's long edge. Neighboring windows overlap by a quarter."""
    side = max(width, height) / 2
    step = side * 0.75
    tops = np.arange(0, max(1.0, height - side / 4), step)
    lefts = np.arange(0, max(1.0, width - side / 4), step)
    return [Window(float(left), float(top), side) for top in tops for left in lefts]


def _is_face(candidate: Detection, mesh: Mesh, probability: float) -> bool:
    if probability < MIN_MESH_PROBABILITY:
        return False
    disagreement = _disagreement(candidate, mesh)
    if candidate.score >= SURE_SCORE:
        return disagreement <= MAX_DISAGREEMENT
    return (
        probability >= DOUBTFUL_MIN_MESH_PROBABILITY
        and disagreement <= DOUBTFUL_MAX_DISAGREEMENT
        and overlap(landmarks.bounds(mesh), candidate.box) >= DOUBTFUL_MIN_OVERLAP
    )


def _disagreement(candidate: Detection, mesh: Mesh) -> float:
    """Return the mean distance between the facial points of detector and mesh, in box widths.

    Compares eyes, nose and mouth."""
    mouth = landmarks.select_points(mesh, (landmarks.UPPER_LIP, landmarks.LOWER_LIP)).mean(axis=0)
    seen_by_mesh = np.array([*landmarks.eye_centers(mesh), mesh[landmarks.NOSE_TIP, :2], mouth])
    distances = np.hypot(*(seen_by_mesh - candidate.keypoints[:4]).T)
    return float(distances.mean()) / max(candidate.box.width, 1.0)


def _inside(candidate: Detection, face: Face) -> bool:
    smaller = min(candidate.box.width * candidate.box.height, face.box.width * face.box.height)
    return intersection(candidate.box, face.box) > DUPLICATE_SHARE * smaller
