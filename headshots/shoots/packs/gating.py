"""Retry or replace shots that the quality gate refused.

A refused shot is rendered again with two other seeds. After that, another shot that the pack does not have yet replaces
it. Both come from one budget of the pack. When the budget is used up, refused shots are rejected. A pack with rejected
shots is never delivered as it is: the customer decides if most headshots are there, and otherwise the pack fails.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

from django.conf import settings
from django.db.models import F

from headshots import engine
from headshots.shoots.lifecycle import record_pack
from headshots.shoots.models import GateCount, Headshot, Pack

# The first try and two new seeds. A shot that fails three times fails for a reason that a seed does not change.
MAX_RENDERS = 3
# Packs of an engine with the expected acceptance are completed with this probability.
_COMPLETED = 0.99


def to_planned_shot(row: Headshot) -> engine.PlannedShot:
    """Return the shot of this row in the engine's format."""
    return engine.PlannedShot(row.index, row.seed, _style_of(row), row.framing, row.light)


def next_try(pack: Pack, row: Headshot, reasons: list[str]) -> dict[str, object] | None:
    """Choose the next try for a refused row, and take it from the pack's budget.

    Returns the columns of the row that change, or None if the budget is used up."""
    renders = row.renders + 1
    stand_in = _choose_replacement(pack, row, renders) if renders >= MAX_RENDERS else None
    if not _spend(pack, "replacements" if stand_in else "reshoots"):
        return None
    if stand_in is None:
        # Also where every combination of look, framing and light has been used: a new seed is better than no picture.
        shot, taken = to_planned_shot(row), _used_variants(pack, row)
        alike = engine.Reason.TOO_ALIKE.value in reasons
        again = engine.reframe(shot, renders, taken) if alike else engine.reshoot(shot, renders)
        return {"renders": renders, "seed": again.seed, "framing": again.framing, "light": again.light}
    like, shot = stand_in
    changes = {"seed": shot.seed, "framing": shot.framing, "light": shot.light}
    return {"renders": 0, "replaced": True, "style": like.style, "version": like.version, **changes}


def next_state(pack: Pack, *, done: int) -> Pack.State:
    """Return the state that follows the rendering of a pack without open rows.

    done: number of finished headshots. A premium pack is not failed for a few headshots that the gate refused. Shots
    that an engine could not render fail the pack, because staff can repair the cause and retry it."""
    if done == pack.total:
        return Pack.State.DELIVERED
    # Rounded, so that 0.7 of ten headshots is seven in floating point too.
    needed = math.ceil(round(settings.HEADSHOTS_MIN_PACK_SHARE * pack.total, 6))
    broken = Headshot.objects.filter(
        pack_id=pack.pk, state=Headshot.State.REJECTED, reasons=[Pack.Reason.ENGINE_FAILED]
    )
    if pack.kind == Pack.Kind.PREMIUM and done >= needed and not broken.exists():
        return Pack.State.AWAITING_ANSWER
    return Pack.State.FAILED


@cache
def max_refusals(total: int, acceptance: float) -> int:
    """Return after how many refused pictures a pack of `total` headshots has used up its budget.

    acceptance: share of pictures that the gate accepts, above 0 and at most 1. The number of refused pictures before
    the last headshot has a negative binomial distribution. Its 99th percentile is the budget."""
    if acceptance >= 1:
        return 0
    refusals, completed = 0, 0.0
    while True:
        ways = math.lgamma(total + refusals) - math.lgamma(refusals + 1) - math.lgamma(total)
        completed += math.exp(ways + total * math.log(acceptance) + refusals * math.log1p(-acceptance))
        if completed >= _COMPLETED:
            return refusals
        refusals += 1


def sort_for_display(pack: Pack, rows: Sequence[Headshot]) -> list[Headshot]:
    """Return the headshots of a pack in display order.

    A delivered pack begins with the highest product of likeness and quality. Before delivery, the order is that of the
    plan, so that new pictures do not move those that the customer is viewing."""
    if pack.state != Pack.State.DELIVERED:
        return list(rows)
    return sorted(rows, key=lambda row: (-(row.likeness or 0) * (row.quality or 0), row.index))


def count_outcome(pack: Pack, outcome: str) -> None:
    """Count one more picture with this outcome. Safe for several workers at the same time."""
    counts, _ = GateCount.objects.get_or_create(pack=pack, outcome=outcome)
    GateCount.objects.filter(pk=counts.pk).update(count=F("count") + 1)


def record_quality_counts(pack: Pack) -> None:
    """Record the pack's quality counts as an event, which outlives the pack."""
    # Other workers may have changed these counters in the database.
    pack.refresh_from_db(fields=["reshoots", "replacements"])
    counts = dict(pack.gate_counts.values_list("outcome", "count"))
    rejected = {f"rejected_{reason}": number for reason, number in counts.items() if reason != GateCount.ACCEPTED}
    numbers = {"generated": sum(counts.values()), GateCount.ACCEPTED: counts.get(GateCount.ACCEPTED, 0), **rejected}
    record_pack(pack, "quality_checked", numbers={**numbers, "reshot": pack.reshoots, "replaced": pack.replacements})


def main_reason(pack: Pack) -> str:
    """Return the reason for which most shots of a pack were rejected.

    Of equally frequent reasons, the first in alphabetical order counts. Without any, returns ENGINE_FAILED."""
    reasons = pack.headshots.filter(state=Headshot.State.REJECTED).values_list("reasons", flat=True)
    codes = Counter(codes[0] for codes in reasons if codes)
    return min(codes, key=lambda code: (-codes[code], code)) if codes else Pack.Reason.ENGINE_FAILED


def _spend(pack: Pack, use: str) -> bool:
    """Take one picture from the budget of the pack, for `reshoots` or `replacements`. Returns False if none is left."""
    most = max_refusals(pack.total, settings.HEADSHOTS_GATE_ACCEPTANCE)
    spent = Pack.objects.alias(spent=F("reshoots") + F("replacements")).filter(pk=pack.pk, spent__lt=most)
    return bool(spent.update(**{use: F(use) + 1}))


def _choose_replacement(pack: Pack, row: Headshot, renders: int) -> tuple[Headshot, engine.PlannedShot] | None:
    """Choose a shot that is not in the pack yet, and a row of the pack that has the look of that shot.

    Prefers a look other than that of the refused row. Returns None when every combination has been used."""
    rows = list(pack.headshots.select_related("style", "version").order_by("style__position"))
    shot = engine.choose_replacement(to_planned_shot(row), renders, [to_planned_shot(each) for each in rows])
    return None if shot is None else (next(each for each in rows if each.style.name == shot.style.name), shot)


def _used_variants(pack: Pack, like: Headshot) -> set[tuple[str, str]]:
    """Return (framing, light) of every shot of this pack on the same set as `like`."""
    rows = pack.headshots.select_related("style", "version")
    return {(row.framing, row.light) for row in rows if _style_of(row).set == _style_of(like).set}


def _style_of(row: Headshot) -> engine.StyleSpec:
    return engine.style_from(name=row.style.name, title=row.look.title, recipe=row.look.recipe)
