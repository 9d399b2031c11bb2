"""Is this picture still the person? Its distance to their own photo, the gate on that, and the score people see."""

import math
from dataclasses import dataclass

from pipeline.errors import Reason
from pipeline.faces.embed import FaceEmbedder, embedding_distance
from pipeline.faces.find import FaceFinder
from pipeline.types import Box, Embedding, Pixels

# 0.53: fewest mistakes on 1,653 pairs of faces; 99 % of same-person pairs lie below it.
ACCEPT_DISTANCE = 0.53
# For max_distance: measure, but let every picture through. For tests and engines that draw no faces.
OPEN_GATE = math.inf

# Logistic fit of "same person" on 298 same and 6,030 different pairs, at half its slope: the pairs were few
# people, and the fit is surer than anybody should be. Capped for the same reason.
SCORE_OFFSET, SCORE_SLOPE = 33.3 / 2, 58.6 / 2
MAX_SCORE = 0.99


@dataclass(frozen=True)
class Likeness:
    """What the gate saw: distance (None unless there is exactly one face), how many faces, and its decision.

    face: where the widest face is, in pixels of the picture; None without one."""

    distance: float | None
    faces: int
    accepted: bool
    reasons: tuple[Reason, ...] = ()
    face: Box | None = None


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
    return Likeness(
        distance, len(faces), not reasons or max_distance == OPEN_GATE, reasons, faces[0].box if faces else None
    )


def likeness_score(distance: float) -> float:
    """Calibrated probability, 0..0.99 in steps of 0.01, that faces at this distance are one person."""
    return round(min(MAX_SCORE, 1 / (1 + math.exp(SCORE_SLOPE * distance - SCORE_OFFSET))), 2)
