"""Current statistics, counted from the database rows. Trial packs are excluded."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery, Sum
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone

from headshots.shoots.lifecycle import MAX_CONSECUTIVE_FAILURES
from headshots.shoots.models import Event, Headshot, Pack
from headshots.vault.models import Blob


@dataclass(frozen=True)
class QueueStats:
    """The packs that wait for a worker, and the pictures to render.

    waiting_since: when the pack that has waited longest was queued; None if none waits.
    pictures: pictures not rendered yet, of queued packs and of packs being rendered."""

    packs: int
    waiting_since: datetime | None
    pictures: int

    @property
    def longest_wait(self) -> timedelta:
        return timezone.now() - self.waiting_since if self.waiting_since else timedelta()


@dataclass(frozen=True)
class RingUsage:
    """The use of the vault by one key ring.

    size: total of its blobs, in bytes before encryption. oldest: when the oldest blob was created."""

    ring: str
    blobs: int
    size: int
    oldest: datetime


@dataclass(frozen=True)
class RetryingPack:
    """A failed pack that is being retried. reason: why its last run failed."""

    pack: Pack
    reason: str


def queue_stats() -> QueueStats:
    return QueueStats(*_waiting(), _pictures_to_render().order_by().count())


def queue_wait() -> tuple[int, timedelta]:
    """Return the number of waiting packs, and how long the first of them has waited.

    Cheaper than `queue_stats`, because pictures are not counted."""
    packs, since = _waiting()
    return packs, timezone.now() - since if since else timedelta()


def waiting_by_engine() -> dict[str, QueueStats]:
    """Return the queue statistics of each engine with waiting or unfinished packs, in two queries."""
    packs = Pack.objects.filter(state=Pack.State.QUEUED).exclude(kind=Pack.Kind.TRIAL).order_by()
    waiting = {
        engine: (count, since)
        for engine, count, since in packs.values_list("engine").annotate(packs=Count("*"), since=Min("queued_at"))
    }
    to_make = dict(_pictures_to_render().order_by().values_list("pack__engine").annotate(pictures=Count("*")))
    return {
        engine: QueueStats(*waiting.get(engine, (0, None)), to_make.get(engine, 0))
        for engine in sorted(waiting.keys() | to_make.keys())
    }


def packs_by_state() -> dict[tuple[str, str], int]:
    """Return the number of packs by (state, kind)."""
    rows = Pack.objects.exclude(kind=Pack.Kind.TRIAL).order_by().values_list("state", "kind").annotate(packs=Count("*"))
    return {(state, kind): packs for state, kind, packs in rows}


def retrying_packs() -> QuerySet[Pack]:
    """Select packs that are retried after failed runs, those with the most failures first."""
    made = (Pack.State.QUEUED, Pack.State.RENDERING)
    packs = Pack.objects.filter(state__in=made, consecutive_failures__gt=0).exclude(kind=Pack.Kind.TRIAL)
    return packs.order_by("-consecutive_failures", "queued_at")


def packs_failed_by_fault() -> QuerySet[Pack]:
    """Select packs that failed permanently by a system error within a day, the newest first.

    Leaves out packs that staff retried. Also leaves out packs that failed at the quality gate, where nothing is
    broken."""
    # Search by the event, which has an index by name and time: a pack does not store when it failed.
    failed = Event.objects.filter(name="pack.failed", at__gt=timezone.now() - timedelta(days=1))
    packs = Pack.objects.filter(
        state=Pack.State.FAILED, consecutive_failures__gte=MAX_CONSECUTIVE_FAILURES, pk__in=failed.values("pack_id")
    )
    return packs.exclude(kind=Pack.Kind.TRIAL).order_by("-expires_at")


def list_retrying(count: int) -> list[RetryingPack]:
    """Return the first `count` packs of `retrying_packs` with the reason of their last failure, in one query."""
    # Filter by the shoot as well: the shoot column of events has an index, the pack column has none.
    failed_runs = Event.objects.filter(name="pack.run_failed", shoot_id=OuterRef("shoot_id"), pack_id=OuterRef("pk"))
    last = Subquery(failed_runs.order_by("-at", "-pk").values(reason=KeyTextTransform("reason", "codes"))[:1])
    packs = retrying_packs().annotate(last_reason=last)[:count]
    return [RetryingPack(pack, pack.last_reason or "") for pack in packs]


def ring_usage() -> list[RingUsage]:
    """Return the usage of each key ring that has blobs."""
    rows = Blob.objects.order_by("ring").values_list("ring")
    # Count rows, not ids, so that one index covers the query.
    return [RingUsage(*row) for row in rows.annotate(blobs=Count("*"), size=Sum("size"), oldest=Min("created_at"))]


def last_failures(count: int) -> list[Event]:
    """Return the events of the last failed packs, newest first."""
    return list(Event.objects.filter(name="pack.failed").exclude(codes__kind=Pack.Kind.TRIAL).order_by("-at")[:count])


def _waiting() -> tuple[int, datetime | None]:
    packs = Pack.objects.filter(state=Pack.State.QUEUED).exclude(kind=Pack.Kind.TRIAL)
    found = packs.order_by().aggregate(packs=Count("*"), since=Min("queued_at"))
    return found["packs"], found["since"]


def _pictures_to_render() -> QuerySet[Headshot]:
    return Headshot.objects.filter(
        pack__state__in=(Pack.State.QUEUED, Pack.State.RENDERING),
        state__in=(Headshot.State.PENDING, Headshot.State.RENDERING),
    ).exclude(pack__kind=Pack.Kind.TRIAL)
