"""Estimate the progress of a pack and the time left.

The aim is an error below one third. docs/benchmarks.md has the measured errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from headshots.shoots.models import Event, Headshot, Pack, Pause, Preparation
from headshots.shoots.pauses import is_paused

# The pace of a pack is measured over this many of its last pictures, or over one batch of the engine if that is more:
# the pictures of a batch arrive together.
WINDOW = 10
# The pace of past packs weighs as much as this many pictures of the pack itself.
PAST_WEIGHT = 2
# From this progress on, only the preparation's own pace predicts its duration. Before, past preparations count as
# well, because the first seconds say little: they include loading, and other work of the machine.
SURE_SHARE = 0.5
_EVENTS_SAMPLED = 20
# Shorter than a preview takes, so that a pack ordered right after its preview is estimated by the preview's pace.
_CACHED_SECONDS = 10


@dataclass(frozen=True)
class Pace:
    """The seconds that packs of one engine and kind take: to prepare the subject, and to complete one picture."""

    preparing: float
    picture: float


@dataclass(frozen=True)
class Facts:
    """Inputs of the time estimate for one pack.

    Attributes:
        pace: the pace of past packs.
        total: number of pictures of the pack.
        missing: number of pictures still to render.
        done: completion times of this run's pictures, in order.
        since: when preparation of the subject started.
        share: fraction of the preparation that is done, 0..1.
        began: when preparation finished.
        ahead: number of packs that are rendered before this one.
        waiting: estimated seconds until those packs are done."""

    pace: Pace
    total: int
    missing: int
    done: tuple[datetime, ...] = ()
    since: datetime | None = None
    share: float = 0.0
    began: datetime | None = None
    ahead: int = 0
    waiting: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """The estimated progress of a pack.

    Attributes:
        share: fraction of the pack's work that is done, 0..1.
        seconds_left: seconds until the pack is done, including the packs before it.
        preparing: fraction of the preparation that is done, 0..1. None before and after the preparation.
        ahead: number of packs that are rendered before this one."""

    share: float
    seconds_left: float
    preparing: float | None = None
    ahead: int = 0


# The assumed pace of (preview, premium), used until packs were rendered here. The studio engine's was measured on two
# idle cores, with a worker that had just started for the preview. The pace of generative engines was computed for a
# large GPU (docs/benchmarks.md, docs/instantid.md).
_STUDIO = (Pace(2.0, 1.2), Pace(180.0, 2.1))
_OTHERS = (Pace(5.0, 4.0), Pace(10.0, 5.0))


def estimate_from(facts: Facts, now: datetime) -> Estimate:
    """Compute the estimate from the facts, as a pure function."""
    picture = _picture_seconds(facts)
    preparing, prepared = facts.pace.preparing, 0.0
    if facts.began is not None:
        prepared = 1.0
        if facts.since is not None:
            preparing = (facts.began - facts.since).total_seconds()
    elif facts.since is not None:
        elapsed = (now - facts.since).total_seconds()
        own = min(1.0, facts.share / SURE_SHARE) ** 2
        by_own_pace = elapsed / facts.share if own else 0.0
        preparing = max(elapsed, own * by_own_pace + (1 - own) * preparing)
        prepared = elapsed / preparing if preparing else 0.0
    left = (1 - prepared) * preparing + facts.missing * picture
    if facts.done and facts.missing:
        # The next picture has been in progress since the last one was completed.
        left -= min(picture, (now - facts.done[-1]).total_seconds())
    whole = preparing + facts.total * picture
    share = 1 - left / whole if whole > 0 else 0.0
    is_preparing = facts.began is None and facts.since is not None
    return Estimate(min(1.0, max(0.0, share)), facts.waiting + left, facts.share if is_preparing else None, facts.ahead)


def _picture_seconds(facts: Facts) -> float:
    """Return the seconds from one picture to the next, of all workers together."""
    if not facts.done or facts.began is None:
        return facts.pace.picture
    count = len(facts.done)
    window = max(WINDOW, settings.HEADSHOTS_INSTANTID_MAX_BATCH)
    first = facts.done[-1 - window] if count > window else facts.began
    own = (facts.done[-1] - first).total_seconds() / min(count, window)
    return (count * own + PAST_WEIGHT * facts.pace.picture) / (count + PAST_WEIGHT)


def estimate(pack: Pack, rows: Sequence[Headshot]) -> Estimate | None:
    """Estimate the progress of a pack.

    rows: all headshots of the pack.
    Returns None if the pack is not queued or rendering, is paused, or awaits a retry."""
    is_made = pack.state in (Pack.State.QUEUED, Pack.State.RENDERING) and not pack.awaiting_retry
    if not is_made or is_paused(Pause.Part.RENDERING):
        return None
    return estimate_from(_gather(pack, rows), timezone.now())


def _gather(pack: Pack, rows: Sequence[Headshot]) -> Facts:
    pace = past_pace(pack.engine, pack.kind)
    missing = sum(row.state != Headshot.State.DONE for row in rows)
    if pack.state == Pack.State.QUEUED:
        ahead = _seconds_before(pack)
        return Facts(pace=pace, total=pack.total, missing=missing, ahead=len(ahead), waiting=sum(ahead) / _workers())
    moved = Event.objects.filter(pack_id=pack.pk, name="pack.rendering").order_by("-at").first()
    started = moved.at if moved else pack.created_at
    done = tuple(sorted(row.done_at for row in rows if row.done_at and row.done_at >= started))
    preparation = Preparation.objects.filter(pack=pack).select_related("blob").first()
    if preparation is None:
        # Preparing takes only seconds here, and no table records when it ends. The first picture shows that it did.
        return Facts(
            pace=pace, total=pack.total, missing=missing, done=done, since=started, began=started if done else None
        )
    return Facts(
        pace=pace,
        total=pack.total,
        missing=missing,
        done=done,
        since=preparation.began_at,
        share=preparation.share,
        began=preparation.blob.created_at if preparation.blob else None,
    )


def past_pace(engine_name: str, kind: str) -> Pace:
    """Return the pace of the last packs of this engine and kind, or the assumed pace before the first one.

    The result is cached for a few seconds."""
    name = f"pace:{engine_name}:{kind}"
    pace: Pace | None = cache.get(name)
    if pace is None:
        pace = _measure_pace(engine_name, kind)
        cache.set(name, pace, _CACHED_SECONDS)
    return pace


def _measure_pace(engine_name: str, kind: str) -> Pace:
    assumed = _assumed_pace(engine_name, kind)
    prepared = _last_numbers("pack.prepared", engine_name, kind)
    rendered = _last_numbers("pack.rendered", engine_name, kind)
    preparing = sorted(numbers["seconds"] for numbers in prepared)
    pictures = sum(numbers.get("pictures", 0) for numbers in rendered)
    return Pace(
        preparing=preparing[len(preparing) // 2] if preparing else assumed.preparing,
        picture=sum(numbers["seconds"] for numbers in rendered) / pictures if pictures else assumed.picture,
    )


def _assumed_pace(engine_name: str, kind: str) -> Pace:
    """Return the pace as long as no pack of this engine and kind was made here."""
    preview, premium = _STUDIO if engine_name == "studio" else _OTHERS
    if kind == Pack.Kind.PREVIEW:
        return preview
    # Scale by how much slower than assumed this machine renders previews. Never scale to a faster pace: previews of a
    # worker that has been running for a while are always faster than the assumed one.
    slower = max(1.0, past_pace(engine_name, Pack.Kind.PREVIEW).picture / preview.picture)
    return Pace(premium.preparing * slower, premium.picture * slower)


def _last_numbers(event: str, engine_name: str, kind: str) -> list[dict[str, float]]:
    """Return the numbers of the last events of this name for packs of this engine and kind."""
    events = Event.objects.filter(name=event, codes__engine=engine_name, codes__kind=kind)
    return list(events.order_by("-at").values_list("numbers", flat=True)[:_EVENTS_SAMPLED])


def seconds_needed(*, engine_name: str, count: int) -> float:
    """Estimate the seconds until a premium pack of `count` pictures is done if it is ordered now.

    This includes all packs that are queued or being rendered."""
    pace = past_pace(engine_name, Pack.Kind.PREMIUM)
    in_work = Pack.objects.filter(state__in=(Pack.State.QUEUED, Pack.State.RENDERING))
    return sum(_seconds_of(in_work)) / _workers() + pace.preparing + count * pace.picture


def _seconds_before(pack: Pack) -> list[float]:
    """Estimate each pack that is being rendered or was queued before. Packs awaiting a retry are skipped."""
    is_due = Q(retry_at=None) | Q(retry_at__lte=timezone.now())
    before = Q(state=Pack.State.RENDERING) | Q(is_due, state=Pack.State.QUEUED, queued_at__lt=pack.queued_at)
    return _seconds_of(Pack.objects.filter(before).exclude(pk=pack.pk))


def _seconds_of(packs: QuerySet[Pack]) -> list[float]:
    """Estimate the seconds of work left on each of these packs."""
    unmade = Count("headshots", filter=~Q(headshots__state=Headshot.State.DONE))
    counted = packs.annotate(unmade=unmade).values_list("engine", "kind", "total", "unmade")
    paces = [(past_pace(engine_name, kind), total, left) for engine_name, kind, total, left in counted]
    return [(pace.preparing if left == total else 0.0) + left * pace.picture for pace, total, left in paces]


def _workers() -> int:
    """Return how many workers are rendering now, at least 1."""
    held = Headshot.objects.filter(state=Headshot.State.RENDERING, lease_until__gte=timezone.now())
    return max(1, held.values("lease_holder").distinct().count())
