"""Cluster faces by person over several photos, and find the person of most photos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.identity.likeness import SAME_PERSON_DISTANCE
from pipeline.types import Embedding


@dataclass(frozen=True, eq=False)
class SeenFace:
    """One face of one photo.

    photo, face: index of the photo, and of the face in the photo. quality: visibility of the face, above 0 to 1."""

    photo: int
    face: int
    embedding: Embedding = field(repr=False)
    quality: float = 1.0


@dataclass(frozen=True, eq=False)
class Cluster:
    """The faces of one person, at most one per photo, in the order of the input."""

    faces: tuple[SeenFace, ...]

    @property
    def quality(self) -> float:
        """Return the sum of the qualities of all faces."""
        # Sorted, because a sum of floats depends on the order, and the order of photos must not decide the result.
        return sum(sorted(face.quality for face in self.faces))

    def face_in(self, photo: int) -> int | None:
        """Return the index of the person's face in this photo, or None if the photo does not show the person."""
        return next((seen.face for seen in self.faces if seen.photo == photo), None)


def cluster_faces(faces: Sequence[SeenFace], max_distance: float = SAME_PERSON_DISTANCE) -> list[Cluster]:
    """Group the faces by person, and return the person of most photos first.

    Among people in equally many photos, the better visible one comes first. Uses average linkage: the two nearest
    clusters join while the mean distance of their faces is below max_distance. Two faces of one photo never join.
    The order of the faces does not change the clusters."""
    order = sorted(range(len(faces)), key=lambda index: faces[index].embedding.tobytes())
    distances = _distances([faces[index].embedding for index in order])
    photos = [faces[index].photo for index in order]
    clusters: list[tuple[int, ...]] = [(place,) for place in range(len(order))]
    while pair := _nearest(clusters, distances, photos, max_distance):
        joined = tuple(sorted(pair[0] + pair[1]))
        clusters = sorted([each for each in clusters if each not in pair] + [joined])
    found = [Cluster(tuple(faces[index] for index in sorted(order[place] for place in each))) for each in clusters]
    # The sort is stable, so equal clusters stay in the order of their embeddings.
    return sorted(found, key=lambda cluster: (-len(cluster.faces), -cluster.quality))


def _distances(embeddings: Sequence[Embedding]) -> NDArray[np.float64]:
    """Return the (N, N) Euclidean distances between the embeddings."""
    if not embeddings:
        return np.zeros((0, 0))
    stacked = np.stack(embeddings).astype(np.float64)
    return np.array([np.linalg.norm(stacked - each, axis=1) for each in stacked])


def _nearest(
    clusters: Sequence[tuple[int, ...]], distances: NDArray[np.float64], photos: Sequence[int], max_distance: float
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the two nearest clusters that may join, or None.

    The first of several equally near pairs wins."""
    best, nearest = None, max_distance
    for one, other in combinations(clusters, 2):
        if {photos[place] for place in one} & {photos[place] for place in other}:
            continue
        distance = float(distances[np.ix_(one, other)].mean())
        if distance < nearest:
            best, nearest = (one, other), distance
    return best
