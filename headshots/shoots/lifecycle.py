"""The state machine of packs and shoots: every state change, and the tasks that each one starts.

Tasks are named, not imported: apps above this one (payments, retention) start theirs without being imported here.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from headshots.celery import send_on_commit
from headshots.shoots.models import Event, Headshot, Pack, Pause, Shoot
from headshots.vault import services as vault

_State = Pack.State
_UNDONE = frozenset(Pack.UNDONE)
TRANSITIONS: dict[str, frozenset[str]] = {
    _State.AWAITING_PAYMENT: _UNDONE | {_State.QUEUED},
    _State.QUEUED: _UNDONE | {_State.RENDERING, _State.FAILED},
    _State.RENDERING: _UNDONE | {_State.DELIVERED, _State.AWAITING_ANSWER, _State.FAILED},
    _State.AWAITING_ANSWER: _UNDONE | {_State.DELIVERED},
    _State.FAILED: frozenset({_State.QUEUED, _State.DELETED}),
    _State.DELIVERED: frozenset({_State.DELETED}),
    _State.CANCELED: frozenset({_State.DELETED}),
    _State.REVOKED: frozenset({_State.DELETED}),
    _State.DELETED: frozenset(),
}
# Names of the tasks that are started, with the pack's id, when a pack enters a state.
TASKS_ON_ENTRY: dict[str, tuple[str, ...]] = {
    _State.QUEUED: ("shoots.render_pack",),
    _State.AWAITING_ANSWER: ("shoots.delete_prepared_subject", "payments.mail_question"),
    _State.DELIVERED: (
        "retention.purge_delivered",
        "shoots.delete_prepared_subject",
        "shoots.mail_delivered",
        "payments.refund_missing",
    ),
    _State.FAILED: ("payments.return_credit", "shoots.delete_prepared_subject"),
    _State.CANCELED: ("payments.return_credit", "shoots.delete_prepared_subject"),
    _State.REVOKED: ("retention.delete_pack", "shoots.delete_prepared_subject"),
}
# Delay after the first failed run and after the second. A restart takes a minute; ten minutes let an operator react to
# an alert. Longer delays would use up the hours before the photos are deleted.
RETRY_DELAYS = (timedelta(minutes=1), timedelta(minutes=10))
MAX_CONSECUTIVE_FAILURES = len(RETRY_DELAYS) + 1


def advance(pack: Pack, to: str, *, actor: str = Event.Actor.SYSTEM, reason: str = "") -> bool:
    """Move a pack to a new state.

    Returns True if this call changed the state, and then updates the fields of `pack`. Returns False if the transition
    is not allowed, or another process was faster. Decides by the state in the database, not by `pack.state`."""
    now = timezone.now()
    may = [state for state, targets in TRANSITIONS.items() if to in targets]
    with transaction.atomic(savepoint=False):
        changes = {"state": to, "reason": reason} | _changes_on_entering(to, pack, now)
        if not Pack.objects.filter(pk=pack.pk, state__in=may).update(**changes):
            return False
        numbers: dict[str, float] = {}
        if to == _State.DELIVERED:
            numbers = _delivery_numbers(pack, now)
        record_pack(pack, to, actor=actor, reason=reason, numbers=numbers)
        start_tasks(to, pack.pk)
    for name, value in changes.items():
        setattr(pack, name, value)
    return True


def _changes_on_entering(state: str, pack: Pack, now: datetime) -> dict[str, object]:
    """Return the columns that change when a pack enters a state, in addition to its state and reason."""
    # Finished headshots are shown until this time.
    shown_until = now + timedelta(days=settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS)
    if state == _State.QUEUED:
        return {"queued_at": now, "expires_at": None, "ended_as": ""}
    if state == _State.AWAITING_ANSWER:
        # No row is open anymore, so this number does not change.
        return {"missing": pack.headshots.exclude(state=Headshot.State.DONE).count(), "mail_due": True}
    if state == _State.DELIVERED:
        is_premium = pack.kind == Pack.Kind.PREMIUM
        is_incomplete = Pack.objects.filter(pk=pack.pk, missing__gt=0).exists()
        shown = {"delivered_at": now, "expires_at": shown_until}
        return {"ended_as": state, **shown, "mail_due": is_premium, "refund_due": is_incomplete}
    if state == _State.FAILED:
        return {"ended_as": state, "expires_at": shown_until}
    if state in _UNDONE:
        # Nothing of the pack is kept, as if it had never been ordered.
        return {"ended_as": state, "expires_at": now}
    return {}


def _delivery_numbers(pack: Pack, now: datetime) -> dict[str, float]:
    """Return the numbers of a pack's delivery: pictures, missing ones, and seconds from the order to the last picture.

    The seconds count from the payment, because a premium pack is queued as soon as it is paid. The time in which an
    incomplete pack awaited its answer does not count."""
    queued_at, missing, last = Pack.objects.values_list("queued_at", "missing", Max("headshots__done_at")).get(
        pk=pack.pk
    )
    end = last if missing and last else now
    seconds = max(0, round((end - queued_at).total_seconds())) if queued_at else 0
    return {"pictures": pack.total - missing, **({"missing": missing} if missing else {}), "seconds": seconds}


def return_to_queue(pack: Pack) -> bool:
    """Return a pack from RENDERING to QUEUED if rendering is paused or a retry is scheduled, and no row is leased.

    Returns True if this call changed the state. This is not one of `TRANSITIONS`: the pack keeps its place in the
    queue, and no task is started."""
    waits = Exists(Pause.objects.filter(part=Pause.Part.RENDERING)) | Q(retry_at__gt=timezone.now())
    with transaction.atomic(savepoint=False):
        # One statement checks and updates, so that a pause that just ended or a new lease is not overlooked.
        if not Pack.objects.filter(waits, ~has_active_lease(), pk=pack.pk, state=_State.RENDERING).update(
            state=_State.QUEUED
        ):
            return False
        record_pack(pack, "returned_to_queue")
    pack.state = _State.QUEUED
    return True


def has_active_lease() -> Exists:
    """Return a condition for pack queries: a worker holds an unexpired lease on a row of the pack."""
    now = timezone.now()
    return Exists(Headshot.objects.filter(pack=OuterRef("pk"), state=Headshot.State.RENDERING, lease_until__gte=now))


def is_awaiting_retry(pack: Pack) -> bool:
    """Return True while no worker may start the pack.

    Returns False while a worker holds a lease on rows of the pack, because other workers may join that run."""
    return Pack.objects.filter(~has_active_lease(), pk=pack.pk, retry_at__gt=timezone.now()).exists()


def record_failure(pack: Pack, reason: str) -> bool:
    """Record a run that failed without a picture, and schedule a retry.

    The third failure in a row moves the pack to FAILED with this reason, and returns True. Failures before `retry_at`
    are ignored, because they come from runs that began earlier."""
    now = timezone.now()
    is_due = Q(retry_at=None) | Q(retry_at__lte=now)
    unfinished = (_State.QUEUED, _State.RENDERING)
    with transaction.atomic(savepoint=False):
        counted = Pack.objects.filter(is_due, pk=pack.pk, state__in=unfinished).select_for_update().first()
        if counted is None:
            return False
        consecutive_failures = counted.consecutive_failures + 1
        # A trial is retried without a delay, because a staff member waits for it on an open page.
        awaiting_retry = consecutive_failures < MAX_CONSECUTIVE_FAILURES and pack.kind != Pack.Kind.TRIAL
        retry_at = now + RETRY_DELAYS[consecutive_failures - 1] if awaiting_retry else None
        Pack.objects.filter(pk=pack.pk).update(consecutive_failures=consecutive_failures, retry_at=retry_at)
        # Recorded from the first failure on, so that the operator can repair the cause before the third.
        record_pack(pack, "run_failed", reason=reason, numbers={"consecutive_failures": consecutive_failures})
    if consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
        advance(pack, _State.FAILED, reason=reason)
        return True
    return False


def start_tasks(state: str, pack_id: UUID) -> None:
    """Send the tasks that start when a pack enters `state`, after the transaction commits."""
    for task in TASKS_ON_ENTRY.get(state, ()):
        send_on_commit(task, str(pack_id))


def key_expiry(created_at: datetime) -> datetime:
    """Return when the key of a shoot's photos expires."""
    return created_at + timedelta(seconds=settings.HEADSHOTS_PHOTO_TTL_SECONDS)


def purge_time(created_at: datetime) -> datetime:
    """Return when a shoot's photos are purged, shortly before their key expires.

    The margin is 1/288 of the key's lifetime, which is five minutes of 24 hours."""
    return created_at + timedelta(seconds=settings.HEADSHOTS_PHOTO_TTL_SECONDS) * 287 / 288


def begin_purge(shoot: Shoot, *, actor: str = Event.Actor.SYSTEM, everything: bool = False, lost: bool = False) -> bool:
    """Close a shoot and start its purge.

    Returns True if this call closed the shoot. A closed shoot shows no photos and stores nothing new.
    everything: delete the finished headshots too. This also works after the photos are purged (`purged -> purging`).
    lost: the key is gone although no deletion was requested. Live packs are then canceled as PHOTOS_LOST."""
    with transaction.atomic():
        if not begin_purges(Shoot.objects.filter(pk=shoot.pk), actor=actor, everything=everything, lost=lost):
            return False
        send_on_commit("retention.purge_shoot", str(shoot.pk))
    shoot.refresh_from_db()
    return True


def close_without_key(shoot: Shoot) -> bool:
    """Close a shoot whose key is gone.

    Returns True if this call closed the shoot. Before `delete_after`, the photos count as lost."""
    return begin_purge(shoot, lost=timezone.now() < shoot.delete_after)


def begin_purges(
    shoots: QuerySet[Shoot], *, actor: str = Event.Actor.SYSTEM, everything: bool = False, lost: bool = False
) -> list[UUID]:
    """Close many shoots, like `begin_purge`, but start no purge tasks.

    Returns the ids of the shoots that this call closed. The caller has to purge them."""
    may_close = Q(state=Shoot.State.OPEN)
    changes: dict[str, object] = {"state": Shoot.State.PURGING}
    if everything:
        may_close = Q(purge_everything=False)
        changes["purge_everything"] = True
    with transaction.atomic():
        ids = list(shoots.filter(may_close).select_for_update().values_list("pk", flat=True))
        if not ids:
            return []
        Shoot.objects.filter(pk__in=ids).update(**changes)
        Event.objects.bulk_create(Event(name="shoot.purging", shoot_id=shoot_id, actor=actor) for shoot_id in ids)
        # Destroy the keys now, because the retention worker may be busy.
        transaction.on_commit(lambda: vault.destroy_keys(ring="source", key_ids=ids), robust=True)
        end_live_packs(ids, reason=Pack.Reason.PHOTOS_LOST if lost else Pack.Reason.PHOTOS_DELETED, actor=actor)
    return ids


def end_live_packs(shoot_ids: Collection[UUID], *, reason: Pack.Reason, actor: str = Event.Actor.SYSTEM) -> None:
    """Cancel the unfinished packs of these shoots, and deliver those that await an answer.

    A premium pack counts as used if the customer deleted the photos after headshots of the pack were available.
    Otherwise 49 of 50 headshots could be downloaded for free. An incomplete pack without an answer counts as accepted:
    the missing headshots are refunded."""
    for pack in Pack.objects.filter(shoot_id__in=shoot_ids, state__in=Pack.LIVE):
        with transaction.atomic():
            # Lock the pack, so that no picture can be stored between the check and the cancellation.
            locked = Pack.objects.select_for_update().get(pk=pack.pk)
            if locked.state == _State.AWAITING_ANSWER:
                advance(pack, _State.DELIVERED, actor=actor)
                continue
            is_used = actor == Event.Actor.PERSON and pack.kind == Pack.Kind.PREMIUM and has_finished_headshots(pack)
            advance(pack, _State.CANCELED, actor=actor, reason=Pack.Reason.USED_AFTER_DELIVERY if is_used else reason)


def has_finished_headshots(pack: Pack) -> bool:
    """Return True if at least one headshot of the pack can be viewed and downloaded."""
    return pack.headshots.filter(state=Headshot.State.DONE).exists()


def is_consumed(pack: Pack) -> bool:
    """Return True if the customer received what was paid for, also after the pack is deleted."""
    return pack.delivered_at is not None or pack.reason == Pack.Reason.USED_AFTER_DELIVERY


def end_purges(shoots: Collection[Shoot], *, numbers: Mapping[UUID, Mapping[str, float]]) -> list[Shoot]:
    """Mark shoots as purged, and return those that this call changed.

    Skips shoots that another process finished, and shoots whose `purge_everything` was set after they were loaded.
    `purged_at` is when the photos were purged, and does not change when the headshots are purged later.
    numbers: the numbers of the purge event, by shoot id."""
    now = timezone.now()
    with transaction.atomic():
        purging = Shoot.objects.filter(pk__in=[shoot.pk for shoot in shoots], state=Shoot.State.PURGING)
        wanted = dict(purging.select_for_update().values_list("pk", "purge_everything"))
        ended = [shoot for shoot in shoots if wanted.get(shoot.pk) == shoot.purge_everything]
        Shoot.objects.filter(pk__in=[shoot.pk for shoot in ended]).update(
            state=Shoot.State.PURGED, purged_at=Coalesce("purged_at", now)
        )
        Event.objects.bulk_create(
            Event(name="shoot.purged", shoot_id=shoot.pk, numbers=dict(numbers[shoot.pk])) for shoot in ended
        )
    return ended


def mark_deleted(packs: Collection[Pack], *, actor: str = Event.Actor.SYSTEM) -> list[Pack]:
    """Move ended packs to DELETED, and return those that this call moved.

    The packs keep the reason for which they ended."""
    may = [state for state, targets in TRANSITIONS.items() if _State.DELETED in targets]
    with transaction.atomic():
        ended = Pack.objects.filter(pk__in=[pack.pk for pack in packs], state__in=may)
        ids = set(ended.select_for_update().values_list("pk", flat=True))
        Pack.objects.filter(pk__in=ids).update(state=_State.DELETED)
        deleted = [pack for pack in packs if pack.pk in ids]
        Event.objects.bulk_create(pack_event(pack, _State.DELETED, actor=actor, reason=pack.reason) for pack in deleted)
    return deleted


def record(
    name: str,
    *,
    shoot_id: UUID,
    pack_id: UUID | None = None,
    actor: str = Event.Actor.SYSTEM,
    codes: Mapping[str, str | list[str]] | None = None,
    numbers: Mapping[str, float] | None = None,
) -> None:
    """Write one event.

    codes: words of the product's own lists (kind, engine, worker, reason, reasons).
    numbers: counts and durations.
    Neither may contain anything about a person."""
    Event.objects.create(
        name=name, shoot_id=shoot_id, pack_id=pack_id, actor=actor, codes=codes or {}, numbers=numbers or {}
    )


def record_pack(
    pack: Pack,
    what: str,
    *,
    actor: str = Event.Actor.SYSTEM,
    reason: str = "",
    numbers: Mapping[str, float] | None = None,
) -> None:
    """Write the event `pack.<what>` with the pack's kind and engine, so that statistics outlive the pack's row."""
    pack_event(pack, what, actor=actor, reason=reason, numbers=numbers).save()


def pack_event(
    pack: Pack,
    what: str,
    *,
    actor: str = Event.Actor.SYSTEM,
    reason: str = "",
    numbers: Mapping[str, float] | None = None,
) -> Event:
    """Return the event that `record_pack` writes, without saving it."""
    codes = {"kind": pack.kind, "engine": pack.engine, **({"reason": reason} if reason else {})}
    name = f"pack.{what}"
    return Event(name=name, shoot_id=pack.shoot_id, pack_id=pack.pk, actor=actor, codes=codes, numbers=numbers or {})
