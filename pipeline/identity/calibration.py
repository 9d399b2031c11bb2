"""Calibrate the distance of two faces to the probability that they are one person, with confidence intervals.

Certainty depends on the number of people compared and not on the number of pairs. Pairs that share a person are
correlated. So the intervals come from a bootstrap over people. The highest probability that is claimed depends on the
number of pairs of people.
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
# The share of the draws inside an interval.
CONFIDENCE = 0.95
BINS = 10
# No number of people justifies a higher probability than this.
MAX_CAP = 0.99
# Starting point of the fit: offset and slope that roughly suit distances of dlib's embeddings.
_START = np.array([12.0, 20.0])


class NotEnoughPairs(PipelineError):
    """There are too few pairs or people for a fit, or pairs of one kind only."""


@dataclass(frozen=True)
class Calibration:
    """The constants of P(one person) = 1 / (1 + exp(slope * distance - offset)).

    cap: highest probability that is claimed. provenance: a description of the data behind the fit."""

    offset: float
    slope: float
    cap: float
    provenance: dict[str, str | int | float | list[float]] = field(default_factory=dict)

    def probability(self, distance: float) -> float:
        """Return the probability that two faces at this distance are one person, 0..1 and not capped."""
        return 1 / (1 + math.exp(min(700.0, self.slope * distance - self.offset)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Labeled pairs of faces.

    distance: (N,). same: (N,), True for two faces of one person. people: (N, 2), numbers of the people from 0."""

    distance: Floats
    same: NDArray[np.bool_]
    people: NDArray[np.int64]

    @property
    def people_count(self) -> int:
        return int(self.people.max()) + 1


@dataclass(frozen=True)
class Bin:
    """One row of the reliability table: the pairs with a predicted probability from `low` to `high`.

    predicted: their mean probability. observed: the share of one person's pairs. Both use the balanced weights."""

    low: float
    high: float
    pairs: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationReport:
    """The fit and its reliability.

    Both kinds of pairs have the same total weight in the fit and in the bins.
    false_matches: for each threshold, the share of pairs of different people within the distance.
    false_refusals: for each threshold, the share of pairs of one person beyond the distance."""

    calibration: Calibration
    slope: Interval
    brier: Interval
    bins: tuple[Bin, ...]
    false_matches: dict[float, Interval]
    false_refusals: dict[float, Interval]


@cache
def built_in() -> Calibration:
    """Return the constants that the product ships with."""
    return load_calibration(BUILT_IN)


def load_calibration(path: Path) -> Calibration:
    """Read constants that `python -m pipeline calibrate` wrote.

    Raises PipelineError if the file holds no valid constants."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        found = Calibration(float(values["offset"]), float(values["slope"]), float(values["cap"]), values["provenance"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PipelineError(f"{path} is not a calibration file: {type(error).__name__}") from error
    if not (found.slope > 0 and 0 < found.cap <= MAX_CAP):
        raise PipelineError(f"{path}: slope must be greater than 0, and cap greater than 0 and at most {MAX_CAP}")
    return found


def calibrate(pairs: Pairs, thresholds: Sequence[float], draws: int = DRAWS) -> CalibrationReport:
    """Fit the probability to these pairs and report the reliability of the fit.

    thresholds: distances to report error rates for. draws: number of bootstrap samples. The same pairs give the same
    report. Raises NotEnoughPairs."""
    if min(pairs.same.sum(), (~pairs.same).sum()) < 2 or pairs.people_count < 3:
        raise NotEnoughPairs(
            "not enough pairs: at least two of the same person, two of different people, and three people are needed"
        )
    rng = np.random.default_rng(0)
    weights = [draw for draw in (_draw_people(pairs, rng) for _ in range(draws)) if _both_kinds(pairs, draw)]
    fits = [fit_logistic(pairs, draw) for draw in weights]
    # A fit to the observed people alone would be overconfident. The mean over the draws is less so.
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
    """Return offset and slope of the weighted logistic fit, with both kinds of pairs balanced.

    Uses Platt's targets instead of 0 and 1. Otherwise pairs without overlap would give an infinite slope."""
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
    """Return offset and slope of the logistic curve nearest to the mean of all fits, over the observed distances."""
    from scipy.optimize import curve_fit

    distances = np.linspace(pairs.distance.min(), pairs.distance.max(), 200)
    offsets, slopes = (np.array(values)[:, None] for values in zip(*fits, strict=True))
    mean = _logistic(distances, offsets, slopes).mean(axis=0)
    (offset, slope), _ = curve_fit(_logistic, distances, mean, p0=(offsets.mean(), slopes.mean()))
    return float(offset), float(slope)


def _logistic(distance: Floats, offset: float | Floats, slope: float | Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip(slope * distance - offset, -60, 60))), np.float64)


def _draw_people(pairs: Pairs, rng: np.random.Generator) -> Floats:
    """Draw people with replacement, as many as there are, and return the (N,) weights of the pairs."""
    drawn = np.bincount(rng.integers(pairs.people_count, size=pairs.people_count), minlength=pairs.people_count)
    one, other = drawn[pairs.people[:, 0]], drawn[pairs.people[:, 1]]
    return np.where(pairs.same, one, one * other).astype(np.float64)


def _both_kinds(pairs: Pairs, weights: Floats) -> bool:
    return bool(weights[pairs.same].sum() > 0 and weights[~pairs.same].sum() > 0)


def _balanced(pairs: Pairs, weights: Floats) -> Floats:
    """Scale the weights so that each kind of pair adds up to one half.

    This is the prior that both kinds are equally likely."""
    total = np.where(pairs.same, weights[pairs.same].sum(), weights[~pairs.same].sum())
    return np.asarray(0.5 * weights / np.maximum(total, 1e-12), np.float64)


def _predicted(pairs: Pairs, calibration: Calibration) -> Floats:
    return np.minimum(_logistic(pairs.distance, calibration.offset, calibration.slope), calibration.cap)


def _brier(pairs: Pairs, calibration: Calibration, weights: Floats) -> float:
    """Return the mean squared error of the probability.

    A coin toss has 0.25."""
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
    """Return the highest probability that the number of people supports.

    If none of P pairs of different people matched, up to 3 in P still might (rule of three, 95%)."""
    known = {(min(pair), max(pair)) for pair in pairs.people[~pairs.same].tolist()}
    share = 3 / len(known)
    return math.floor(100 * min(MAX_CAP, 1 / (1 + share))) / 100


def _provenance(pairs: Pairs) -> dict[str, str | int | float | list[float]]:
    return {
        "same_pairs": int(pairs.same.sum()),
        "different_pairs": int((~pairs.same).sum()),
        "people": pairs.people_count,
    }
