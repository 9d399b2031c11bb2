"""Prepare a person, render shots of them and judge the pictures: the engine, the network that compares faces, the
signing identity, loaded once a process."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from django.conf import settings

from headshots.engine.configuration import (
    calibration,
    configured_name,
    identity,
    options,
)
from headshots.engine.photos import (
    StoredPhoto,
    embedder,
    finder,
    source_of,
    weights,
)
from headshots.engine.planning import PlannedShot
from headshots.runtime import heartbeat
from pipeline.engines import create_engine
from pipeline.errors import (
    SigningFailed,
)
from pipeline.quality import duplicates
from pipeline.types import (
    Engine,
    Job,
    KeepsSubjects,
    Person,
    Progress,
    Size,
    SourcePhoto,
    Subject,
    ignore_progress,
)

if TYPE_CHECKING:
    from pipeline.files.finish import FinishedFiles
    from pipeline.files.provenance import Marks
    from pipeline.quality.gate import Standard

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person ready to be shot: the engine's subject, what pictures are held against, and what they said about
    themselves. Memory only."""

    subject: Subject = field(repr=False)
    standard: "Standard" = field(repr=False)
    person: Person = field(default=Person(), repr=False)


@dataclass(frozen=True)
class Finished:
    """One picture and what the gate says of it: `likeness` and `quality` 0..1 rounded, `reasons` against it.

    files: what is handed out, None when it was not accepted. perceptual_hash: what `is_twin` compares."""

    index: int
    accepted: bool
    likeness: float | None
    reasons: list[str]
    files: "FinishedFiles | None" = field(repr=False, default=None)
    quality: float = 0.0
    perceptual_hash: str = ""


def prepare(
    photos: Sequence[StoredPhoto],
    size: Size,
    on_progress: Progress = ignore_progress,
    person: Person = Person(),  # noqa: B008 - frozen
) -> Sitter:
    """The person in these photos, best first, ready for `render`. At 4K it takes minutes."""
    sources = [source_of(photo) for photo in photos]
    return Sitter(_engine().prepare(sources, size, on_progress), _standard(sources), person)


def keeps_sitters(size: Size) -> bool:
    """Whether preparing a person for this size takes so long that workers share the result: freeze and thaw."""
    maker = _engine()
    return isinstance(maker, KeepsSubjects) and maker.worth_keeping(size)


def freeze(sitter: Sitter) -> bytes:
    """What preparing this person brought, for another worker's `thaw`. Private like their photos."""
    maker = _engine()
    assert isinstance(maker, KeepsSubjects)
    return maker.freeze(sitter.subject)


def thaw(
    data: bytes,
    photos: Sequence[StoredPhoto],
    size: Size,
    person: Person = Person(),  # noqa: B008 - frozen
) -> Sitter:
    """The person that another worker prepared from these photos. Raises ValueError for what another release froze."""
    maker = _engine()
    assert isinstance(maker, KeepsSubjects)
    return Sitter(maker.thaw(data, size), _standard([source_of(photo) for photo in photos]), person)


def capacity(size: Size) -> int:
    """How many pictures of this size are made at once."""
    return _engine().capacity(size)


def render(
    sitter: Sitter, batches: Iterable[Sequence[PlannedShot]], size: Size, on_progress: Progress, *, versions: bool
) -> Iterator[Finished]:
    """One finished picture a shot, in order, each held against the person by the likeness gate.

    A batch is asked for while pictures of the last one are judged and finished: the engine never waits for that.
    versions: whether profile crop and web version are wanted as well. Raises SigningFailed."""
    from pipeline.identity.likeness import ACCEPT_DISTANCE, likeness_score
    from pipeline.postprocess import Darkroom, develop

    max_distance = settings.HEADSHOTS_LIKENESS_MAX_DISTANCE or ACCEPT_DISTANCE
    darkroom = Darkroom(
        finder(), embedder(), identity(), max_distance=max_distance, versions=versions, batch=capacity(size)
    )
    jobs = ([Job(sitter.subject, replace(shot.as_shot(), person=sitter.person)) for shot in batch] for batch in batches)
    pictures = chain.from_iterable(_engine().render(batch, size, on_progress) for batch in jobs)
    for developed in develop(pictures, sitter.standard, darkroom):
        judgement, distance = developed.judgement, developed.judgement.likeness.distance
        yield Finished(
            index=developed.shot.index,
            accepted=developed.files is not None,
            likeness=None if distance is None else likeness_score(distance, calibration()),
            reasons=[reason.value for reason in judgement.reasons],
            files=developed.files,
            quality=round(judgement.quality, 2),
            perceptual_hash=developed.perceptual_hash,
        )


def is_twin(perceptual_hash: str, others: Iterable[str]) -> bool:
    """Whether a picture looks like one of the others. Whatever tells headshots of a pack apart is asked here."""
    return duplicates.is_twin(perceptual_hash, others)


def read_marks(data: bytes) -> "Marks | None":
    """Return what a file says about how it was made, read in a limited process; None when it cannot be read.

    Raises PhotoRefused, before a process is started, for anything but a JPEG, PNG or WebP that is not too large."""
    from pipeline.files.provenance import read_marks_apart

    try:
        return read_marks_apart(data)
    except SigningFailed:
        return None


def warm_up(queue: str) -> None:
    """Load what this queue's worker needs before its first task, so that nobody waits for it."""
    if queue == "default":
        finder()
    elif queue == "render":
        _engine(), finder(), embedder(), identity()


@cache
def _engine() -> Engine:
    return create_engine(configured_name(), weights(), options(), _report_progress)


def _report_progress(share: float) -> None:
    heartbeat.record_progress()
    log.info("engine: %d %% loaded", round(100 * share))


def _standard(sources: Sequence[SourcePhoto]) -> "Standard":
    from pipeline.quality.gate import set_standard

    return set_standard(sources, embedder())
