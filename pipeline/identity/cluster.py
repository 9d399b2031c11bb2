"""Cluster the faces of several photos by person, and find the person who is in most photos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.identity.likeness import SAME_PERSON_DISTANCE
from pipeline.types import Embedding


@dataclass(frozen=True, eq=False)
class SeenFace:
    """One face in one photo.

    Attributes:
        photo: index of the photo.
        face: index of the face in the photo.
        embedding: embedding of the face.
        quality: visibility of the face, above 0 and at most 1.
    """

    photo: int
    face: int
    embedding: Embedding = field(repr=False)
    quality: float = 1.0


@dataclass(frozen=True, eq=False)
class Cluster:
    """The faces of one person, in the order of the input. Contains at most one face per photo."""

    faces: tuple[SeenFace, ...]

    @property
    def quality(self) -> float:
        """Return the sum of the qualities of all faces."""
        # Sort first, because a sum of floats depends on the order, and the order of the photos must not change the
        # result.
        return sum(sorted(face.quality for face in self.faces))

    def face_in(self, photo: int) -> int | None:
        """Return the index of the person's face in this photo, or None if the person is not in the photo."""
        return next((seen.face for seen in self.faces if seen.photo == photo), None)


def cluster_faces(faces: Sequence[SeenFace], max_distance: float = SAME_PERSON_DISTANCE) -> list[Cluster]:
    """Group the faces by person. Returns the person who is in most photos first.

    Among people in the same number of photos, the person with the higher total quality comes first. Uses average
    linkage: the two nearest clusters are merged while the mean distance of their faces is below `max_distance`. Two
    faces in the same photo are never merged. The order of the input does not change the clusters."""
    order = sorted(range(len(faces)), key=lambda index: faces[index].embedding.tobytes())
    distances = _distances([faces[index].embedding for index in order])
    photos = [faces[index].photo for index in order]
    clusters: list[tuple[int, ...]] = [(place,) for place in range(len(order))]
    while pair := _nearest(clusters, distances, photos, max_distance):
        joined = tuple(sorted(pair[0] + pair[1]))
        clusters = sorted([each for each in clusters if each not in pair] + [joined])
    found = [Cluster(tuple(faces[index] for index in sorted(order[place] for place in each))) for each in clusters]
    # The sort is stable. Therefore clusters that compare equal keep the order of their embeddings.
    return sorted(found, key=lambda cluster: (-len(cluster.faces), -cluster.quality))


def _distances(embeddings: Sequence[Embedding]) -> NDArray[np.float64]:
    """Return the Euclidean distances between all embeddings, (N, N)."""
    if not embeddings:
        return np.zeros((0, 0))
    stacked = np.stack(embeddings).astype(np.float64)
    return np.array([np.linalg.norm(stacked - each, axis=1) for each in stacked])


def _nearest(
    clusters: Sequence[tuple[int, ...]], distances: NDArray[np.float64], photos: Sequence[int], max_distance: float
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the two nearest clusters that can be merged, or None.

    If several pairs are equally near, returns the first."""
    best, nearest = None, max_distance
    for one, other in combinations(clusters, 2):
        if {photos[place] for place in one} & {photos[place] for place in other}:
            continue
        distance = float(distances[np.ix_(one, other)].mean())
        if distance < nearest:
            best, nearest = (one, other), distance
    return best
