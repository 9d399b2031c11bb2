"""Check, advise on and compare photos of people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from headshots.engine.configuration import open_weights
from pipeline.errors import Reason
from pipeline.faces.serialization import crop_face, pack_faces, unpack_faces, unpack_measurements
from pipeline.photos import coach, intake, rules
from pipeline.types import SourcePhoto
from pipeline.weights import Weights

if TYPE_CHECKING:
    from pipeline.faces.find import FaceFinder
    from pipeline.identity.embedding import FaceEmbedder

# Every code that `coach.advise` can return.
TIPS = tuple(tip.value for tip in coach.Tip)
# The code of a photo that the studio engine can only enlarge plainly at 4K.
SHARPER_FOR_4K = coach.Tip.SHARPER_FOR_4K.value


@dataclass(frozen=True)
class CheckedPhoto:
    """The result of the check of one photo.

    `score` and `tips` refer to the person's face, or to the widest face while the person's is unknown.

    Attributes:
        face: index of the person's face, None while unknown.
        score: how good the photo is, 0..100; None without a face.
        tips: codes of what would help most; empty without a face.
        faces: boxes, meshes and measurements of all faces (npz). Private.
        crops: one JPEG per face if the person has to choose, otherwise empty. Private."""

    status: str
    reasons: list[str]
    face: int | None
    face_count: int
    score: int | None
    tips: list[str]
    faces: bytes = field(repr=False)
    crops: list[bytes] = field(repr=False)


@dataclass(frozen=True)
class JudgedFace:
    """The verdict on a photo for one of its faces.

    Attributes:
        reasons: reason codes of the verdict.
        score: how good the photo is for this face, 0..100.
        tips: codes of the one or two things that would help most."""

    status: str
    reasons: list[str]
    score: int
    tips: list[str]


@dataclass(frozen=True)
class StoredPhoto:
    """A decrypted photo: its JPEG, the faces found in it (npz) and the index of the person's face."""

    photo: bytes = field(repr=False)
    faces: bytes = field(repr=False)
    chosen: int


@dataclass(frozen=True)
class SeenPhoto:
    """A decrypted photo: its JPEG, the faces found in it (npz) and the indices of the faces to compare."""

    photo: bytes = field(repr=False)
    faces: bytes = field(repr=False)
    candidates: list[int]


def clean_upload(data: bytes) -> bytes:
    """Return the photo re-encoded from its pixels: upright, sRGB, no metadata.

    Starts a process that takes up to 1.5 GB. Callers limit the number of such processes. Raises PhotoRefused."""
    return intake.clean_photo(data).data


def check(photo: bytes, *, ask_first: bool = False, is_adult: bool = False) -> CheckedPhoto:
    """Find and measure the faces of a cleaned photo, and judge the photo.

    Args:
        photo: the cleaned photo.
        ask_first: the person wants to choose their face if there are several.
        is_adult: the person is known to be an adult, so the photo is not refused as a child's."""
    from pipeline.photos.check import check_photo

    pixels = intake.load_pixels(photo)
    found = check_photo(pixels, finder(), ask_first=ask_first, is_adult=is_adult)
    crops = [crop_face(photo, face.box) for face in found.faces] if found.verdict.status == "choose_face" else []
    advice = coach.advise(found.measurements[found.verdict.face or 0]) if found.measurements else None
    return CheckedPhoto(
        status=found.verdict.status.value,
        reasons=[reason.value for reason in found.verdict.reasons],
        face=found.verdict.face,
        face_count=len(found.faces),
        score=advice.score if advice else None,
        tips=[tip.value for tip in advice.tips] if advice else [],
        faces=pack_faces(found.faces, found.measurements),
        crops=crops,
    )


def judge(faces: bytes, chosen: int) -> JudgedFace:
    """Judge a photo after the person has chosen their face by its index in `faces` (npz). Raises FaceNotFound."""
    measured = unpack_measurements(faces)
    verdict = rules.judge(measured, chosen=chosen)
    advice = coach.advise(measured[chosen])
    reasons, tips = [reason.value for reason in verdict.reasons], [tip.value for tip in advice.tips]
    return JudgedFace(verdict.status.value, reasons, advice.score, tips)


def additional_tips(tips: Sequence[str], reasons: Sequence[str]) -> list[str]:
    """Return the tips that do not repeat a reason of the verdict, in order."""
    said = {coach.TIP_FOR_REASON.get(Reason(reason)) for reason in reasons}
    return [tip for tip in tips if coach.Tip(tip) not in said]


def relevant_faces(faces: bytes) -> list[int]:
    """Return the indices of the faces (npz) that can be the person's.

    Excludes faces in the background that the rules refuse."""
    return rules.relevant_faces(unpack_measurements(faces))


def crop_faces(photo: bytes, faces: bytes) -> list[bytes]:
    """Return one small JPEG per face (npz) of a cleaned photo."""
    return [crop_face(photo, face.box) for face in unpack_faces(faces)]


def group_faces(photos: Sequence[SeenPhoto]) -> list[dict[int, int]]:
    """Group the candidate faces of these photos by person.

    Returns one dictionary per person: index of the photo -> index of the face. The person in the most photos is first.
    The embeddings exist only during this call."""
    from pipeline.identity.cluster import SeenFace, cluster_faces

    seen = []
    for number, photo in enumerate(photos):
        pixels, faces = intake.load_pixels(photo.photo), unpack_faces(photo.faces)
        measured = unpack_measurements(photo.faces)
        for index in photo.candidates:
            weight = max(1, coach.advise(measured[index]).score) / 100
            seen.append(SeenFace(number, index, embedder().embed(pixels, faces[index]), weight))
    return [{face.photo: face.face for face in cluster.faces} for cluster in cluster_faces(seen)]


def load_source_photo(stored: StoredPhoto) -> SourcePhoto:
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
    from pipeline.identity.embedding import FaceEmbedder

    return FaceEmbedder(weights())
