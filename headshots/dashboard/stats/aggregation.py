"""Aggregate events and ledger entries into numbers per day.

Pure: the same functions count a day that is over and the one that is running.

A number's key is its name and what it is split by, joined by bars: `delivered|premium`, `pictures|studio|render@a`.
Keys add up over days. Seconds of a delivery are kept as a histogram (`delivery|premium|203`), so that medians of any
range are exact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Codes = Mapping[str, str | list[str]]
Numbers = Mapping[str, float]
Counts = Counter[str]

# One more whenever what is counted changes: days that were counted by other rules are counted again.
RULES_VERSION = 4
# Likeness is counted in steps of so many percent.
LIKENESS_STEP = 5
# Pack events that are counted by kind under the name of the state.
_PACK_STATES = frozenset({"delivered", "failed", "canceled", "revoked"})
# Events that nothing is counted from are not even read.
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
    """What these events (name, codes, numbers) add up to. Trial packs count nowhere."""
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
    """What one worker did for one pack."""
    who = f"{codes.get('engine', '')}|{codes.get('worker', '')}"
    counts[f"pictures|{who}"] += int(numbers.get("pictures", 0))
    counts[f"work_ms|{who}"] += round(1000 * numbers.get("seconds", 0))
    for key, number in numbers.items():
        if key.startswith("likeness_"):
            percent = int(key.removeprefix("likeness_"))
            counts[f"likeness|{percent // LIKENESS_STEP * LIKENESS_STEP}"] += int(number)


def _count_gate(counts: Counts, numbers: Numbers) -> None:
    """What the gate said of all pictures of one pack: accepted, or rejected and why; shot again, or another instead."""
    for name in ("generated", "accepted", "reshot", "replaced"):
        counts[name] += int(numbers.get(name, 0))
    for key, number in numbers.items():
        if key.startswith("rejected_"):
            counts[f"rejected|{key.removeprefix('rejected_')}"] += int(number)


def count_ledger_entry(counts: Counts, where: Sequence[str], amount: int) -> None:
    """Add one entry of the ledger. where: mode, currency and kind; amount: in the smallest unit, with its sign."""
    key = "|".join(where)
    counts[f"ledger_entries|{key}"] += 1
    counts[f"money|{key}"] += amount


def split(counts: Counts, name: str) -> dict[str, int]:
    """The numbers called `name`, by what they are split by: {"studio|render@a": 12}."""
    prefix = f"{name}|"
    return {key.removeprefix(prefix): number for key, number in counts.items() if key.startswith(prefix)}


def percentile(histogram: Mapping[int, int], percent: int) -> int | None:
    """The smallest value that so many percent of the counted ones do not exceed; None when nothing was counted."""
    total, reached = sum(histogram.values()), 0
    for value in sorted(histogram):
        reached += histogram[value]
        if 100 * reached >= percent * total:
            return value
    return None
