"""The quality gate: accept a picture that shows the person and has good quality, or refuse it with reasons.

The gate works with every engine. It compares the picture with the person's photos by face embedding, skin tone and a
few measurements. Limits for skin tone and sharpness depend on where the pixels of the face come from: composed pictures
show those of a photo, and an engine that draws makes new ones. The module `duplicates` finds near-duplicates within a
pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.faces.measure import measure
from pipeline.identity.embedding import FaceEmbedder, fuse
from pipeline.identity.likeness import ACCEPT_DISTANCE, OPEN_GATE, Likeness, judge_likeness
from pipeline.imaging.skin import GRAY_CHROMA, Skin, corrected_skin_of, skin_of
from pipeline.photos.coach import advise
from pipeline.photos.rules import DARK_REFUSE, OVEREXPOSED_REFUSE, SHARPNESS_REFUSE
from pipeline.quality.drawn import ToneShift, shift_into_band, skin_difference, skin_fault
from pipeline.types import Embedding, Measurements, Pixels, SourcePhoto

# Limits for the skin of a composed headshot, compared with the corrected photo. Lightness is CIE L, and hue is the
# angle in Lab in degrees. The limit for lighter skin is narrower, because lightening skin is the worse mistake. For 240
# studio pictures of ten photos, lightness differs by -3.5 to 1.6 and hue by -3 to 6 degrees (docs/benchmarks.md).
MAX_LIGHTER, MAX_DARKER = 8.0, 12.0
MAX_HUE_DEGREES = 12.0
# Chroma of the skin, relative to the photo's chroma. The same 240 pictures have 0.90 to 1.07.
MIN_CHROMA_SHARE, MAX_CHROMA_SHARE = 0.6, 1.35
# Fraction of the photo's sharpness that a composed headshot must preserve. Sharpness of the photo above CRISP does not
# count.
SHARPNESS_SHARE, CRISP = 0.6, 0.4


@dataclass(frozen=True, eq=False)
class GateReference:
    """Data about a person, with which every picture is compared.

    The data is as private as a photo and is kept in memory only.

    Attributes:
        embedding: combined embedding of all photos.
        skins: skin of each photo, after the correction of skin tone.
        sharpness: sharpness of the sharpest photo.
        second: combined embedding of the second network, or None if it is not installed.
    """

    embedding: Embedding = field(repr=False)
    skins: tuple[Skin, ...] = field(repr=False)
    sharpness: float
    second: Embedding | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Drift:
    """The difference between the skin in a picture and in the photo.

    Attributes:
        lightness: difference in CIE L, above 0 if the picture is lighter.
        hue_degrees: difference in hue, or None if either skin is gray.
        chroma_share: chroma of the picture divided by the chroma of the photo, or None if the photo's skin is gray.
    """

    lightness: float
    hue_degrees: float | None
    chroma_share: float | None


@dataclass(frozen=True)
class Judgment:
    """The decision of the quality gate about one picture.

    Attributes:
        accepted: True if the picture is accepted.
        reasons: reasons against the picture, in the order likeness, quality, color.
        likeness: result of the likeness check.
        quality: 0..1, used for ranking. 0 unless the picture shows exactly one face.
        drift: change of the skin. None unless the picture shows exactly one face.
        tone_shift: correction that the picture needs before it is used, or None. Drift and quality include it.
    """

    accepted: bool
    reasons: tuple[Reason, ...]
    likeness: Likeness
    quality: float = 0.0
    drift: Drift | None = None
    tone_shift: ToneShift | None = None


def build_gate_reference(photos: Sequence[SourcePhoto], embedder: FaceEmbedder) -> GateReference:
    """Build the reference of one person from their photos.

    Raises ValueError if there are no photos."""
    measured = [measure(photo.pixels, photo.face) for photo in photos]
    scores = [max(1, advise(each).score) for each in measured]
    second = embedder.second
    return GateReference(
        fuse([embedder.embed(photo.pixels, photo.face) for photo in photos], scores),
        tuple(corrected_skin_of(photo.pixels, photo.face) for photo in photos),
        max(each.sharpness for each in measured),
        None if second is None else fuse([second.embed(photo.pixels, photo.face) for photo in photos], scores),
    )


def judge_picture(
    pixels: Pixels,
    gate_reference: GateReference,
    finder: FaceFinder,
    embedder: FaceEmbedder,
    *,
    monochrome: bool = False,
    drawn: bool = False,
    max_distance: float = ACCEPT_DISTANCE,
) -> Judgment:
    """Judge one picture. Safe to call from several threads.

    Args:
        pixels: the picture. A copy with a long edge of about 1,200 px is sufficient. A larger one takes longer.
        gate_reference: data of the person.
        finder: face finder.
        embedder: computes face embeddings.
        monochrome: True if the picture is meant to be black and white.
        drawn: True if the engine drew the face, see `drawn.is_drawn`.
        max_distance: largest accepted distance to the person. OPEN_GATE accepts every picture but still measures it.
    """
    second = gate_reference.second if drawn else None
    likeness = judge_likeness(pixels, gate_reference.embedding, finder, embedder, max_distance, second)
    if likeness.face is None or likeness.distance is None:
        return Judgment(likeness.accepted, likeness.reasons, likeness)
    seen = skin_of(pixels, likeness.face)
    judge = _judge_drawn if drawn else _judge_composed
    found = judge(pixels, seen, likeness, gate_reference, monochrome)
    return replace(found, accepted=not found.reasons or max_distance == OPEN_GATE)


def _judge_composed(
    pixels: Pixels, seen: Skin, likeness: Likeness, gate_reference: GateReference, monochrome: bool
) -> Judgment:
    """Judge a picture that shows the photo's own pixels."""
    assert likeness.face is not None
    measured = measure(pixels, likeness.face)
    drift = min((drift_between(skin, seen) for skin in gate_reference.skins), key=_drift_size)
    min_sharpness = max(SHARPNESS_REFUSE, SHARPNESS_SHARE * min(gate_reference.sharpness, CRISP))
    reasons = (
        *likeness.reasons,
        *_quality_reasons(measured, min_sharpness),
        *_color_reasons(drift, monochrome),
    )
    return Judgment(not reasons, reasons, likeness, advise(measured).score / 100, drift)


def _judge_drawn(
    pixels: Pixels, seen: Skin, likeness: Likeness, gate_reference: GateReference, monochrome: bool
) -> Judgment:
    """Judge a picture whose face an engine drew.

    Brings the skin's lightness into the band around the photo first. What remains lowers the rank. Refuses skin that
    differs by more than that of two real photos."""
    assert likeness.face is not None
    photo = min(gate_reference.skins, key=lambda skin: skin_difference(skin, seen, monochrome=monochrome))
    shift = shift_into_band(photo, seen)
    shifted = replace(seen, lightness=seen.lightness + shift.change)
    measured = measure(shift.apply(pixels), likeness.face)
    fault = skin_fault(photo, seen, monochrome=monochrome)
    reasons = (*likeness.reasons, *_quality_reasons(measured, SHARPNESS_REFUSE), *([fault] if fault else []))
    rank = 1 - min(1.0, skin_difference(photo, shifted, monochrome=monochrome)) / 2
    return Judgment(
        not reasons, reasons, likeness, advise(measured).score / 100 * rank, drift_between(photo, shifted), shift
    )


def drift_between(photo: Skin, picture: Skin) -> Drift:
    """Return the difference between the skin in a picture and in the photo."""
    lightness = picture.lightness - photo.lightness
    if photo.chroma < GRAY_CHROMA:
        return Drift(lightness, None, None)
    turn = (picture.hue_degrees - photo.hue_degrees + 180) % 360 - 180
    return Drift(lightness, None if picture.chroma < GRAY_CHROMA else turn, picture.chroma / photo.chroma)


def _quality_reasons(measured: Measurements, min_sharpness: float) -> list[Reason]:
    rules = (
        (Reason.TOO_BLURRY, measured.sharpness < min_sharpness),
        (Reason.TOO_DARK, measured.lightness_p95 < DARK_REFUSE),
        (Reason.OVEREXPOSED, measured.overexposed_share > OVEREXPOSED_REFUSE),
    )
    return [reason for reason, broken in rules if broken]


def _color_reasons(drift: Drift, monochrome: bool) -> list[Reason]:
    """Return the reasons against the skin color.

    Lightness always counts. Hue and chroma count only if both picture and photo are in color."""
    off_tone = not -MAX_DARKER <= drift.lightness <= MAX_LIGHTER
    if monochrome or drift.chroma_share is None:
        return [Reason.SKIN_TONE] if off_tone else []
    off_tone |= drift.hue_degrees is None or abs(drift.hue_degrees) > MAX_HUE_DEGREES
    off_tone |= drift.chroma_share < MIN_CHROMA_SHARE
    rules = ((Reason.SKIN_TONE, off_tone), (Reason.OVERSATURATED, drift.chroma_share > MAX_CHROMA_SHARE))
    return [reason for reason, broken in rules if broken]


def _drift_size(drift: Drift) -> float:
    """Return the size of a drift.

    The photo with the smallest drift is probably the source of the picture."""
    return abs(drift.lightness) / MAX_LIGHTER + abs(drift.hue_degrees or 0) / MAX_HUE_DEGREES
