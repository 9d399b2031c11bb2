"""The quality gate: accept a picture that is the person and is good, or refuse it with reasons.

Independent of whatever made the picture: dlib's embedding, the skin's tone and a few measurements, each against the
person's own photos. Whether a pack shows the same picture twice is decided by `duplicates`, picture by picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.faces.measure import measure
from pipeline.identity.embedding import FaceEmbedder, fuse
from pipeline.identity.likeness import ACCEPT_DISTANCE, OPEN_GATE, Likeness, judge_likeness
from pipeline.imaging.skin import GRAY_CHROMA, Skin, corrected_skin_of, skin_of
from pipeline.photos.coach import advise
from pipeline.photos.rules import DARK_REFUSE, OVEREXPOSED_REFUSE, SHARPNESS_REFUSE
from pipeline.types import Embedding, Measurements, Pixels, SourcePhoto

# The skin of a headshot may be lighter or darker than that of the photo, after its stated correction, by so much CIE L,
# and its hue may differ by so many degrees in Lab. Lighter is the narrower side: to lighten skin is the worse mistake.
# 240 studio pictures of ten photos: -3.5 to 1.6, -3 to 6 degrees; docs/benchmarks.md.
MAX_LIGHTER, MAX_DARKER = 8.0, 12.0
MAX_HUE_DEGREES = 12.0
# Chroma of the skin in chromas of the photo's: the same 240 have 0.90 to 1.07.
MIN_CHROMA_SHARE, MAX_CHROMA_SHARE = 0.6, 1.35
# Share of the photo's own sharpness that a headshot must keep; of a photo crisper than needed, of that.
SHARPNESS_SHARE, CRISP = 0.6, 0.4


@dataclass(frozen=True, eq=False)
class GateReference:
    """What every picture of a person is compared with. Private like a photo: memory only.

    skins: of each photo after the stated correction; sharpness: of the sharpest one."""

    embedding: Embedding = field(repr=False)
    skins: tuple[Skin, ...] = field(repr=False)
    sharpness: float


@dataclass(frozen=True)
class Drift:
    """How far the skin is from the photo's: CIE L (above 0: lighter), degrees of hue, and its chroma in the photo's.

    hue_degrees and chroma_share are None where one of the two is gray."""

    lightness: float
    hue_degrees: float | None
    chroma_share: float | None


@dataclass(frozen=True)
class Judgment:
    """What the gate says of one picture: `reasons` against it, the worst first.

    quality: 0..1 of a picture with exactly one face, to rank by; drift: None without one."""

    accepted: bool
    reasons: tuple[Reason, ...]
    likeness: Likeness
    quality: float = 0.0
    drift: Drift | None = None


def build_gate_reference(photos: Sequence[SourcePhoto], embedder: FaceEmbedder) -> GateReference:
    """Build the reference of one person from their photos. Raises ValueError without a photo."""
    measured = [measure(photo.pixels, photo.face) for photo in photos]
    embeddings = [embedder.embed(photo.pixels, photo.face) for photo in photos]
    return GateReference(
        fuse(embeddings, [max(1, advise(each).score) for each in measured]),
        tuple(corrected_skin_of(photo.pixels, photo.face) for photo in photos),
        max(each.sharpness for each in measured),
    )


def judge_picture(
    pixels: Pixels,
    gate_reference: GateReference,
    finder: FaceFinder,
    embedder: FaceEmbedder,
    *,
    monochrome: bool = False,
    max_distance: float = ACCEPT_DISTANCE,
) -> Judgment:
    """What the gate says of a picture, as large as a page shows it: about 1,200 px do, more only cost time.

    OPEN_GATE as max_distance accepts everything; the rest still tells the truth. Safe in several threads at once."""
    likeness = judge_likeness(pixels, gate_reference.embedding, finder, embedder, max_distance)
    if likeness.face is None or likeness.distance is None:
        return Judgment(likeness.accepted, likeness.reasons, likeness)
    measured = measure(pixels, likeness.face)
    seen = skin_of(pixels, likeness.face)
    drift = min((drift_between(skin, seen) for skin in gate_reference.skins), key=_drift_size)
    reasons = (*likeness.reasons, *_quality_reasons(measured, gate_reference), *_color_reasons(drift, monochrome))
    accepted = not reasons or max_distance == OPEN_GATE
    return Judgment(accepted, reasons, likeness, advise(measured).score / 100, drift)


def drift_between(photo: Skin, picture: Skin) -> Drift:
    """How far the skin of a picture is from the photo's."""
    lightness = picture.lightness - photo.lightness
    if photo.chroma < GRAY_CHROMA:
        return Drift(lightness, None, None)
    turn = (picture.hue_degrees - photo.hue_degrees + 180) % 360 - 180
    return Drift(lightness, None if picture.chroma < GRAY_CHROMA else turn, picture.chroma / photo.chroma)


def _quality_reasons(measured: Measurements, gate_reference: GateReference) -> list[Reason]:
    min_sharpness = max(SHARPNESS_REFUSE, SHARPNESS_SHARE * min(gate_reference.sharpness, CRISP))
    rules = (
        (Reason.TOO_BLURRY, measured.sharpness < min_sharpness),
        (Reason.TOO_DARK, measured.lightness_p95 < DARK_REFUSE),
        (Reason.OVEREXPOSED, measured.overexposed_share > OVEREXPOSED_REFUSE),
    )
    return [reason for reason, broken in rules if broken]


def _color_reasons(drift: Drift, monochrome: bool) -> list[Reason]:
    """Lightness always; hue and chroma of color pictures of people whose photo is one."""
    off_tone = not -MAX_DARKER <= drift.lightness <= MAX_LIGHTER
    if monochrome or drift.chroma_share is None:
        return [Reason.SKIN_TONE] if off_tone else []
    off_tone |= drift.hue_degrees is None or abs(drift.hue_degrees) > MAX_HUE_DEGREES
    off_tone |= drift.chroma_share < MIN_CHROMA_SHARE
    rules = ((Reason.SKIN_TONE, off_tone), (Reason.OVERSATURATED, drift.chroma_share > MAX_CHROMA_SHARE))
    return [reason for reason, broken in rules if broken]


def _drift_size(drift: Drift) -> float:
    """To find the photo that a picture was made from."""
    return abs(drift.lightness) / MAX_LIGHTER + abs(drift.hue_degrees or 0) / MAX_HUE_DEGREES
