"""The product's only door to the pipeline: bytes and plain values in, bytes and plain values out.

Everything heavy is imported where it is used: the web process loads no model and no image library but Pillow.
"""

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from headshots import heart
from headshots.engine.configured import (
    Diagnosis,
    configured_name,
    device,
    diagnose,
    draws_new_pictures,
    engine_name,
    identity,
    open_weights,
    options,
    refusals,
    signing_fault,
)
from pipeline import distinct, intake, photo_rules
from pipeline.device import DeviceState
from pipeline.distinct import Overview
from pipeline.engines import create_engine
from pipeline.errors import Cancelled, DeviceLost, PhotoRefused, PipelineError, Reason, SigningFailed, WeightsError
from pipeline.face_files import crop_face, describe_faces, pack_faces, unpack_faces
from pipeline.shot_list import load_styles, plan_shots
from pipeline.shot_list import move as _move
from pipeline.shot_list import reshoot as _reshoot
from pipeline.types import (
    PREVIEW,
    AgeBand,
    Embedding,
    Engine,
    Framing,
    Hair,
    Job,
    KeepsSubjects,
    Light,
    Measurements,
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
from pipeline.weights import Weights

if TYPE_CHECKING:
    from pipeline.faces.embed import FaceEmbedder
    from pipeline.faces.find import FaceFinder
    from pipeline.finish import FinishedFiles, Marks

__all__ = [
    "PREVIEW",
    "AgeBand",
    "Cancelled",
    "CheckedPhoto",
    "DeviceLost",
    "DeviceState",
    "Diagnosis",
    "Finished",
    "Hair",
    "Outfit",
    "Overview",
    "Person",
    "PersonKind",
    "PhotoRefused",
    "PipelineError",
    "PlannedShot",
    "Reason",
    "SigningFailed",
    "Sitter",
    "Size",
    "StoredPhoto",
    "WeightsError",
    "capacity",
    "check",
    "clean_upload",
    "describe_faces",
    "device",
    "diagnose",
    "draws_new_pictures",
    "engine_name",
    "freeze",
    "glance_at",
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
    "render",
    "reshoot",
    "signing_fault",
    "strangers",
    "style_from",
    "thaw",
    "warm_up",
]

log = logging.getLogger(__name__)

# A decoder may take 1.5 GB: the third upload at the same moment waits its turn.
_decoding = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class CheckedPhoto:
    """What the check says of one photo. `faces` is private (boxes and meshes, npz), and so are the crops (JPEG)."""

    status: str
    reasons: list[str]
    face: int | None
    measurements: list[dict[str, float]]
    faces: bytes = field(repr=False)
    crops: list[bytes] = field(repr=False)


@dataclass(frozen=True)
class StoredPhoto:
    """One photo out of the vault: its JPEG, the faces found in it (npz) and which one is the person's."""

    photo: bytes = field(repr=False)
    faces: bytes = field(repr=False)
    chosen: int


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person ready to be shot: the engine's subject, the embedding that pictures are held against, and what they
    said about themselves. Memory only."""

    subject: Subject = field(repr=False)
    reference: Embedding = field(repr=False)
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
    """One picture and what the gate says of it: `likeness` 0..1 rounded, `reasons` why it was not accepted.

    files: what is handed out, None when it was not accepted. glance: what others are compared with."""

    index: int
    accepted: bool
    likeness: float | None
    reasons: list[str]
    files: "FinishedFiles | None" = field(repr=False, default=None)
    glance: Overview | None = field(repr=False, default=None)


def clean_upload(data: bytes) -> bytes:
    """The photo re-encoded from its pixels: upright, sRGB, no metadata. Raises PhotoRefused."""
    with _decoding:
        return intake.clean_photo(data).data


def check(photo: bytes) -> CheckedPhoto:
    """Find and measure the faces of a cleaned photo and judge it."""
    from pipeline.check import check_photo

    pixels = intake.load_pixels(photo)
    found = check_photo(pixels, _finder())
    crops = [crop_face(photo, face.box) for face in found.faces] if found.verdict.status == "choose_face" else []
    return CheckedPhoto(
        status=found.verdict.status.value,
        reasons=[reason.value for reason in found.verdict.reasons],
        face=found.verdict.face,
        measurements=[asdict(face) for face in found.measurements],
        faces=pack_faces(found.faces),
        crops=crops,
    )


def judge(measurements: Sequence[dict[str, float]], chosen: int) -> tuple[str, list[str]]:
    """Status and reason codes of a photo whose person has said which face is theirs."""
    verdict = photo_rules.judge([Measurements(**face) for face in measurements], chosen=chosen)
    return verdict.status.value, [reason.value for reason in verdict.reasons]


def strangers(photos: Sequence[StoredPhoto]) -> list[int]:
    """Which of these photos (by index) do not show the person of the first one. Embeddings stay in memory."""
    from pipeline.faces.embed import embedding_distance
    from pipeline.likeness import ACCEPT_DISTANCE

    sources = [_source(photo) for photo in photos]
    embeddings = [_embedder().embed(source.pixels, source.face) for source in sources]
    distances = [embedding_distance(embeddings[0], embedding) for embedding in embeddings]
    return [index for index, distance in enumerate(distances) if distance > ACCEPT_DISTANCE]


def plan(styles: Sequence[Style], count: int, seed: int) -> list[PlannedShot]:
    """The shots of a pack, distinct, in order. Raises ValueError when so many cannot be made of the styles."""
    return [_planned(shot) for shot in plan_shots(styles, count, seed)]


def reshoot(shot: PlannedShot, attempt: int) -> PlannedShot:
    """A refused shot as it is tried again: with another seed."""
    return _planned(_reshoot(shot.as_shot(), attempt))


def move(shot: PlannedShot, attempt: int, taken: Collection[tuple[str, str]]) -> PlannedShot:
    """A shot that came out like another as it is tried again: in a framing and light that are not taken on its set."""
    return _planned(_move(shot.as_shot(), attempt, taken))


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
    sources = [_source(photo) for photo in photos]
    return Sitter(_engine().prepare(sources, size, on_progress), _reference(sources), person)


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
    return Sitter(maker.thaw(data, size), _reference([_source(photos[0])]), person)


def capacity(size: Size) -> int:
    """How many pictures of this size are made at once."""
    return _engine().capacity(size)


def render(
    sitter: Sitter, shots: Sequence[PlannedShot], size: Size, on_progress: Progress, *, versions: bool
) -> Iterator[Finished]:
    """One finished picture a shot, in order, each held against the person by the likeness gate.

    versions: whether profile crop and web version are wanted as well. Raises SigningFailed."""
    from pipeline.darkroom import Darkroom, develop
    from pipeline.likeness import ACCEPT_DISTANCE, likeness_score

    max_distance = settings.HEADSHOTS_LIKENESS_MAX_DISTANCE or ACCEPT_DISTANCE
    darkroom = Darkroom(_finder(), _embedder(), identity(), max_distance=max_distance, versions=versions)
    jobs = [Job(sitter.subject, replace(shot.as_shot(), person=sitter.person)) for shot in shots]
    for developed in develop(_engine().render(jobs, size, on_progress), sitter.reference, darkroom):
        likeness, files = developed.likeness, developed.files
        yield Finished(
            index=developed.shot.index,
            accepted=files is not None,
            likeness=None if likeness.distance is None else likeness_score(likeness.distance),
            reasons=[reason.value for reason in likeness.reasons],
            files=files,
            glance=developed.look.whole if developed.look else None,
        )


def glance_at(jpeg: bytes) -> Overview:
    """What pictures are compared by, of a finished one."""
    return distinct.overview(intake.load_pixels(jpeg))


def is_twin(glance: Overview, others: Iterable[Overview]) -> bool:
    """Whether a picture looks like one of the others. Whatever tells headshots of a pack apart is asked here."""
    return distinct.is_twin(glance, others)


def read_marks(data: bytes) -> "Marks | None":
    """What a file says about how it was made, read in a limited process; None for what is no picture."""
    from pipeline.marks import read_marks_apart

    try:
        return read_marks_apart(data)
    except SigningFailed:
        return None


def warm_up(queue: str) -> None:
    """Load what this queue's worker needs before its first task, so that nobody waits for it."""
    if queue == "default":
        _finder()
    elif queue == "render":
        _engine(), _finder(), _embedder(), identity()


@cache
def _weights() -> Weights:
    return open_weights()


@cache
def _engine() -> Engine:
    return create_engine(configured_name(), _weights(), options(), _tell_progress)


def _tell_progress(share: float) -> None:
    heart.progress()
    log.info("engine: %d %% loaded", round(100 * share))


@cache
def _finder() -> "FaceFinder":
    from pipeline.faces.find import FaceFinder

    return FaceFinder(_weights())


@cache
def _embedder() -> "FaceEmbedder":
    from pipeline.faces.embed import FaceEmbedder

    return FaceEmbedder(_weights())


def _planned(shot: Shot) -> PlannedShot:
    return PlannedShot(shot.index, shot.seed, shot.style, shot.framing.value, shot.light.value)


def _reference(sources: Sequence[SourcePhoto]) -> Embedding:
    return _embedder().embed(sources[0].pixels, sources[0].face)


def _source(stored: StoredPhoto) -> SourcePhoto:
    faces = unpack_faces(stored.faces)
    bystanders = tuple(face for index, face in enumerate(faces) if index != stored.chosen)
    return SourcePhoto(intake.load_pixels(stored.photo), faces[stored.chosen], bystanders)
