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
    """One face of one photo: whose photo and face it is by index, and how well it is seen, above 0 to 1."""

    photo: int
    face: int
    embedding: Embedding = field(repr=False)
    quality: float = 1.0


@dataclass(frozen=True, eq=False)
class Cluster:
    """Faces of one person, at most one of each photo; in the order in which they were given."""

    faces: tuple[SeenFace, ...]

    @property
    def quality(self) -> float:
        """How well the person is seen in all photos together."""
        # Sorted: a sum of floats depends on its order, and the order of photos must not decide who somebody is.
        return sum(sorted(face.quality for face in self.faces))

    def face_in(self, photo: int) -> int | None:
        """Index of the person's face in this photo, if they are in it."""
        return next((seen.face for seen in self.faces if seen.photo == photo), None)


def cluster_faces(faces: Sequence[SeenFace], max_distance: float = SAME_PERSON_DISTANCE) -> list[Cluster]:
    """Everybody in these photos, whoever is in most of them first; of two in as many, who is seen best.

    Average linkage: the two nearest clusters join as long as the mean distance of their faces is below max_distance.
    Two faces of one photo never join. The same faces give the same clusters in whatever order they come."""
    order = sorted(range(len(faces)), key=lambda index: faces[index].embedding.tobytes())
    distances = _distances([faces[index].embedding for index in order])
    photos = [faces[index].photo for index in order]
    clusters: list[tuple[int, ...]] = [(place,) for place in range(len(order))]
    while pair := _nearest(clusters, distances, photos, max_distance):
        joined = tuple(sorted(pair[0] + pair[1]))
        clusters = sorted([each for each in clusters if each not in pair] + [joined])
    found = [Cluster(tuple(faces[index] for index in sorted(order[place] for place in each))) for each in clusters]
    # A stable sort: what is equal stays in the order of the embeddings.
    return sorted(found, key=lambda cluster: (-len(cluster.faces), -cluster.quality))


def _distances(embeddings: Sequence[Embedding]) -> NDArray[np.float64]:
    """(N, N) Euclidean distances."""
    if not embeddings:
        return np.zeros((0, 0))
    stacked = np.stack(embeddings).astype(np.float64)
    return np.array([np.linalg.norm(stacked - each, axis=1) for each in stacked])


def _nearest(
    clusters: Sequence[tuple[int, ...]], distances: NDArray[np.float64], photos: Sequence[int], max_distance: float
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The two nearest clusters that may join, or None; of two pairs as near the first one."""
    best, nearest = None, max_distance
    for one, other in combinations(clusters, 2):
        if {photos[place] for place in one} & {photos[place] for place in other}:
            continue
        distance = float(distances[np.ix_(one, other)].mean())
        if distance < nearest:
            best, nearest = (one, other), distance
    return best
