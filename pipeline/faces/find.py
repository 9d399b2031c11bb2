"""Find the faces of a photo: two detectors propose, the face mesh decides."""

import threading

import numpy as np

from pipeline.faces import landmarks
from pipeline.faces.detect import BlazeFace, Detection, Window, intersection, merge, overlap
from pipeline.faces.mesh import FaceMesh
from pipeline.faces.sampling import shrink_to
from pipeline.types import Face, Mesh, Pixels
from pipeline.weights import Weights

# The finest window a detector sees is half the long edge at 192 px: more than this adds no detail to it.
DETECTION_LONG_EDGE = 1024
MIN_SCORE = 0.5
MIN_TILE_SCORE = 0.6

# A candidate is a face when the mesh network says so and its points lie where the detector saw eyes,
# nose and mouth (mean distance in box widths). Below SURE_SCORE the detector needs a better witness.
# Measured: 149 faces in 59 photos, 146 found, none false (docs/benchmarks.md).
MIN_MESH_PROBABILITY = 0.5
MAX_DISAGREEMENT = 0.22
SURE_SCORE = 0.8
DOUBTFUL_MIN_MESH_PROBABILITY = 0.9
DOUBTFUL_MAX_DISAGREEMENT = 0.11
# 0.59 is a face in sunglasses.
DOUBTFUL_MIN_OVERLAP = 0.5
# Upside down a face can pass for an upright one with a beard for hair: measured up to 0.83 against 0.95 the right way
# round. Of 19 photos the doubtful one (0.79, a hand on the forehead) costs three more looks, 8 ms each.
BEYOND_DOUBT_SCORE = 0.9
CLEARLY_BETTER = 0.05
# A face inside another: the share of the smaller box that a better one covers. Heads cheek to cheek share 0.05 at most
# in 120 photos; a forehead seen as a face of its own shares 0.40 and more with the face below it.
DUPLICATE_SHARE = 0.3


class FaceFinder:
    """Finds faces. Safe to share between threads: the networks behind it are not, so calls take turns."""

    def __init__(self, weights: Weights, threads: int = 2) -> None:
        self._short = BlazeFace(weights, "blazeface_short", threads)
        self._full = BlazeFace(weights, "blazeface_full", threads)
        self._mesh = FaceMesh(weights, threads)
        self._lock = threading.Lock()

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        """The faces of a photo, widest first; empty when there is none. The same pixels give the same faces.

        Looks for faces that lie on their side or upside down only where no upright one is beyond doubt."""
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
        """What the detectors see in the whole photo, and in tiles of half its long edge if asked for, best first."""
        height, width = pixels.shape[:2]
        side = max(height, width)
        whole = Window((width - side) / 2, (height - side) / 2, side)
        seen = self._short.detect(pixels, whole, MIN_SCORE) + self._full.detect(pixels, whole, MIN_SCORE)
        for tile in _tiles(width, height) if tiles else []:
            seen += self._full.detect(pixels, tile, MIN_TILE_SCORE)
        return merge(seen)

    def _confirm_faces(self, pixels: Pixels, candidates: list[Detection]) -> list[Face]:
        """The candidates that are faces, each once; `candidates` come best first."""
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
    """Square windows of half the long edge, overlapping by a quarter, that cover the photo."""
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
    """Mean distance, in box widths, between the detector's eyes, nose and mouth and the mesh's."""
    mouth = landmarks.select_points(mesh, (landmarks.UPPER_LIP, landmarks.LOWER_LIP)).mean(axis=0)
    seen_by_mesh = np.array([*landmarks.eye_centers(mesh), mesh[landmarks.NOSE_TIP, :2], mouth])
    distances = np.hypot(*(seen_by_mesh - candidate.keypoints[:4]).T)
    return float(distances.mean()) / max(candidate.box.width, 1.0)


def _inside(candidate: Detection, face: Face) -> bool:
    smaller = min(candidate.box.width * candidate.box.height, face.box.width * face.box.height)
    return intersection(candidate.box, face.box) > DUPLICATE_SHARE * smaller
