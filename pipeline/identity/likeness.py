"""Judge whether a picture is the same person, by its distance to their photos.

Three thresholds for three questions: SAME_PERSON_DISTANCE joins faces of uploaded photos, ACCEPT_DISTANCE lets a
finished picture through, and duplicates.MIN_DISTANCE says whether two pictures of a pack are two.
"""

import math
from dataclasses import dataclass

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.identity.calibration import Calibration, built_in
from pipeline.identity.embedding import FaceEmbedder, embedding_distance
from pipeline.types import Embedding, Face, Pixels

# Mean distance up to which faces of uploaded photos are one person: wider, because who is parted by mistake is
# refused, and because a mean over several photos strays less than a pair.
SAME_PERSON_DISTANCE = 0.55
# A finished picture may be this far from the person. Error rates of both: docs/benchmarks.md.
ACCEPT_DISTANCE = 0.53
# For max_distance: measure, but let every picture through. For tests and engines that draw no faces.
OPEN_GATE = math.inf


@dataclass(frozen=True)
class Likeness:
    """What was seen of the person: distance (None unless there is exactly one face), how many faces, and the decision.

    face: the widest one; None without one."""

    distance: float | None
    faces: int
    accepted: bool
    reasons: tuple[Reason, ...] = ()
    face: Face | None = None


def judge_likeness(
    pixels: Pixels,
    reference: Embedding,
    finder: FaceFinder,
    embedder: FaceEmbedder,
    max_distance: float = ACCEPT_DISTANCE,
) -> Likeness:
    """Accepts a picture with exactly one face no further than max_distance from the reference.

    OPEN_GATE as max_distance accepts everything; distance and reasons still tell the truth."""
    faces = finder.find(pixels)
    distance = embedding_distance(embedder.embed(pixels, faces[0]), reference) if len(faces) == 1 else None
    if not faces:
        reasons: tuple[Reason, ...] = (Reason.NO_FACE,)
    elif distance is None:
        reasons = (Reason.SEVERAL_FACES,)
    else:
        reasons = () if distance <= max_distance else (Reason.NOT_ALIKE,)
    accepted = not reasons or max_distance == OPEN_GATE
    return Likeness(distance, len(faces), accepted, reasons, faces[0] if faces else None)


def likeness_score(distance: float, calibration: Calibration | None = None) -> float:
    """Calibrated probability, 0 to the calibration's cap in steps of 0.01, that faces so far apart are one person."""
    calibration = calibration or built_in()
    return round(min(calibration.cap, calibration.probability(distance)), 2)
