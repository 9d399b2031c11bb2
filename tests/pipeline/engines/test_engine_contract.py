"""What every engine promises, whoever makes the pictures."""

import numpy as np
import pytest

from pipeline.engines import create_engine
from pipeline.errors import Canceled, EngineUnavailable, FaceNotFound
from pipeline.identity.likeness import judge_likeness
from pipeline.styles.shot_list import load_styles, plan_shots, reshoot
from pipeline.types import PREMIUM, PREVIEW, PREVIEW_SQUARE, Job, Size, SourcePhoto, Subject, SubjectSerializer
from tests.helpers import photos

# An eighth of the preview: the promises are the same and the pictures come faster.
SMALL = Size(320, 400)
FULL_SIZES = (PREVIEW, PREVIEW_SQUARE)


@pytest.fixture(scope="module", params=["fake", "studio"])
def engine(request, weights):
    return create_engine(request.param, weights)


@pytest.fixture(scope="module")
def astronaut(finder):
    pixels = photos.astronaut()
    return SourcePhoto(pixels, finder.find(pixels)[0])


@pytest.fixture(scope="module")
def obama(finder):
    pixels = photos.obama()
    return SourcePhoto(pixels, finder.find(pixels)[0])


@pytest.fixture(scope="module")
def subject(engine, astronaut):
    return engine.prepare([astronaut], SMALL)


def silent(share):
    pass


def shots(count=4, seed=1):
    return plan_shots(load_styles(), count, seed)


def render(engine, subject, wanted, size=SMALL):
    return [picture.pixels for picture in engine.render([Job(subject, shot) for shot in wanted], size, silent)]


def test_it_has_a_name_and_likes_to_make_at_least_one_picture_at_once(engine):
    assert engine.name
    assert engine.capacity(PREVIEW) >= 1


def test_a_subject_says_for_which_engine_and_size_it_was_prepared(engine, subject):
    assert isinstance(subject, Subject)
    assert (subject.engine, subject.size) == (engine.name, SMALL)


def test_without_a_photo_there_is_no_subject(engine):
    with pytest.raises(FaceNotFound):
        engine.prepare([], SMALL)


@pytest.mark.parametrize(
    "size",
    [SMALL, Size(320, 320), Size(351, 401), *FULL_SIZES],
)
def test_pictures_have_the_size_that_was_asked_for(engine, astronaut, size):
    (pixels,) = render(engine, engine.prepare([astronaut], size), shots(1), size)

    assert pixels.shape == (size.height, size.width, 3)
    assert pixels.dtype == np.uint8


def test_there_is_one_picture_a_job_in_their_order_whoever_is_in_them(engine, subject, obama, finder, embedder):
    other = engine.prepare([obama], SMALL)
    jobs = [Job((subject, other)[index % 2], shot) for index, shot in enumerate(shots())]

    pictures = list(engine.render(jobs, SMALL, silent))

    assert [picture.job for picture in pictures] == jobs
    reference = embedder.embed(obama.pixels, obama.face)
    alike = [judge_likeness(picture.pixels, reference, finder, embedder).accepted for picture in pictures]
    assert alike == [False, True, False, True]


def test_without_a_job_there_is_no_picture(engine):
    assert list(engine.render([], SMALL, silent)) == []


def test_the_same_shot_gives_the_same_pixels_in_any_company(engine, subject, astronaut):
    together = render(engine, subject, shots(3))
    alone = render(engine, engine.prepare([astronaut], SMALL), shots(3)[2:])

    np.testing.assert_array_equal(together[2], alone[0])


def test_another_seed_of_the_same_look_gives_another_picture(engine, subject, pack):
    others = render(engine, subject, [reshoot(shot, 1) for shot, _ in pack])

    for (shot, pixels), other in zip(pack, others, strict=True):
        assert not np.array_equal(pixels, other), shot.style.name


@pytest.fixture(scope="module")
def pack(engine, subject):
    """A shot of every look, and its picture."""
    every_look = shots(len(load_styles()))
    return list(zip(every_look, render(engine, subject, every_look), strict=True))


def test_every_shot_of_a_pack_is_another_picture(pack):
    assert len({pixels.tobytes() for _, pixels in pack}) == len(pack)


def test_every_look_shows_the_person_and_nobody_else(pack, astronaut, finder, embedder):
    reference = embedder.embed(astronaut.pixels, astronaut.face)

    for shot, pixels in pack:
        likeness = judge_likeness(pixels, reference, finder, embedder)
        assert likeness.accepted, (shot.style.name, likeness)


def test_whoever_else_is_in_the_photo_is_not_in_the_picture(engine, finder, embedder):
    pixels = photos.two_people()
    left, right = sorted(finder.find(pixels), key=lambda face: face.box.left)
    subject = engine.prepare([SourcePhoto(pixels, right, bystanders=(left,))], SMALL)

    (picture,) = render(engine, subject, shots(1))

    assert judge_likeness(picture, embedder.embed(pixels, right), finder, embedder).accepted


def test_several_photos_of_one_person_make_one_subject(engine, obama, finder, embedder):
    speaking = photos.obama_speaking()
    subject = engine.prepare([obama, SourcePhoto(speaking, finder.find(speaking)[0])], SMALL)

    reference = embedder.embed(obama.pixels, obama.face)
    for pixels in render(engine, subject, shots(2)):
        assert judge_likeness(pixels, reference, finder, embedder).accepted


def test_the_photo_is_left_as_it_was(engine, astronaut):
    before = astronaut.pixels.copy()

    render(engine, engine.prepare([astronaut], SMALL), shots(1))

    np.testing.assert_array_equal(astronaut.pixels, before)


def test_progress_grows_from_nothing_to_all(engine, subject):
    shares: list[float] = []

    list(engine.render([Job(subject, shot) for shot in shots()], SMALL, shares.append))

    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_a_caller_can_cancel_between_pictures_and_go_on_with_the_engine(engine, subject):
    def stop_halfway(share: float) -> None:
        if share >= 0.5:
            raise Canceled

    pictures = []
    with pytest.raises(Canceled):
        pictures.extend(engine.render([Job(subject, shot) for shot in shots()], SMALL, stop_halfway))

    assert len(pictures) < len(shots())
    assert len(render(engine, subject, shots(1))) == 1


def test_pictures_come_one_by_one(engine, subject):
    jobs = [Job(subject, shot) for shot in shots()]
    shares: list[float] = []

    next(iter(engine.render(jobs, SMALL, shares.append)))

    assert max(shares) < 1


def test_a_subject_of_another_engine_or_size_is_an_error(engine, subject, astronaut):
    stranger = Subject("another engine", SMALL)

    with pytest.raises(ValueError, match="another engine"):
        render(engine, stranger, shots(1))
    with pytest.raises(ValueError, match="320"):
        render(engine, subject, shots(1), PREVIEW_SQUARE)


def test_an_engine_that_does_not_exist_is_refused_with_the_known_ones(weights):
    with pytest.raises(EngineUnavailable, match=r"known: auto, studio, instantid\."):
        create_engine("oil on canvas", weights)


def test_the_best_engine_here_is_the_studio(weights):
    assert create_engine("auto", weights).name == "studio"


def test_a_kept_person_makes_the_same_pictures_in_another_process(engine, subject):
    data = engine.serialize(subject)

    deserialized = engine.deserialize(data, SMALL)

    assert isinstance(engine, SubjectSerializer)
    for before, after in zip(render(engine, subject, shots(2)), render(engine, deserialized, shots(2)), strict=True):
        np.testing.assert_array_equal(before, after)


def test_only_large_sizes_are_expensive_to_prepare(engine):
    assert not engine.is_expensive_to_prepare(PREVIEW)
    assert engine.is_expensive_to_prepare(PREMIUM)


def test_what_another_engine_prepared_cannot_be_kept(engine):
    with pytest.raises(ValueError, match="another engine"):
        engine.serialize(Subject("another engine", SMALL))
