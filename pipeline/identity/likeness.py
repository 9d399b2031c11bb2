"""Judge whether a picture shows the person, by the distance between its face and the person's photos.

If the second network is installed, both networks must agree that a drawn picture shows the person.

The project has three distance thresholds. SAME_PERSON_DISTANCE groups the faces of uploaded photos. ACCEPT_DISTANCE
accepts a rendered picture. duplicates.MIN_DISTANCE separates the pictures of a pack.
"""

import math
from dataclasses import dataclass

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.identity.auraface import cosine
from pipeline.identity.calibration import Calibration, built_in
from pipeline.identity.embedding import FaceEmbedder, embedding_distance
from pipeline.types import Embedding, Face, Pixels

# Faces of uploaded photos count as the same person up to this mean distance. The limit is wider than ACCEPT_DISTANCE
# for two reasons. If one person is split by mistake, the product refuses valid photos. A mean over photos varies less
# than the distance of one pair.
SAME_PERSON_DISTANCE = 0.55
# Maximum distance between a rendered picture and the person. docs/benchmarks.md has the error rates of both limits.
ACCEPT_DISTANCE = 0.53
# Minimum cosine between AuraFace's embeddings of a drawn picture and of the person. Not measured here. Published for
# this file: 0.58 on average for two photos of one person in LFW. Strangers reach 0.50 in 3 of 100,000 pairs of a mixed
# population, and in 1 of 1,000 pairs of the group with the most mistakes. The limit is lower, because it comes in
# addition to dlib's.
MIN_COSINE = 0.35
# Value of max_distance that accepts every picture but still measures it. For tests, and for engines that draw no faces.
OPEN_GATE = math.inf


@dataclass(frozen=True)
class Likeness:
    """The likeness of a picture to the person, and the decision.

    Attributes:
        distance: distance to the person's photos. None unless the picture shows exactly one face.
        faces: number of faces in the picture.
        accepted: True if the picture is accepted.
        reasons: why the picture is not alike.
        face: widest face in the picture, or None.
        cosine: similarity to the person's photos by the second network. None if it was not asked.
    """

    distance: float | None
    faces: int
    accepted: bool
    reasons: tuple[Reason, ...] = ()
    face: Face | None = None
    cosine: float | None = None


def judge_likeness(
    pixels: Pixels,
    reference: Embedding,
    finder: FaceFinder,
    embedder: FaceEmbedder,
    max_distance: float = ACCEPT_DISTANCE,
    second: Embedding | None = None,
) -> Likeness:
    """Accept a picture if it shows exactly one face, within `max_distance` of the reference.

    With the reference of the second network, `second`, both networks must accept the face. With OPEN_GATE as
    `max_distance`, accepts every picture but still sets distance and reasons."""
    faces = finder.find(pixels)
    distance = embedding_distance(embedder.embed(pixels, faces[0]), reference) if len(faces) == 1 else None
    similarity = None
    if distance is not None and second is not None and embedder.second is not None:
        similarity = cosine(embedder.second.embed(pixels, faces[0]), second)
    if not faces:
        reasons: tuple[Reason, ...] = (Reason.NO_FACE,)
    elif distance is None:
        reasons = (Reason.SEVERAL_FACES,)
    else:
        alike = distance <= max_distance and (similarity is None or similarity >= MIN_COSINE)
        reasons = () if alike else (Reason.NOT_ALIKE,)
    accepted = not reasons or max_distance == OPEN_GATE
    return Likeness(distance, len(faces), accepted, reasons, faces[0] if faces else None, similarity)


def likeness_score(distance: float, calibration: Calibration | None = None) -> float:
    """Return the calibrated probability that two faces at this distance are the same person.

    The result is rounded to 0.01 and limited to the calibration's cap. Uses the built-in calibration by default."""
    calibration = calibration or built_in()
    return round(min(calibration.cap, calibration.probability(distance)), 2)
