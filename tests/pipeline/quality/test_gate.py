"""`make` and the likeness gate: what does not look like the person is shot again, then left out."""

from dataclasses import replace

import pytest

from pipeline.commands.make import GatedSubject, Models, RenderContext, make_headshots
from pipeline.engines.fake import FakeEngine
from pipeline.files.signing import make_test_identity
from pipeline.quality.gate import build_gate_reference
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import Job, Picture, Size, SourcePhoto, Subject, ignore_progress
from tests.helpers import photos


class LateLikeness:
    """An engine that shows somebody else in the first `wrong` pictures that it makes."""

    name = "late"

    def __init__(self, right: SourcePhoto, other: SourcePhoto, wrong: int) -> None:
        self._engine, self._wrong = FakeEngine(), wrong
        self._right, self._other = right, other
        self.seeds: list[int] = []

    def capacity(self, size: Size) -> int:
        return 2

    def prepare(self, source_photos, size, on_progress=ignore_progress):
        return Subject(self.name, size)

    def render(self, jobs, size, on_progress):
        for job in jobs:
            source = self._other if len(self.seeds) < self._wrong else self._right
            self.seeds.append(job.shot.seed)
            subject = self._engine.prepare([source], size)
            (picture,) = self._engine.render([Job(subject, job.shot)], size, on_progress)
            yield Picture(job, picture.pixels)


@pytest.fixture
def reshooting(finder, embedder):
    """Shoots two headshots with an engine whose first pictures show somebody else."""

    def shoot(wrong: int) -> tuple[list, list[int], list[float]]:
        astronaut, obama = (
            SourcePhoto(pixels, finder.find(pixels)[0]) for pixels in (photos.astronaut(), photos.obama())
        )
        size = Size(320, 400)
        engine = LateLikeness(astronaut, obama, wrong)
        person = GatedSubject(engine.prepare([astronaut], size), build_gate_reference([astronaut], embedder))
        context = RenderContext(Models(finder, embedder, engine), make_test_identity("A test"))
        shares: list[float] = []
        shots = plan_shots(load_styles(), 2, seed=1)
        made = list(make_headshots(person, shots, size, context, shares.append))
        return made, engine.seeds, shares

    return shoot


def test_a_picture_of_somebody_else_is_shot_again_with_a_new_seed(reshooting):
    made, seeds, shares = reshooting(wrong=1)

    assert [headshot.file for headshot in made] == ["02-executive.jpg", "01-corporate.jpg"]
    assert len(seeds) == len(set(seeds)) == 3
    assert made[1].shot.seed == seeds[2]
    assert max(shares) == 1


def test_after_three_attempts_a_picture_is_left_out(reshooting):
    made, seeds, _ = reshooting(wrong=100)

    assert made == []
    assert len(seeds) == 6


class Stuck:
    """An engine for which every shot of one look comes out as the same picture."""

    name = "stuck"

    def __init__(self, source: SourcePhoto, look: str) -> None:
        self._engine, self._source, self._look = FakeEngine(), source, look

    def capacity(self, size: Size) -> int:
        return 2

    def prepare(self, source_photos, size, on_progress=ignore_progress):
        return self._engine.prepare(source_photos, size)

    def render(self, jobs, size, on_progress):
        for job in jobs:
            shot = replace(job.shot, seed=1) if job.shot.style.name == self._look else job.shot
            (picture,) = self._engine.render([Job(job.subject, shot)], size, on_progress)
            yield Picture(job, picture.pixels)


def test_where_a_look_cannot_make_two_pictures_another_look_stands_in(finder, embedder):
    astronaut = SourcePhoto(photos.astronaut(), finder.find(photos.astronaut())[0])
    looks, size = load_styles()[:2], Size(320, 400)
    engine = Stuck(astronaut, looks[0].name)
    person = GatedSubject(engine.prepare([astronaut], size), build_gate_reference([astronaut], embedder))
    context = RenderContext(Models(finder, embedder, engine), make_test_identity("A test"))

    made = list(make_headshots(person, plan_shots(looks, 4, seed=1), size, context, ignore_progress))

    assert sorted(headshot.shot.style.name for headshot in made) == sorted([looks[0].name] + 3 * [looks[1].name])
