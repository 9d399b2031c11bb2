"""Which pictures pass for the person, and the number that people are shown."""

import numpy as np
import pytest

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import ACCEPT_DISTANCE, OPEN_GATE, judge_likeness, likeness_score
from pipeline.types import Embedding
from tests.helpers import photos


@pytest.fixture(scope="module")
def obama_reference(finder: FaceFinder, embedder: FaceEmbedder) -> Embedding:
    pixels = photos.obama()
    return embedder.embed(pixels, finder.find(pixels)[0])


def test_another_photo_of_the_person_passes(
    finder: FaceFinder, embedder: FaceEmbedder, obama_reference: Embedding
) -> None:
    likeness = judge_likeness(photos.obama_speaking(), obama_reference, finder, embedder)

    assert likeness.accepted
    assert likeness.reasons == ()
    assert likeness.faces == 1
    assert likeness.distance is not None
    assert 0.1 < likeness.distance < ACCEPT_DISTANCE


def test_somebody_else_does_not_pass(finder: FaceFinder, embedder: FaceEmbedder, obama_reference: Embedding) -> None:
    likeness = judge_likeness(photos.biden(), obama_reference, finder, embedder)

    assert not likeness.accepted
    assert likeness.reasons == (Reason.NOT_ALIKE,)


def test_a_picture_without_a_face_does_not_pass(
    finder: FaceFinder, embedder: FaceEmbedder, obama_reference: Embedding
) -> None:
    likeness = judge_likeness(photos.coffee(), obama_reference, finder, embedder)

    assert (likeness.accepted, likeness.distance, likeness.faces) == (False, None, 0)
    assert likeness.reasons == (Reason.NO_FACE,)


def test_a_picture_with_a_second_face_does_not_pass(
    finder: FaceFinder, embedder: FaceEmbedder, obama_reference: Embedding
) -> None:
    likeness = judge_likeness(photos.two_people(), obama_reference, finder, embedder)

    assert (likeness.accepted, likeness.distance, likeness.faces) == (False, None, 2)
    assert likeness.reasons == (Reason.SEVERAL_FACES,)


def test_an_open_gate_lets_everything_through_and_still_says_what_it_saw(
    finder: FaceFinder, embedder: FaceEmbedder, obama_reference: Embedding
) -> None:
    nobody = judge_likeness(np.zeros((64, 64, 3), np.uint8), obama_reference, finder, embedder, OPEN_GATE)
    stranger = judge_likeness(photos.biden(), obama_reference, finder, embedder, OPEN_GATE)

    assert nobody.accepted
    assert nobody.reasons == (Reason.NO_FACE,)
    assert stranger.accepted
    assert stranger.distance is not None
    assert stranger.distance > ACCEPT_DISTANCE


def test_the_score_falls_with_distance_and_never_claims_certainty() -> None:
    scores = [likeness_score(distance) for distance in np.linspace(0, 1.6, 40)]

    assert scores == sorted(scores, reverse=True)
    assert max(scores) == 0.99
    assert min(scores) == 0.0
    # Half the slope of a fit published for the same network (33.3 - 58.6 d): as honest as our own people allow.
    assert likeness_score(0.6) == 0.52
    assert likeness_score(0.5) == 0.96
