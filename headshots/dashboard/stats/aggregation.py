"""Aggregate events and ledger entries into numbers per day.

The functions are pure, and count past days and the current day alike.

A key joins a name and the values that it is split by with bars: `delivered|premium`, `pictures|studio|render@a`.
The numbers of a key can be added over days. Delivery times are a histogram of seconds (`delivery|premium|203`), so
percentiles of any range are exact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Codes = Mapping[str, str | list[str]]
Numbers = Mapping[str, float]
Counts = Counter[str]

# Increase this whenever the counting rules change: days counted by other rules are counted again.
RULES_VERSION = 4
# Width of a likeness bin, in percent.
LIKENESS_STEP = 5
# Pack events that are counted by kind, under the name of the state.
_PACK_STATES = frozenset({"delivered", "failed", "canceled", "revoked"})
# Only these events are read from the database.
COUNTED_EVENTS = (
    "shoot.opened",
    "photo.refused",
    "photo.choose_face",
    "pack.queued",
    "pack.rendered",
    "pack.quality_checked",
    *(f"pack.{state}" for state in sorted(_PACK_STATES)),
)


def count_events(events: Iterable[tuple[str, Codes, Numbers]]) -> Counts:
    """Add up events, given as (name, codes, numbers). Leaves out events of trial packs."""
    counts: Counts = Counter()
    for name, codes, numbers in events:
        if codes.get("kind") != "trial":
            _count(counts, name, codes, numbers)
    return counts


def _count(counts: Counts, name: str, codes: Codes, numbers: Numbers) -> None:
    source, _, state = name.partition(".")
    kind = codes.get("kind", "")
    if name == "shoot.opened":
        counts["uploads"] += 1
        counts["photos"] += int(numbers.get("photos", 0))
    elif name == "photo.refused":
        counts["refused"] += 1
        counts.update(f"refused|{reason}" for reason in codes.get("reasons", ()))
    elif name == "photo.choose_face":
        counts["asked_for_face"] += 1
    elif name == "pack.queued":
        counts[f"ordered|{kind}"] += 1
    elif name == "pack.rendered":
        _count_rendering(counts, codes, numbers)
    elif name == "pack.quality_checked":
        _count_gate(counts, numbers)
    elif source == "pack" and state in _PACK_STATES:
        counts[f"{state}|{kind}"] += 1
        if state == "delivered":
            counts[f"delivery|{kind}|{int(numbers.get('seconds', 0))}"] += 1
        elif codes.get("reason"):
            counts[f"{state}_because|{codes['reason']}"] += 1


def _count_rendering(counts: Counts, codes: Codes, numbers: Numbers) -> None:
    """Add the output of one worker for one pack: pictures, milliseconds of work and likeness."""
    who = f"{codes.get('engine', '')}|{codes.get('worker', '')}"
    counts[f"pictures|{who}"] += int(numbers.get("pictures", 0))
    counts[f"work_ms|{who}"] += round(1000 * numbers.get("seconds", 0))
    for key, number in numbers.items():
        if key.startswith("likeness_"):
            percent = int(key.removeprefix("likeness_"))
            counts[f"likeness|{percent // LIKENESS_STEP * LIKENESS_STEP}"] += int(number)


def _count_gate(counts: Counts, numbers: Numbers) -> None:
    """Add the quality gate's results for one pack, and how many shots were repeated or replaced."""
    for name in ("generated", "accepted", "reshot", "replaced"):
        counts[name] += int(numbers.get(name, 0))
    for key, number in numbers.items():
        if key.startswith("rejected_"):
            counts[f"rejected|{key.removeprefix('rejected_')}"] += int(number)


def count_ledger_entry(counts: Counts, where: Sequence[str], amount: int) -> None:
    """Add one ledger entry.

    where: mode, currency and kind. amount: signed, in the currency's smallest unit."""
    key = "|".join(where)
    counts[f"ledger_entries|{key}"] += 1
    counts[f"money|{key}"] += amount


def split(counts: Counts, name: str) -> dict[str, int]:
    """Return the counts called `name`, keyed by the rest of their key: {"studio|render@a": 12}."""
    prefix = f"{name}|"
    return {key.removeprefix(prefix): number for key, number in counts.items() if key.startswith(prefix)}


def percentile(histogram: Mapping[int, int], percent: int) -> int | None:
    """Return the smallest value that at least `percent` % of the counted values do not exceed.

    histogram: value -> count. Returns None for an empty histogram."""
    total, reached = sum(histogram.values()), 0
    for value in sorted(histogram):
        reached += histogram[value]
        if 100 * reached >= percent * total:
            return value
    return None
