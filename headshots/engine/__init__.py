"""The product's only door to the pipeline: bytes and plain values in, bytes and plain values out.

Everything heavy is imported where it is used: the web process loads no model and no image library but Pillow.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from django.conf import settings

from headshots import heart
from headshots.engine.configured import (
    Diagnosis,
    calibration,
    configured_name,
    device,
    diagnose,
    draws,
    draws_new_pictures,
    engine_name,
    identity,
    options,
    refusals,
    signing_fault,
)
from headshots.engine.photos import (
    TIPS,
    CheckedPhoto,
    JudgedFace,
    SeenPhoto,
    StoredPhoto,
    check,
    clean_upload,
    crop_faces,
    embedder,
    finder,
    judge,
    relevant_faces,
    source_of,
    tips_beside,
    weights,
    who_is_who,
)
from pipeline.engines import create_engine
from pipeline.engines.doctor import DeviceState
from pipeline.errors import (
    Cancelled,
    DeviceLost,
    FaceNotFound,
    PhotoRefused,
    PipelineError,
    Reason,
    SigningFailed,
    WeightsError,
)
from pipeline.faces.serialization import describe_faces
from pipeline.quality import duplicates
from pipeline.styles.shot_list import fewest_styles, load_styles, plan_shots
from pipeline.styles.shot_list import move as _move
from pipeline.styles.shot_list import reshoot as _reshoot
from pipeline.styles.shot_list import stand_in as _stand_in
from pipeline.types import (
    PREVIEW,
    AgeBand,
    Engine,
    Framing,
    Hair,
    Job,
    KeepsSubjects,
    Light,
    Outfit,
    Person,
    PersonKind,
    Progress,
    Shot,
    Size,
    SourcePhoto,
    Style,
    Subject,
    ignore_progress,
)

if TYPE_CHECKING:
    from pipeline.files.finish import FinishedFiles
    from pipeline.files.provenance import Marks
    from pipeline.quality.gate import Standard

__all__ = [
    "PREVIEW",
    "TIPS",
    "AgeBand",
    "Cancelled",
    "CheckedPhoto",
    "DeviceLost",
    "DeviceState",
    "Diagnosis",
    "FaceNotFound",
    "Finished",
    "Hair",
    "JudgedFace",
    "Outfit",
    "Person",
    "PersonKind",
    "PhotoRefused",
    "PipelineError",
    "PlannedShot",
    "Reason",
    "SeenPhoto",
    "SigningFailed",
    "Sitter",
    "Size",
    "StoredPhoto",
    "Style",
    "WeightsError",
    "capacity",
    "check",
    "clean_upload",
    "crop_faces",
    "describe_faces",
    "device",
    "diagnose",
    "draws",
    "draws_new_pictures",
    "engine_name",
    "freeze",
    "is_twin",
    "judge",
    "keeps_sitters",
    "load_styles",
    "move",
    "plan",
    "premium_size",
    "prepare",
    "read_marks",
    "refusals",
    "relevant_faces",
    "render",
    "reshoot",
    "signing_fault",
    "style_from",
    "thaw",
    "tips_beside",
    "warm_up",
    "who_is_who",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person ready to be shot: the engine's subject, what pictures are held against, and what they said about
    themselves. Memory only."""

    subject: Subject = field(repr=False)
    standard: "Standard" = field(repr=False)
    person: Person = field(default=Person(), repr=False)


@dataclass(frozen=True)
class PlannedShot:
    """One shot as the database knows it."""

    index: int
    seed: int
    style: Style
    framing: str = Framing.CLASSIC
    light: str = Light.KEY

    def as_shot(self) -> Shot:
        """The same for the pipeline. Raises ValueError for a framing or a light that it does not know."""
        return Shot(self.index, self.style, self.seed, framing=Framing(self.framing), light=Light(self.light))


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


def plan(styles: Sequence[Style], count: int, seed: int) -> list[PlannedShot]:
    """The shots of a pack, distinct, in order. Raises ValueError when so many cannot be made of the styles."""
    return [_planned(shot) for shot in plan_shots(styles, count, seed)]


def fewest_looks(count: int) -> int:
    """How many looks, each on a set of its own, a pack of `count` distinct headshots needs."""
    return fewest_styles(count)


def reshoot(shot: PlannedShot, attempt: int) -> PlannedShot:
    """A refused shot as it is tried again: with another seed."""
    return _planned(_reshoot(shot.as_shot(), attempt))


def move(shot: PlannedShot, attempt: int, taken: Collection[tuple[str, str]]) -> PlannedShot:
    """A shot that came out like another as it is tried again: in a framing and light that are not taken on its set."""
    return _planned(_move(shot.as_shot(), attempt, taken))


def stand_in(shot: PlannedShot, attempt: int, pack: Sequence[PlannedShot]) -> PlannedShot | None:
    """A shot that the pack does not have, in place of one that fails however it is made; None when it has had all."""
    other = _stand_in(shot.as_shot(), attempt, [each.as_shot() for each in pack])
    return None if other is None else _planned(other)


def premium_size(long_edge: int) -> Size:
    """Four by five, as the preview, with that long edge rounded down to what divides evenly."""
    tall = long_edge // 40 * 40
    return Size(tall * 4 // 5, tall)


def style_from(*, name: str, title: str, recipe: dict[str, object]) -> Style:
    """A look out of the database. Raises TypeError when the recipe has a word the pipeline does not know."""
    words = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
    return Style(name=name, title=title, **words)  # type: ignore[arg-type]


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
    return create_engine(configured_name(), weights(), options(), _tell_progress)


def _tell_progress(share: float) -> None:
    heart.progress()
    log.info("engine: %d %% loaded", round(100 * share))


def _planned(shot: Shot) -> PlannedShot:
    return PlannedShot(shot.index, shot.seed, shot.style, shot.framing.value, shot.light.value)


def _standard(sources: Sequence[SourcePhoto]) -> "Standard":
    from pipeline.quality.gate import set_standard

    return set_standard(sources, embedder())
