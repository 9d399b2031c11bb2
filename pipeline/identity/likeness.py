"""Judge if a picture shows the person, by its distance to the person's photos.

There are three thresholds. SAME_PERSON_DISTANCE joins faces of uploaded photos. ACCEPT_DISTANCE accepts a finished
picture. duplicates.MIN_DISTANCE separates the pictures of a pack.
"""

import math
from dataclasses import dataclass

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.identity.calibration import Calibration, built_in
from pipeline.identity.embedding import FaceEmbedder, embedding_distance
from pipeline.types import Embedding, Face, Pixels

# Mean distance up to which faces of uploaded photos count as one person. This limit is wider than ACCEPT_DISTANCE for
# two reasons: splitting one person by mistake refuses their photos, and a mean over photos varies less than one pair.
SAME_PERSON_DISTANCE = 0.55
# Maximum distance of a finished picture from the person. docs/benchmarks.md has the error rates of both limits.
ACCEPT_DISTANCE = 0.53
# A max_distance that measures every picture and accepts all. For tests and for engines that draw no faces.
OPEN_GATE = math.inf


@dataclass(frozen=True)
class Likeness:
    """The likeness of a picture to the person, and the decision.

    distance: None unless the picture has exactly one face. faces: number of faces. face: the widest face, or None."""

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
    """Accept a picture if it has exactly one face and the face is within max_distance of the reference.

    OPEN_GATE as max_distance accepts every picture, and still sets distance and reasons."""
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
    """Return the calibrated probability that two faces at this distance are one person.

    Returns 0 to the calibration's cap, in steps of 0.01. Uses the built-in calibration by default."""
    calibration = calibration or built_in()
    return round(min(calibration.cap, calibration.probability(distance)), 2)
