"""Prepare a subject, render the planned shots and judge the pictures.

The engine, the networks and the signing identity are loaded once per process.
"""

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
    watermark_keys,
)
from headshots.engine.photos import (
    StoredPhoto,
    embedder,
    finder,
    load_source_photo,
    weights,
)
from headshots.engine.planning import PlannedShot
from headshots.runtime import heartbeat
from pipeline.engines import ENGINES, create_engine
from pipeline.errors import (
    SigningFailed,
)
from pipeline.files.provenance import Provenance, read_untrusted_provenance
from pipeline.quality import duplicates
from pipeline.types import (
    Engine,
    Job,
    Progress,
    SelfDescription,
    Size,
    SourcePhoto,
    Subject,
    SubjectSerializer,
    ignore_progress,
)

if TYPE_CHECKING:
    from pipeline.files.finish import HeadshotFiles
    from pipeline.quality.gate import GateReference

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedSubject:
    """A prepared subject. Only `subject` is ever stored, serialized and in the vault, until the pack ends.

    Attributes:
        subject: the engine's own form of the person.
        gate_reference: what the quality gate compares pictures with.
        self_description: what the customer said about themselves.
    """

    subject: Subject = field(repr=False)
    gate_reference: "GateReference" = field(repr=False)
    self_description: SelfDescription = field(default=SelfDescription(), repr=False)


@dataclass(frozen=True)
class RenderResult:
    """One picture and the verdict of the quality gate on it.

    Attributes:
        likeness: 0..1, rounded; None if the gate measured no distance.
        reasons: codes of the gate's objections.
        files: the finished files, None if the gate rejected the picture.
        quality: 0..1, rounded.
        perceptual_hash: the hash that `is_near_duplicate` compares."""

    index: int
    accepted: bool
    likeness: float | None
    reasons: list[str]
    files: "HeadshotFiles | None" = field(repr=False, default=None)
    quality: float = 0.0
    perceptual_hash: str = ""


def prepare(
    photos: Sequence[StoredPhoto],
    size: Size,
    on_progress: Progress = ignore_progress,
    self_description: SelfDescription = SelfDescription(),  # noqa: B008 - frozen
) -> PreparedSubject:
    """Prepare the person in these photos for `render`.

    photos: the best one first. At 4K, the preparation takes minutes."""
    sources = [load_source_photo(photo) for photo in photos]
    return PreparedSubject(_engine().prepare(sources, size, on_progress), _gate_reference(sources), self_description)


def should_share(size: Size) -> bool:
    """Return True if preparing a subject for this size takes so long that workers should share the result."""
    engine = _engine()
    return isinstance(engine, SubjectSerializer) and engine.is_expensive_to_prepare(size)


def serialize(prepared_subject: PreparedSubject) -> bytes:
    """Serialize a subject for another worker's `deserialize`. The bytes are as private as the photos."""
    engine = _engine()
    assert isinstance(engine, SubjectSerializer)
    return engine.serialize(prepared_subject.subject)


def deserialize(
    data: bytes,
    photos: Sequence[StoredPhoto],
    size: Size,
    self_description: SelfDescription = SelfDescription(),  # noqa: B008 - frozen
) -> PreparedSubject:
    """Restore the subject that another worker prepared from these photos.

    Raises ValueError for bytes that another release wrote."""
    engine = _engine()
    assert isinstance(engine, SubjectSerializer)
    return PreparedSubject(
        engine.deserialize(data, size),
        _gate_reference([load_source_photo(photo) for photo in photos]),
        self_description,
    )


def capacity(size: Size) -> int:
    """Return how many pictures of this size the engine renders at once."""
    return _engine().capacity(size)


def render(
    prepared_subject: PreparedSubject,
    batches: Iterable[Sequence[PlannedShot]],
    size: Size,
    on_progress: Progress,
    *,
    versions: bool,
) -> Iterator[RenderResult]:
    """Yield one result per shot, in order, each judged by the quality gate.

    Pulls the next batch while pictures of the previous one are judged and encoded, so the engine does not wait.
    versions: True to make the profile crop and the web version as well. Raises SigningFailed."""
    from pipeline.identity.likeness import ACCEPT_DISTANCE, likeness_score
    from pipeline.postprocess import PostProcessor, process

    max_distance = settings.HEADSHOTS_LIKENESS_MAX_DISTANCE or ACCEPT_DISTANCE
    post_processor = PostProcessor(
        finder(),
        embedder(),
        identity(),
        watermark_keys()[0],
        max_distance=max_distance,
        versions=versions,
        batch=capacity(size),
    )
    jobs = (
        [
            Job(prepared_subject.subject, replace(shot.as_shot(), self_description=prepared_subject.self_description))
            for shot in batch
        ]
        for batch in batches
    )
    pictures = chain.from_iterable(_engine().render(batch, size, on_progress) for batch in jobs)
    for processed in process(pictures, prepared_subject.gate_reference, post_processor):
        judgment, distance = processed.judgment, processed.judgment.likeness.distance
        yield RenderResult(
            index=processed.shot.index,
            accepted=processed.files is not None,
            likeness=None if distance is None else likeness_score(distance, calibration()),
            reasons=[reason.value for reason in judgment.reasons],
            files=processed.files,
            quality=round(judgment.quality, 2),
            perceptual_hash=processed.perceptual_hash,
        )


def is_near_duplicate(perceptual_hash: str, others: Iterable[str]) -> bool:
    """Return True if a picture is a near-duplicate of any other, judged by perceptual hash."""
    return duplicates.is_near_duplicate(perceptual_hash, others)


def read_provenance(data: bytes) -> Provenance | None:
    """Read a file's provenance in a limited process. Returns None if it cannot be read.

    Raises PhotoRefused for a file that is too large or is no JPEG, PNG or WebP. No process is started for such a file.
    """
    try:
        return read_untrusted_provenance(data, watermark_keys(), ENGINES)
    except SigningFailed:
        return None


def warm_up(queue: str) -> None:
    """Load the models of this queue's worker before its first task, so that no customer waits for them."""
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


def _gate_reference(sources: Sequence[SourcePhoto]) -> "GateReference":
    from pipeline.quality.gate import build_gate_reference

    return build_gate_reference(sources, embedder())
