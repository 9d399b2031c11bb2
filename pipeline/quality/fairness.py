"""Summarize how the product treats groups of people. Pure functions.

A group's figures mean little below some dozens of people, so every share carries its interval.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from pipeline.identity.likeness import SAME_PERSON_DISTANCE
from pipeline.quality.gate import Drift
from pipeline.types import Embedding, Status

# 95 % of a normal distribution lie within so many deviations.
DEVIATIONS = 1.96


@dataclass(frozen=True)
class GateOutcome:
    """One headshot made of a photo: what the gate said of it."""

    accepted: bool
    distance: float | None
    drift: Drift | None


@dataclass(frozen=True, eq=False)
class LabeledPhoto:
    """One photo: its group, whose it is (None: not said), the verdict, and what came of it.

    embedding: of the person's face; None where none was found."""

    group: str
    person: str | None
    status: Status
    found: bool
    embedding: Embedding | None = field(default=None, repr=False)
    outcomes: tuple[GateOutcome, ...] = ()


@dataclass(frozen=True)
class Share:
    """So many of so many, and the interval (Wilson, 95 %) in which the true share lies."""

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
    """The middle and the fifth and ninety-fifth hundredth of some values; all NaN without any."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupFigures:
    """One group. Shares of photos: found, accepted, warned, refused, choose_face; of headshots: kept by the gate.

    missed: pairs of one person taken for two; mistaken: pairs of two people of the group taken for one.
    distance: of headshots to their person; lightness (CIE L) and hue (degrees): drift of the skin."""

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
    """Every group's figures, in the order of their names."""
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
    """Pairs of one person taken for two, and of two taken for one, among photos that say who they show."""
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
