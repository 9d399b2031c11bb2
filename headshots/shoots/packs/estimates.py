"""Estimate the progress of a pack and the time left.

Right within a third is the aim; docs/benchmarks.md says how near it came.
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

# The last so many pictures make the pace, and as many as the engine makes at once, which come together.
WINDOW = 10
# So many pictures of its own weigh as much as all past packs together.
PAST_WEIGHT = 2
# From here on a preparation's length is told by its own pace alone; before, past ones count too. Its beginning says
# little: loading, and whatever else the machine did in those seconds.
SURE_SHARE = 0.5
_EVENTS_SAMPLED = 20
# Shorter than a preview takes: a pack ordered right after it is estimated by its pace already.
_CACHED_SECONDS = 10


@dataclass(frozen=True)
class Pace:
    """What packs of one engine and kind take: seconds for the person, and for a picture with all that belongs to it."""

    preparing: float
    picture: float


@dataclass(frozen=True)
class Facts:
    """What is known of a pack in work.

    done: when its pictures came, in this run, in order; missing: how many are still to come. since: when preparing
    the person began, and share: 0..1 of it that is done; began: when the person was ready. ahead: packs that come
    first, waiting: the seconds that they will take."""

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
    """share: 0..1 of the pack's work that is done; preparing: 0..1 of making the person ready, None when that is over
    or has not begun; ahead: packs that come first."""

    share: float
    seconds_left: float
    preparing: float | None = None
    ahead: int = 0


# Until packs made here say better, a preview and a premium pack: the studio's as measured on two quiet cores (the
# preview by a worker that has just started), those of engines that draw as computed for a large GPU
# (docs/benchmarks.md, docs/operations.md).
_STUDIO = (Pace(2.0, 1.2), Pace(180.0, 2.1))
_OTHERS = (Pace(5.0, 2.5), Pace(10.0, 3.0))


def estimate_from(facts: Facts, now: datetime) -> Estimate:
    """Pure: where a pack stands."""
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
        # What is on its way has been under work since the last one came.
        left -= min(picture, (now - facts.done[-1]).total_seconds())
    whole = preparing + facts.total * picture
    share = 1 - left / whole if whole > 0 else 0.0
    is_preparing = facts.began is None and facts.since is not None
    return Estimate(min(1.0, max(0.0, share)), facts.waiting + left, facts.share if is_preparing else None, facts.ahead)


def _picture_seconds(facts: Facts) -> float:
    """Seconds from one picture to the next, however many workers make them."""
    if not facts.done or facts.began is None:
        return facts.pace.picture
    count = len(facts.done)
    window = max(WINDOW, settings.HEADSHOTS_INSTANTID_MAX_BATCH)
    first = facts.done[-1 - window] if count > window else facts.began
    own = (facts.done[-1] - first).total_seconds() / min(count, window)
    return (count * own + PAST_WEIGHT * facts.pace.picture) / (count + PAST_WEIGHT)


def estimate(pack: Pack, rows: Sequence[Headshot]) -> Estimate | None:
    """Where this pack stands; None when nobody works on it, now or soon. rows: all of its headshots."""
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
        # Preparing took no more than seconds, of which no table says when they were.
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
    """The pace of the last packs of this engine and kind, and before the first one what was measured elsewhere."""
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
    # The same machine has made previews: how much slower is it than the one that was measured? Never quicker: a
    # worker that has been running for a while is, with previews.
    slower = max(1.0, past_pace(engine_name, Pack.Kind.PREVIEW).picture / preview.picture)
    return Pace(premium.preparing * slower, premium.picture * slower)


def _last_numbers(event: str, engine_name: str, kind: str) -> list[dict[str, float]]:
    """Return the numbers of the last events of this name for packs of this engine and kind."""
    events = Event.objects.filter(name=event, codes__engine=engine_name, codes__kind=kind)
    return list(events.order_by("-at").values_list("numbers", flat=True)[:_EVENTS_SAMPLED])


def seconds_needed(*, engine_name: str, count: int) -> float:
    """How long a premium pack of `count` that is ordered now will take, with all that comes before it."""
    pace = past_pace(engine_name, Pack.Kind.PREMIUM)
    in_work = Pack.objects.filter(state__in=(Pack.State.QUEUED, Pack.State.RENDERING))
    return sum(_seconds_of(in_work)) / _workers() + pace.preparing + count * pace.picture


def _seconds_before(pack: Pack) -> list[float]:
    """Estimate each pack that is being rendered or was queued before. Packs awaiting a retry are skipped."""
    is_due = Q(retry_at=None) | Q(retry_at__lte=timezone.now())
    before = Q(state=Pack.State.RENDERING) | Q(is_due, state=Pack.State.QUEUED, queued_at__lt=pack.queued_at)
    return _seconds_of(Pack.objects.filter(before).exclude(pk=pack.pk))


def _seconds_of(packs: QuerySet[Pack]) -> list[float]:
    """What is left to do on each of these packs."""
    missing = Count("headshots", filter=~Q(headshots__state=Headshot.State.DONE))
    counted = packs.annotate(missing=missing).values_list("engine", "kind", "total", "missing")
    paces = [(past_pace(engine_name, kind), total, left) for engine_name, kind, total, left in counted]
    return [(pace.preparing if left == total else 0.0) + left * pace.picture for pace, total, left in paces]


def _workers() -> int:
    """How many make pictures at this moment; one at least."""
    held = Headshot.objects.filter(state=Headshot.State.RENDERING, lease_until__gte=timezone.now())
    return max(1, held.values("lease_holder").distinct().count())
