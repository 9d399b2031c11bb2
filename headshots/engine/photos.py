"""Photos of people: read, checked, advised on, and compared with each other."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from headshots.engine.configured import open_weights
from pipeline import coach, intake, photo_rules
from pipeline.errors import Reason
from pipeline.face_files import crop_face, pack_faces, unpack_faces
from pipeline.types import Measurements, SourcePhoto
from pipeline.weights import Weights

if TYPE_CHECKING:
    from pipeline.faces.embed import FaceEmbedder
    from pipeline.faces.find import FaceFinder

# Every code that `advise` may give.
TIPS = tuple(tip.value for tip in coach.Tip)

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


def clean_upload(data: bytes) -> bytes:
    """The photo re-encoded from its pixels: upright, sRGB, no metadata. Raises PhotoRefused."""
    with _decoding:
        return intake.clean_photo(data).data


def check(photo: bytes, *, ask_first: bool = False) -> CheckedPhoto:
    """Find and measure the faces of a cleaned photo and judge it; `ask_first`: the person wants to pick their face."""
    from pipeline.check import check_photo

    pixels = intake.load_pixels(photo)
    found = check_photo(pixels, finder(), ask_first=ask_first)
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
            seen.append(SeenFace(number, index, embedder().embed(pixels, faces[index]), max(1, score) / 100))
    return [{face.photo: face.face for face in cluster.faces} for cluster in cluster_faces(seen)]


def source_of(stored: StoredPhoto) -> SourcePhoto:
    faces = unpack_faces(stored.faces)
    bystanders = tuple(face for index, face in enumerate(faces) if index != stored.chosen)
    return SourcePhoto(intake.load_pixels(stored.photo), faces[stored.chosen], bystanders)


@cache
def weights() -> Weights:
    return open_weights()


@cache
def finder() -> "FaceFinder":
    from pipeline.faces.find import FaceFinder

    return FaceFinder(weights())


@cache
def embedder() -> "FaceEmbedder":
    from pipeline.faces.embed import FaceEmbedder

    return FaceEmbedder(weights())
