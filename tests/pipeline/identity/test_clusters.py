"""Who is who over several photos: one person's faces join, two faces of one photo never do, in whatever order."""

import itertools
import os
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.faces.find import FaceFinder
from pipeline.identity.cluster import Cluster, SeenFace, cluster_faces
from pipeline.identity.embedding import FaceEmbedder, embedding_distance, fuse
from pipeline.identity.likeness import SAME_PERSON_DISTANCE
from pipeline.types import Embedding, Pixels
from tests.helpers import photos

# A folder of photos named by who is in them: man-a-podium.jpg, two-men-a-and-b.jpg, woman-e-with-man-f.jpg, ...
FOLDER = os.environ.get("HEADSHOTS_TEST_PHOTOS", "")


def embed_all(pixels: Pixels, finder: FaceFinder, embedder: FaceEmbedder) -> list[Embedding]:
    return [embedder.embed(pixels, face) for face in finder.find(pixels)]


def people_in(photos_faces: list[list[Embedding]]) -> list[Cluster]:
    return cluster_faces([SeenFace(p, f, e) for p, faces in enumerate(photos_faces) for f, e in enumerate(faces)])


def members(cluster: Cluster) -> set[tuple[int, int]]:
    return {(face.photo, face.face) for face in cluster.faces}


def near(base: np.ndarray, distance: float, seed: int) -> Embedding:
    """An embedding that far from the base, in a direction of its own."""
    step = np.random.default_rng(seed).normal(size=128)
    return (base + step / np.linalg.norm(step) * distance).astype(np.float32)


ONE, OTHER = (np.random.default_rng(seed).normal(size=128) / 8 for seed in (1, 2))


def test_two_faces_of_one_photo_never_join_however_alike_they_are():
    twins = people_in([[near(ONE, 0.1, 3), near(ONE, 0.1, 4)]])

    assert sorted(sorted(members(each)) for each in twins) == [[(0, 0)], [(0, 1)]]


def test_a_chain_of_lookalikes_is_not_one_person():
    """Average linkage: each is near to the next, the first is far from the last."""
    chain = [(ONE + step * 0.4 * np.eye(128)[0]).astype(np.float32) for step in range(5)]

    assert max(len(each.faces) for each in people_in([[face] for face in chain])) < 5


def test_of_two_people_in_as_many_photos_the_one_who_is_seen_better_comes_first():
    faces = [SeenFace(0, 0, near(ONE, 0, 0), quality=0.4), SeenFace(1, 0, near(OTHER, 0, 0), quality=0.9)]

    assert [cluster.faces[0].photo for cluster in cluster_faces(faces)] == [1, 0]
    assert [cluster.faces[0].photo for cluster in cluster_faces(faces[::-1])] == [1, 0]


def test_nobody_is_in_no_photo():
    assert cluster_faces([]) == []


def test_a_photo_that_was_uploaded_twice_is_one_person_of_two_photos():
    (person,) = people_in([[near(ONE, 0, 0)], [near(ONE, 0, 0)]])

    assert person.face_in(0) == person.face_in(1) == 0
    assert person.face_in(2) is None


def test_any_order_gives_the_same_people():
    rng = random.Random(5)
    crowd = [
        SeenFace(photo, face, near(base, rng.uniform(0.1, 0.45), 10 * photo + face), rng.uniform(0.2, 1))
        for photo in range(5)
        for face, base in enumerate((ONE, OTHER, np.random.default_rng(photo + 50).normal(size=128) / 8))
    ]
    expected = [members(cluster) for cluster in cluster_faces(crowd)]

    for _ in range(20):
        rng.shuffle(crowd)
        assert [members(cluster) for cluster in cluster_faces(crowd)] == expected


def test_the_man_of_two_photos_is_found_beside_another_and_the_stranger_is_not(finder, embedder):
    pictures = (photos.obama(), photos.two_people(), photos.obama_speaking(), photos.astronaut())
    faces = [embed_all(pixels, finder, embedder) for pixels in pictures]
    (right,) = (i for i, e in enumerate(faces[1]) if embedding_distance(e, faces[0][0]) < SAME_PERSON_DISTANCE)

    for order in itertools.permutations(range(4)):
        man = people_in([faces[index] for index in order])[0]
        found = {order[photo]: face for photo, face in members(man)}
        assert found == {0: 0, 1: right, 2: 0}


def test_a_template_lies_nearer_to_a_persons_other_photos_than_their_photos_do(finder, embedder):
    one, other = (embed_all(pixels, finder, embedder)[0] for pixels in (photos.obama(), photos.obama_speaking()))

    template = fuse([one, other], [0.9, 0.5])

    assert embedding_distance(template, one) < embedding_distance(one, other)
    assert embedding_distance(template, one) < embedding_distance(template, other)  # the better one counts for more


def test_the_template_of_one_photo_is_its_own_embedding():
    only = near(ONE, 0, 0)

    assert fuse([only], [0.1]) is only


def test_a_template_is_as_long_as_the_embeddings_it_is_made_of():
    one, other = near(ONE, 0.3, 1), near(ONE, 0.3, 2)

    length = np.linalg.norm(fuse([one, other], [1, 1]))

    assert np.isclose(length, (np.linalg.norm(one) + np.linalg.norm(other)) / 2, atol=1e-5)


def person_names(file: Path) -> set[str]:
    """Who is in a photo, by its name: `man-a`, `woman-e`; two of them in `two-men-a-and-b`."""
    if pair := re.match(r"two-(men|women)-(\w)-and-(\w)", file.name):
        kind = {"men": "man", "women": "woman"}[pair[1]]
        return {f"{kind}-{pair[2]}", f"{kind}-{pair[3]}"}
    return set(re.findall(r"(?:wo)?man-[a-z](?=[-.])", file.name))


@pytest.fixture(scope="module")
def named(finder: FaceFinder, embedder: FaceEmbedder) -> dict[Path, list[Embedding]]:
    if not FOLDER:
        pytest.skip("HEADSHOTS_TEST_PHOTOS names no folder of photos of people called man-a, woman-e, ...")
    files = sorted(path for path in Path(FOLDER).iterdir() if person_names(path) or path.name.startswith("group"))
    return {file: embed_all(photos.read_pixels(file), finder, embedder) for file in files}


def majority(chosen: tuple[Path, ...]) -> str | None:
    """Who is in more of these photos than anybody else, and in two at least."""
    ranked = Counter(name for file in chosen for name in person_names(file)).most_common(2)
    if not ranked or ranked[0][1] < 2 or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_right_person_is_found_in_every_mixed_set_of_a_folder(named, size):
    rng = random.Random(size)
    sets = [(chosen, majority(chosen)) for chosen in itertools.combinations(named, size)]
    sets = [(chosen, person) for chosen, person in sets if person]

    for chosen, person in sets:
        wanted = {file for file in chosen if person in person_names(file)}
        for _ in range(3):
            order = rng.sample(chosen, size)
            winner = people_in([named[file] for file in order])[0]
            assert {order[face.photo] for face in winner.faces} == wanted, (person, [file.name for file in order])
    assert sets
