"""Summarize how the product treats groups of people. Pure functions.

Figures of a group of less than a few dozen people are unreliable, so every share has a confidence interval.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from pipeline.identity.likeness import SAME_PERSON_DISTANCE
from pipeline.quality.gate import Drift
from pipeline.types import Embedding, Status

# 95% of a normal distribution is within this many standard deviations.
DEVIATIONS = 1.96


@dataclass(frozen=True)
class GateOutcome:
    """The gate's result for one headshot made from a photo."""

    accepted: bool
    distance: float | None
    drift: Drift | None


@dataclass(frozen=True, eq=False)
class LabeledPhoto:
    """One labeled photo and its results.

    Attributes:
        person: label of the person, or None if unknown.
        status: of the verdict on the photo.
        found: True if a face was found.
        embedding: of the person's face, or None without a face.
        outcomes: the gate's results for headshots made from the photo.
    """

    group: str
    person: str | None
    status: Status
    found: bool
    embedding: Embedding | None = field(default=None, repr=False)
    outcomes: tuple[GateOutcome, ...] = ()


@dataclass(frozen=True)
class Share:
    """A share, `count` of `of`, with its 95% confidence interval (Wilson)."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        square = DEVIATIONS**2
        middle = (self.value + square / (2 * self.of)) / (1 + square / self.of)
        spread = self.value * (1 - self.value) / self.of + square / (4 * self.of**2)
        half = DEVIATIONS * math.sqrt(spread) / (1 + square / self.of)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Spread:
    """The median (middle), 5th percentile (low) and 95th percentile (high) of some values.

    NaN without values."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupFigures:
    """The figures of one group.

    Attributes:
        found, accepted, warned, refused, choose_face: shares of the photos.
        kept: share of the headshots that the gate accepted.
        missed: share of the pairs of one person that were taken for two people.
        mistaken: share of the pairs of two people in the group that were taken for one person.
        distance: between headshots and photos of the person.
        lightness, hue: drift of the skin in CIE L and in degrees.
    """

    group: str
    photos: int
    people: int
    found: Share
    accepted: Share
    warned: Share
    refused: Share
    choose_face: Share
    kept: Share
    missed: Share
    mistaken: Share
    distance: Spread
    lightness: Spread
    hue: Spread


def summarize(subjects: Sequence[LabeledPhoto]) -> list[GroupFigures]:
    """Return the figures of every group, sorted by name."""
    return [_figures(group, [s for s in subjects if s.group == group]) for group in sorted({s.group for s in subjects})]


def _figures(group: str, subjects: Sequence[LabeledPhoto]) -> GroupFigures:
    def judged(status: Status) -> Share:
        return Share(sum(subject.status is status for subject in subjects), len(subjects))

    outcomes = [outcome for subject in subjects for outcome in subject.outcomes]
    drifts = [outcome.drift for outcome in outcomes if outcome.drift is not None]
    missed, mistaken = _pairs(subjects)
    return GroupFigures(
        group=group,
        photos=len(subjects),
        people=len({subject.person or index for index, subject in enumerate(subjects)}),
        found=Share(sum(subject.found for subject in subjects), len(subjects)),
        accepted=judged(Status.ACCEPTED),
        warned=judged(Status.WARNED),
        refused=judged(Status.REFUSED),
        choose_face=judged(Status.CHOOSE_FACE),
        kept=Share(sum(outcome.accepted for outcome in outcomes), len(outcomes)),
        missed=missed,
        mistaken=mistaken,
        distance=_spread(outcome.distance for outcome in outcomes),
        lightness=_spread(drift.lightness for drift in drifts),
        hue=_spread(drift.hue_degrees for drift in drifts),
    )


def _pairs(subjects: Sequence[LabeledPhoto]) -> tuple[Share, Share]:
    """Return the shares of missed and of mistaken pairs, among photos with a known person and a face."""
    known = [subject for subject in subjects if subject.person and subject.embedding is not None]
    far = {True: 0, False: 0}
    pairs = {True: 0, False: 0}
    for one, other in combinations(known, 2):
        assert one.embedding is not None
        assert other.embedding is not None
        same = one.person == other.person
        pairs[same] += 1
        far[same] += bool(np.linalg.norm(one.embedding - other.embedding) > SAME_PERSON_DISTANCE)
    return Share(far[True], pairs[True]), Share(pairs[False] - far[False], pairs[False])


def _spread(values: Iterable[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    if not known:
        return Spread(math.nan, math.nan, math.nan)
    low, middle, high = np.percentile(known, (5, 50, 95))
    return Spread(float(middle), float(low), float(high))
