"""Retry or replace shots that the quality gate refused.

A refused shot is made again with another seed while the pack's budget lasts; then another shot, one that the pack
does not have, stands in for it; a pack of which neither is left has failed. Nothing is silently fewer.
"""

import math
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from django.db.models import F

from headshots import engine
from headshots.shoots.lifecycle import record_pack
from headshots.shoots.models import GateCount, Headshot, Pack

# A shot and two new seeds: what fails three times fails for a reason that a seed does not change.
MAX_RENDERS = 3


def to_planned_shot(row: Headshot) -> engine.PlannedShot:
    """The shot of this row as the engine takes it."""
    return engine.PlannedShot(row.index, row.seed, _style_of(row), row.framing, row.light)


def next_try(pack: Pack, row: Headshot, reasons: list[str]) -> dict[str, object] | None:
    """How a refused row is shot next: the columns that change, its budget taken; None when nothing is left to try."""
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
    """The headshots of a pack as they are shown: the most alike and best made first, once all are there.

    Before that in the order of the plan: what arrives must not push aside what somebody looks at."""
    if pack.state != Pack.State.DELIVERED:
        return list(rows)
    return sorted(rows, key=lambda row: (-(row.likeness or 0) * (row.quality or 0), row.index))


def count_outcome(pack: Pack, outcome: str) -> None:
    """One more picture ended so. Safe from several workers at once."""
    counts, _ = GateCount.objects.get_or_create(pack=pack, outcome=outcome)
    GateCount.objects.filter(pk=counts.pk).update(count=F("count") + 1)


def record_quality_counts(pack: Pack) -> None:
    """The pack's numbers as an event, which outlives it."""
    # Counted in the database, by every worker that shot for it.
    pack.refresh_from_db(fields=["reshoots", "replacements"])
    counts = dict(pack.gate_counts.values_list("outcome", "count"))
    rejected = {f"rejected_{reason}": number for reason, number in counts.items() if reason != GateCount.ACCEPTED}
    numbers = {"generated": sum(counts.values()), GateCount.ACCEPTED: counts.get(GateCount.ACCEPTED, 0), **rejected}
    record_pack(pack, "quality_checked", numbers={**numbers, "reshot": pack.reshoots, "replaced": pack.replacements})


def main_reason(pack: Pack) -> str:
    """Why a pack has failed: what most of its shots were given up for."""
    reasons = pack.headshots.filter(state=Headshot.State.REJECTED).values_list("reasons", flat=True)
    codes = Counter(codes[0] for codes in reasons if codes)
    return min(codes, key=lambda code: (-codes[code], code)) if codes else Pack.Reason.ENGINE_FAILED


def _spend(pack: Pack, budget: str) -> bool:
    """Whether the pack had one of these left, which is now taken."""
    most = math.ceil(pack.total * settings.HEADSHOTS_RESHOOT_RATIO)
    return bool(Pack.objects.filter(pk=pack.pk, **{f"{budget}__lt": most}).update(**{budget: F(budget) + 1}))


def _choose_replacement(pack: Pack, row: Headshot, renders: int) -> tuple[Headshot, engine.PlannedShot] | None:
    """A shot that the pack does not have, and a row of its look: another look if there is one; None when it has had
    them all."""
    rows = list(pack.headshots.select_related("style", "version").order_by("style__position"))
    shot = engine.choose_replacement(to_planned_shot(row), renders, [to_planned_shot(each) for each in rows])
    return None if shot is None else (next(each for each in rows if each.style.name == shot.style.name), shot)


def _used_variants(pack: Pack, like: Headshot) -> set[tuple[str, str]]:
    """Framing and light of every shot of this pack on the same set."""
    rows = pack.headshots.select_related("style", "version")
    return {(row.framing, row.light) for row in rows if _style_of(row).set == _style_of(like).set}


def _style_of(row: Headshot) -> engine.StyleSpec:
    return engine.style_from(name=row.style.name, title=row.look.title, recipe=row.look.recipe)
