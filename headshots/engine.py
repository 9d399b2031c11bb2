"""The product's only door to the pipeline: bytes and plain values in, bytes and plain values out.

Everything heavy is imported where it is used: the web process loads no model and no image library but Pillow.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from django.conf import settings

from pipeline import coach, intake, photo_rules
from pipeline.device import DeviceState, look_at
from pipeline.doctor import examine
from pipeline.engines import DRAWING, OFFERED, EngineName, choose_engine, create_engine
from pipeline.engines.instantid.options import InstantIDOptions, needed_weights
from pipeline.errors import Cancelled, DeviceLost, PhotoRefused, PipelineError, Reason
from pipeline.face_files import crop_face, pack_faces, unpack_faces
from pipeline.shot_list import load_styles, plan_shots
from pipeline.shot_list import reshoot as _reshoot
from pipeline.types import (
    PREVIEW,
    AgeBand,
    Embedding,
    Engine,
    Framing,
    Hair,
    Job,
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
from pipeline.weights import CATALOGUE, DEFAULT_DIR, LicencePolicy, Weights, load_catalogue

if TYPE_CHECKING:
    from pipeline.faces.embed import FaceEmbedder
    from pipeline.faces.find import FaceFinder
    from pipeline.finish import Marks

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
    "Person",
    "PersonKind",
    "PhotoRefused",
    "PipelineError",
    "PlannedShot",
    "Reason",
    "SeenPhoto",
    "Sitter",
    "Size",
    "StoredPhoto",
    "advise",
    "capacity",
    "check",
    "clean_upload",
    "crop_faces",
    "device",
    "diagnose",
    "draws_new_pictures",
    "engine_name",
    "judge",
    "load_styles",
    "plan",
    "premium_size",
    "prepare",
    "read_marks",
    "refusals",
    "relevant_faces",
    "render",
    "reshoot",
    "style_from",
    "tips_beside",
    "warm_up",
    "who_is_who",
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


@dataclass(frozen=True)
class SeenPhoto:
    """One photo out of the vault: its JPEG, the faces in it (npz), what they measured, and who of them is looked at."""

    photo: bytes = field(repr=False)
    faces: bytes = field(repr=False)
    measurements: list[dict[str, float]]
    candidates: list[int]


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
    """One picture and what the gate says of it: `likeness` 0..1 rounded, `reasons` why it was not accepted."""

    index: int
    jpeg: bytes = field(repr=False)
    accepted: bool
    likeness: float | None
    reasons: list[str]


@dataclass(frozen=True)
class Diagnosis:
    """What the pipeline's doctor says: whether the engine that is set can run, as plain values and as lines."""

    ready: bool
    report: dict[str, object]
    lines: list[str]


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


def advise(measurements: dict[str, float]) -> tuple[int, list[str]]:
    """How good a photo is by this face, 0 to 100, and the codes of the one or two things that would help most."""
    advice = coach.advise(Measurements(**measurements))
    return advice.score, [tip.value for tip in advice.tips]


def tips_beside(tips: Sequence[str], reasons: Sequence[str]) -> list[str]:
    """The tips that say something which the reasons of the verdict do not say already."""
    said = {coach.SAID_BY.get(Reason(reason)) for reason in reasons}
    return [tip for tip in tips if coach.Tip(tip) not in said]


def relevant_faces(measurements: Sequence[dict[str, float]]) -> list[int]:
    """Indices of the faces in a photo that may be the person's: those that are not in the background."""
    return photo_rules.relevant_faces([Measurements(**face) for face in measurements])


def crop_faces(photo: bytes, faces: bytes) -> list[bytes]:
    """A small JPEG of each of these faces (npz) of a cleaned photo."""
    return [crop_face(photo, face.box) for face in unpack_faces(faces)]


def who_is_who(photos: Sequence[SeenPhoto]) -> list[dict[int, int]]:
    """Everybody in these photos, whoever is in most first: index of the photo -> index of their face in it.

    The embeddings live in this call alone."""
    from pipeline.faces.cluster import SeenFace, cluster_faces

    seen = []
    for number, photo in enumerate(photos):
        pixels, faces = intake.load_pixels(photo.photo), unpack_faces(photo.faces)
        for index in photo.candidates:
            score, _ = advise(photo.measurements[index])
            seen.append(SeenFace(number, index, _embedder().embed(pixels, faces[index]), max(1, score) / 100))
    return [{face.photo: face.face for face in cluster.faces} for cluster in cluster_faces(seen)]


def plan(styles: Sequence[Style], count: int, seed: int) -> list[PlannedShot]:
    """The shots of a pack, distinct, in order. Raises ValueError when so many cannot be made of the styles."""
    return [
        PlannedShot(shot.index, shot.seed, shot.style, shot.framing.value, shot.light.value)
        for shot in plan_shots(styles, count, seed)
    ]


def reshoot(shot: PlannedShot, attempt: int) -> int:
    """The seed with which a refused shot is tried again."""
    return _reshoot(shot.as_shot(), attempt).seed


def premium_size(long_edge: int) -> Size:
    """Four by five, as the preview, with that long edge rounded down to what divides evenly."""
    tall = long_edge // 40 * 40
    return Size(tall * 4 // 5, tall)


def style_from(*, name: str, title: str, recipe: dict[str, object]) -> Style:
    """A look out of the database. Raises TypeError when the recipe has a word the pipeline does not know."""
    words = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
    return Style(name=name, title=title, **words)  # type: ignore[arg-type]


def engine_name() -> str:
    """The name of the engine that makes the pictures here; nothing is loaded, the render worker alone does that."""
    name = _name()
    return choose_engine(_open_weights()) if name == "auto" else name


def device() -> DeviceState:
    """What this process' engine runs on."""
    name = engine_name()
    return look_at(settings.HEADSHOTS_INSTANTID_DEVICE if name == "instantid" else "cpu")


def draws_new_pictures() -> bool:
    """Whether the engine here draws the person anew, so that it matters what they say about themselves."""
    return engine_name() in DRAWING


def prepare(
    photos: Sequence[StoredPhoto],
    size: Size,
    on_progress: Progress = ignore_progress,
    person: Person = Person(),  # noqa: B008 - frozen
) -> Sitter:
    """The person in these photos, best first, ready for `render`. At 4K it takes minutes."""
    sources = [_source(photo) for photo in photos]
    reference = _embedder().embed(sources[0].pixels, sources[0].face)
    return Sitter(subject=_engine().prepare(sources, size, on_progress), reference=reference, person=person)


def capacity(size: Size) -> int:
    """How many pictures of this size are made at once."""
    return _engine().capacity(size)


def render(sitter: Sitter, shots: Sequence[PlannedShot], size: Size, on_progress: Progress) -> Iterator[Finished]:
    """One finished picture a shot, in order, each held against the person by the likeness gate."""
    from pipeline.finish import encode
    from pipeline.likeness import ACCEPT_DISTANCE, judge_likeness, likeness_score

    max_distance = settings.HEADSHOTS_LIKENESS_MAX_DISTANCE or ACCEPT_DISTANCE
    jobs = [Job(sitter.subject, replace(shot.as_shot(), person=sitter.person)) for shot in shots]
    for picture in _engine().render(jobs, size, on_progress):
        likeness = judge_likeness(picture.pixels, sitter.reference, _finder(), _embedder(), max_distance)
        yield Finished(
            index=picture.job.shot.index,
            jpeg=encode(picture.pixels, picture.digital_source),
            accepted=likeness.accepted,
            likeness=None if likeness.distance is None else likeness_score(likeness.distance),
            reasons=list(likeness.reasons),
        )


def read_marks(data: bytes) -> "Marks | None":
    """What a file says about how it was made, read in a limited process; None for what is no picture."""
    from pipeline.errors import SigningFailed
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
        _engine(), _finder(), _embedder()


def diagnose() -> Diagnosis:
    """A look at engines and weights with these settings; hashes every file. Raises PipelineError over a bad one."""
    found = examine(_open_weights(), _options(), _name())
    return Diagnosis(found.ready, found.as_json(), found.lines())


def refusals() -> list[str]:
    """Why the engine that is set must not run with these settings, found without touching a weight."""
    name, options = _name(), _options()
    if name not in get_args(EngineName):
        return [f"There is no engine called {name!r}; known: {', '.join(OFFERED)} (HEADSHOTS_ENGINE)."]
    try:
        weights = _open_weights()
        chosen = choose_engine(weights) if name == "auto" else name
        if chosen != "instantid":
            return []
        if options.fault:
            return [options.fault]
        wanted = [weights.catalogue.weights[each] for each in needed_weights(weights, options)]
        return [fault for weight in wanted if (fault := weights.licences.fault(weight))]
    except PipelineError as error:
        return [str(error)]


def _name() -> EngineName:
    name: EngineName = settings.HEADSHOTS_ENGINE
    return name


def _options() -> InstantIDOptions:
    return InstantIDOptions(
        checkpoint=settings.HEADSHOTS_INSTANTID_CHECKPOINT,
        device=settings.HEADSHOTS_INSTANTID_DEVICE,
        tricks=tuple(settings.HEADSHOTS_INSTANTID_TRICKS),
        steps=settings.HEADSHOTS_INSTANTID_STEPS,
        canvas_pixels=settings.HEADSHOTS_INSTANTID_CANVAS_PIXELS,
        max_batch=settings.HEADSHOTS_INSTANTID_MAX_BATCH,
    )


def _open_weights() -> Weights:
    own = settings.HEADSHOTS_WEIGHTS_CATALOGUE
    return Weights(
        Path(settings.HEADSHOTS_WEIGHTS_DIR or DEFAULT_DIR),
        CATALOGUE.with_changes(load_catalogue(own)) if own else CATALOGUE,
        LicencePolicy(settings.HEADSHOTS_LIVE_PAYMENTS, settings.HEADSHOTS_LICENCE_STATEMENT),
    )


@cache
def _weights() -> Weights:
    return _open_weights()


@cache
def _engine() -> Engine:
    return create_engine(_name(), _weights(), _options(), _tell_progress)


def _tell_progress(share: float) -> None:
    log.info("engine: %d %% loaded", round(100 * share))


@cache
def _finder() -> "FaceFinder":
    from pipeline.faces.find import FaceFinder

    return FaceFinder(_weights())


@cache
def _embedder() -> "FaceEmbedder":
    from pipeline.faces.embed import FaceEmbedder

    return FaceEmbedder(_weights())


def _source(stored: StoredPhoto) -> SourcePhoto:
    faces = unpack_faces(stored.faces)
    bystanders = tuple(face for index, face in enumerate(faces) if index != stored.chosen)
    return SourcePhoto(intake.load_pixels(stored.photo), faces[stored.chosen], bystanders)
