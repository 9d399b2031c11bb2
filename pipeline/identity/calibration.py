"""Calibrate the distance of two faces to the probability that they are one person, with confidence intervals.

What decides how sure one may be is how many people were compared, not how many pairs: pairs that share a person say
much the same. So intervals come from drawing people anew, and the highest probability ever claimed from the number
of pairs of people.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError

BUILT_IN = Path(__file__).with_name("calibration.toml")
Floats = NDArray[np.float64]

DRAWS = 1000
# The share of the draws that an interval holds.
CONFIDENCE = 0.95
BINS = 10
# Nobody who compares faces by numbers is surer than this, however many there were.
MAX_CAP = 0.99
# dlib's embeddings of different people are about as far apart as this says.
_START = np.array([12.0, 20.0])


class NotEnoughPairs(PipelineError):
    """Too few pairs, or pairs of one kind only: nothing can be fitted to them."""


@dataclass(frozen=True)
class Calibration:
    """P(one person) = 1 / (1 + exp(slope * distance - offset)), claimed up to `cap`; `provenance` says from what."""

    offset: float
    slope: float
    cap: float
    provenance: dict[str, str | int | float | list[float]] = field(default_factory=dict)

    def probability(self, distance: float) -> float:
        """0..1, not capped."""
        return 1 / (1 + math.exp(min(700.0, self.slope * distance - self.offset)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of faces: distance (N,), same (N,) whether one person, and who they are, (N, 2) numbers from 0."""

    distance: Floats
    same: NDArray[np.bool_]
    people: NDArray[np.int64]

    @property
    def people_count(self) -> int:
        return int(self.people.max()) + 1


@dataclass(frozen=True)
class Bin:
    """One row of the reliability table: pairs whose probability lies from `low` to `high`, and what they were."""

    low: float
    high: float
    pairs: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Interval:
    """A figure, and between which values it lies in 95 of 100 draws of other people."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationReport:
    """The fit and what speaks for and against it. Bins are balanced as the fit is: both kinds of pairs weigh the same.

    false_matches: share of different pairs within the distance; false_refusals: share of same pairs beyond it."""

    calibration: Calibration
    slope: Interval
    brier: Interval
    bins: tuple[Bin, ...]
    false_matches: dict[float, Interval]
    false_refusals: dict[float, Interval]


@cache
def built_in() -> Calibration:
    """The constants that the product ships with."""
    return load_calibration(BUILT_IN)


def load_calibration(path: Path) -> Calibration:
    """Constants as `python -m pipeline calibrate` wrote them. Raises PipelineError over a file that holds none."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        found = Calibration(float(values["offset"]), float(values["slope"]), float(values["cap"]), values["provenance"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PipelineError(f"{path} holds no calibration: {type(error).__name__}") from error
    if not (found.slope > 0 and 0 < found.cap <= MAX_CAP):
        raise PipelineError(f"{path}: slope must be above 0, cap above 0 and at most {MAX_CAP}")
    return found


def calibrate(pairs: Pairs, thresholds: Sequence[float], draws: int = DRAWS) -> CalibrationReport:
    """The fit to these pairs, both kinds weighing the same, and its reliability. The same pairs give the same report.

    thresholds: distances whose error rates are wanted; draws: of other people. Raises NotEnoughPairs."""
    if min(pairs.same.sum(), (~pairs.same).sum()) < 2 or pairs.people_count < 3:
        raise NotEnoughPairs("at least two pairs of one person, two of different people and three people are needed")
    rng = np.random.default_rng(0)
    weights = [draw for draw in (_draw_people(pairs, rng) for _ in range(draws)) if _both_kinds(pairs, draw)]
    fits = [fit_logistic(pairs, draw) for draw in weights]
    # The mean of what the draws say of each distance is less sure than a fit to the very people at hand.
    offset, slope = _fit_to_mean(fits, pairs)
    calibration = Calibration(offset, slope, _cap(pairs), _provenance(pairs))
    return CalibrationReport(
        calibration,
        _interval(slope, [each for _, each in fits]),
        _interval(
            _brier(pairs, calibration, np.ones(len(pairs.same))), [_brier(pairs, calibration, w) for w in weights]
        ),
        _reliability(pairs, calibration),
        {at: _rate(pairs, ~pairs.same, pairs.distance <= at, weights) for at in thresholds},
        {at: _rate(pairs, pairs.same, pairs.distance > at, weights) for at in thresholds},
    )


def fit_logistic(pairs: Pairs, weights: Floats) -> tuple[float, float]:
    """Offset and slope of the weighted logistic fit, both kinds balanced.

    Aims at Platt's targets instead of 0 and 1, so that pairs which do not overlap give no infinite slope."""
    from scipy.optimize import minimize

    balanced = _balanced(pairs, weights)
    few, many = (weights[kind].sum() for kind in (pairs.same, ~pairs.same))
    target = np.where(pairs.same, (few + 1) / (few + 2), 1 / (many + 2))
    design = np.stack([np.ones_like(pairs.distance), -pairs.distance], axis=1)

    def loss(found: Floats) -> tuple[float, Floats]:
        leaning = design @ found
        gradient = design.T @ (balanced * (1 / (1 + np.exp(-np.clip(leaning, -60, 60))) - target))
        return float((balanced * (np.logaddexp(0, leaning) - target * leaning)).sum()), gradient

    offset, slope = minimize(loss, _START, jac=True, method="BFGS", options={"gtol": 1e-7}).x
    return float(offset), float(slope)


def _fit_to_mean(fits: Sequence[tuple[float, float]], pairs: Pairs) -> tuple[float, float]:
    """The one logistic curve nearest to the mean of all, over the distances that were seen."""
    from scipy.optimize import curve_fit

    distances = np.linspace(pairs.distance.min(), pairs.distance.max(), 200)
    offsets, slopes = (np.array(values)[:, None] for values in zip(*fits, strict=True))
    mean = _logistic(distances, offsets, slopes).mean(axis=0)
    (offset, slope), _ = curve_fit(_logistic, distances, mean, p0=(offsets.mean(), slopes.mean()))
    return float(offset), float(slope)


def _logistic(distance: Floats, offset: float | Floats, slope: float | Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip(slope * distance - offset, -60, 60))), np.float64)


def _draw_people(pairs: Pairs, rng: np.random.Generator) -> Floats:
    """(N,) weights of the pairs when as many people as there are are drawn anew, some twice, some not at all."""
    drawn = np.bincount(rng.integers(pairs.people_count, size=pairs.people_count), minlength=pairs.people_count)
    one, other = drawn[pairs.people[:, 0]], drawn[pairs.people[:, 1]]
    return np.where(pairs.same, one, one * other).astype(np.float64)


def _both_kinds(pairs: Pairs, weights: Floats) -> bool:
    return bool(weights[pairs.same].sum() > 0 and weights[~pairs.same].sum() > 0)


def _balanced(pairs: Pairs, weights: Floats) -> Floats:
    """Weights that add up to a half for each kind: before it is seen, a face may as well be a stranger's."""
    total = np.where(pairs.same, weights[pairs.same].sum(), weights[~pairs.same].sum())
    return np.asarray(0.5 * weights / np.maximum(total, 1e-12), np.float64)


def _predicted(pairs: Pairs, calibration: Calibration) -> Floats:
    return np.minimum(_logistic(pairs.distance, calibration.offset, calibration.slope), calibration.cap)


def _brier(pairs: Pairs, calibration: Calibration, weights: Floats) -> float:
    """Mean squared error of the probability; 0.25 is that of a coin."""
    return float((_balanced(pairs, weights) * (_predicted(pairs, calibration) - pairs.same) ** 2).sum())


def _reliability(pairs: Pairs, calibration: Calibration) -> tuple[Bin, ...]:
    predicted = _predicted(pairs, calibration)
    weights = _balanced(pairs, np.ones(len(predicted)))
    rows = []
    for index in range(BINS):
        low, high = index / BINS, (index + 1) / BINS
        inside = (predicted >= low) & ((predicted < high) | (index == BINS - 1))
        if inside.any():
            total = weights[inside].sum()
            said, seen = (float((weights * values)[inside].sum() / total) for values in (predicted, pairs.same))
            rows.append(Bin(low, high, int(inside.sum()), said, seen))
    return tuple(rows)


def _rate(pairs: Pairs, kind: NDArray[np.bool_], wrong: NDArray[np.bool_], draws: Sequence[Floats]) -> Interval:
    rates = [float(draw[kind & wrong].sum() / draw[kind].sum()) for draw in draws]
    return _interval(float((kind & wrong).sum() / kind.sum()), rates)


def _interval(value: float, draws: Sequence[float]) -> Interval:
    outside = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, (outside, 100 - outside))
    return Interval(value, float(low), float(high))


def _cap(pairs: Pairs) -> float:
    """The highest probability that so many people allow to claim.

    Of P pairs of people of whom none looked like one person, up to 3 of P may (rule of three, 95 %)."""
    known = {(min(pair), max(pair)) for pair in pairs.people[~pairs.same].tolist()}
    share = 3 / len(known)
    return math.floor(100 * min(MAX_CAP, 1 / (1 + share))) / 100


def _provenance(pairs: Pairs) -> dict[str, str | int | float | list[float]]:
    return {
        "same_pairs": int(pairs.same.sum()),
        "different_pairs": int((~pairs.same).sum()),
        "people": pairs.people_count,
    }
