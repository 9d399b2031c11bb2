"""Every move a shoot's packs can make, and what each arrival starts.

Tasks are named, not imported: the rooms above this one (payments, retention) hang
theirs in here without this one knowing them.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from headshots.celery import app
from headshots.shoots.models import Event, Pack, Shoot
from headshots.vault import services as vault

_State = Pack.State
_LIVE_ENDS = frozenset({_State.CANCELLED, _State.REVOKED})

MOVES: dict[str, frozenset[str]] = {
    _State.AWAITING_PAYMENT: _LIVE_ENDS | {_State.QUEUED},
    _State.QUEUED: _LIVE_ENDS | {_State.RENDERING, _State.FAILED},
    _State.RENDERING: _LIVE_ENDS | {_State.DELIVERED, _State.FAILED},
    _State.FAILED: frozenset({_State.QUEUED, _State.FORGOTTEN}),
    _State.DELIVERED: frozenset({_State.FORGOTTEN}),
    _State.CANCELLED: frozenset({_State.FORGOTTEN}),
    _State.REVOKED: frozenset({_State.FORGOTTEN}),
    _State.FORGOTTEN: frozenset(),
}

# State entered -> names of the tasks it starts, each with the pack's id.
STARTS: dict[str, tuple[str, ...]] = {
    _State.QUEUED: ("shoots.render_pack",),
    _State.DELIVERED: ("retention.purge_delivered", "shoots.drop_kept", "shoots.mail_delivered"),
    _State.FAILED: ("payments.give_back_credit", "shoots.drop_kept"),
    _State.CANCELLED: ("payments.give_back_credit", "shoots.drop_kept"),
    _State.REVOKED: ("shoots.drop_kept",),
}

MOST_SETBACKS = 3


def advance(pack: Pack, to: str, *, actor: str = Event.Actor.SYSTEM, reason: str = "") -> bool:
    """Whether this caller moved the pack: False when the move is not allowed or somebody else was first.

    Works on the database's state, not on the one in `pack`; `pack` is refreshed when moved."""
    now = timezone.now()
    with transaction.atomic():
        current, queued_at = Pack.objects.values_list("state", "queued_at").get(pk=pack.pk)
        if to not in MOVES[current]:
            return False
        changes: dict[str, object] = {"state": to, "reason": reason}
        numbers: dict[str, float] = {}
        if to == _State.QUEUED:
            changes["queued_at"] = now
        elif to == _State.DELIVERED:
            changes["delivered_at"] = now
            changes["mail_due"] = pack.kind == Pack.Kind.PREMIUM
            changes["expires_at"] = now + timedelta(days=settings.HEADSHOTS_RESULT_DAYS)
            # A premium pack is queued the moment it is paid for.
            numbers = {"pictures": pack.total, "seconds": round((now - queued_at).total_seconds()) if queued_at else 0}
        if not Pack.objects.filter(pk=pack.pk, state=current).update(**changes):
            return False
        record_pack(pack, to, actor=actor, reason=reason, numbers=numbers)
        start_tasks(to, pack.pk)
    pack.refresh_from_db()
    return True


def set_back(pack: Pack, reason: str) -> bool:
    """Count a run on this pack that ended in a fault and brought no picture; the third in a row fails the pack for
    good, with that reason. Whether it has failed."""
    Pack.objects.filter(pk=pack.pk).update(setbacks=F("setbacks") + 1)
    if Pack.objects.filter(pk=pack.pk, setbacks__gte=MOST_SETBACKS).exists():
        advance(pack, _State.FAILED, reason=reason)
        return True
    return False


def start_tasks(state: str, pack_id: UUID) -> None:
    """Send what arriving in `state` starts, once the transaction holds."""
    for task in STARTS.get(state, ()):
        send_on_commit(task, str(pack_id))


def send_on_commit(task: str, *ids: str) -> None:
    """Wake a worker after the commit. A broker that is away costs time, not truth: beat wakes again."""
    transaction.on_commit(partial(app.send_task, task, args=ids), robust=True)


def begin_purge(shoot: Shoot, *, actor: str = Event.Actor.SYSTEM, everything: bool = False) -> bool:
    """Whether this caller closed the shoot. From here on nothing of it is shown and nothing new is stored.

    With `everything` the finished headshots go too; that may be asked again of a shoot
    whose photos have gone already (`purged -> purging`)."""
    shoots = Shoot.objects.filter(pk=shoot.pk)
    with transaction.atomic():
        if everything:
            moved = shoots.filter(purge_everything=False).update(state=Shoot.State.PURGING, purge_everything=True)
        else:
            moved = shoots.filter(state=Shoot.State.OPEN).update(state=Shoot.State.PURGING)
        if not moved:
            return False
        record("shoot.purging", shoot_id=shoot.pk, actor=actor)
        # The key dies with the click, not when the retention worker comes to it.
        transaction.on_commit(partial(vault.destroy_key, ring="source", key_id=shoot.pk), robust=True)
        send_on_commit("retention.purge_shoot", str(shoot.pk))
    shoot.refresh_from_db()
    return True


def end_purge(shoot: Shoot, *, numbers: dict[str, float]) -> bool:
    """Whether this caller closed the purge of what `shoot` asks for; False when somebody was faster or asked for more.

    `purged_at` is when the photos went: it stays when the headshots go later."""
    purging = Shoot.objects.filter(pk=shoot.pk, state=Shoot.State.PURGING, purge_everything=shoot.purge_everything)
    with transaction.atomic():
        if not purging.update(state=Shoot.State.PURGED, purged_at=Coalesce("purged_at", timezone.now())):
            return False
        record("shoot.purged", shoot_id=shoot.pk, numbers=numbers)
    shoot.refresh_from_db()
    return True


def record(
    name: str,
    *,
    shoot_id: UUID,
    pack_id: UUID | None = None,
    actor: str = Event.Actor.SYSTEM,
    codes: Mapping[str, str | list[str]] | None = None,
    numbers: Mapping[str, float] | None = None,
) -> None:
    """Write one event. `codes` are words of the product's own lists (kind, engine, worker, reason, reasons), `numbers`
    counts and durations; neither says anything about a person."""
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
    """Write `pack.<what>` with the pack's kind and engine, so that figures outlive the pack's row."""
    codes = {"kind": pack.kind, "engine": pack.engine, **({"reason": reason} if reason else {})}
    record(f"pack.{what}", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=actor, codes=codes, numbers=numbers)
