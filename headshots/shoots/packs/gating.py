"""Retry or replace shots that the quality gate refused.

A refused shot is rendered again with another seed while the pack's budget lasts. After that, another shot that the
pack does not have yet replaces it. If neither is possible, the shot is rejected and the pack fails. A pack is never
delivered with fewer pictures than ordered.
"""

import math
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from django.db.models import F

from headshots import engine
from headshots.shoots.lifecycle import record_pack
from headshots.shoots.models import GateCount, Headshot, Pack

# The first try and two new seeds. A shot that fails three times fails for a reason that a seed does not change.
MAX_RENDERS = 3


def to_planned_shot(row: Headshot) -> engine.PlannedShot:
    """Return the shot of this row in the engine's format."""
    return engine.PlannedShot(row.index, row.seed, _style_of(row), row.framing, row.light)


def next_try(pack: Pack, row: Headshot, reasons: list[str]) -> dict[str, object] | None:
    """Choose the next try for a refused row, and take it from the pack's budget.

    Returns the columns of the row that change, or None if nothing is left to try."""
    renders = row.renders + 1
    if renders < MAX_RENDERS and _spend(pack, "reshoots"):
        shot, taken = to_planned_shot(row), _used_variants(pack, row)
        alike = engine.Reason.TOO_ALIKE.value in reasons
        again = engine.reframe(shot, renders, taken) if alike else engine.reshoot(shot, renders)
        return {"renders": renders, "seed": again.seed, "framing": again.framing, "light": again.light}
    stand_in = _choose_replacement(pack, row, renders)
    if stand_in is None or not _spend(pack, "replacements"):
        return None
    like, shot = stand_in
    changes = {"seed": shot.seed, "framing": shot.framing, "light": shot.light}
    return {"renders": 0, "replaced": True, "style": like.style, "version": like.version, **changes}


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
    """Return the reason for which most shots of a failed pack were rejected.

    Of equally frequent reasons, the first in alphabetical order counts. Without any, returns ENGINE_FAILED."""
    reasons = pack.headshots.filter(state=Headshot.State.REJECTED).values_list("reasons", flat=True)
    codes = Counter(codes[0] for codes in reasons if codes)
    return min(codes, key=lambda code: (-codes[code], code)) if codes else Pack.Reason.ENGINE_FAILED


def _spend(pack: Pack, budget: str) -> bool:
    """Take one unit of a budget of the pack, `reshoots` or `replacements`. Returns False if none is left."""
    most = math.ceil(pack.total * settings.HEADSHOTS_RESHOOT_RATIO)
    return bool(Pack.objects.filter(pk=pack.pk, **{f"{budget}__lt": most}).update(**{budget: F(budget) + 1}))


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
