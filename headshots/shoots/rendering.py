"""How a worker makes a pack: claim rows, shoot, hold against the person, store, until none is left.

Nothing here holds a transaction open while the engine works. What keeps two workers off
one row is a lease: whoever's token stands in the row may finish it, and a lease that
was not renewed in time may be taken over.
"""

import logging
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from headshots import engine, heart
from headshots.celery import app
from headshots.shoots.checks import best_first, stored
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.live import nudge
from headshots.shoots.models import Headshot, Pack, Pause, Shoot
from headshots.shoots.pausing import is_paused
from headshots.shoots.person import read_person
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
_RENEW_EVERY_SECONDS = 2.0
_State = Headshot.State

# This worker's name among all workers, set when it starts.
node_name = ""

# The people this worker has prepared, by pack: in memory only, two at most, dropped when their pack ends.
_sitters: OrderedDict[uuid.UUID, engine.Sitter] = OrderedDict()


def render_pack(*, pack: Pack) -> None:
    """Make what is left of this pack; safe to run twice and on several workers at once."""
    _drop_sitters()
    advance(pack, Pack.State.RENDERING)
    size = engine.Size(pack.width, pack.height)
    try:
        while rows := claim(pack, engine.capacity(size)):
            _shoot(pack, size, rows)
    except engine.Cancelled:
        log.info("pack %s: stopped, no longer wanted", pack.pk)
    except KeyGone:
        # The photos' key is dead, by time or by a lost ring: nothing more can be made of them.
        log.info("pack %s: the key of its photos is gone", pack.pk)
        begin_purge(pack.shoot)
    finally:
        _finish(pack)
        _drop_sitters()
        nudge(pack.shoot_id)


def claim(pack: Pack, count: int) -> list[Headshot]:
    """Up to `count` rows that are free or whose lease ran out, leased to the caller under one new token."""
    if is_paused(Pause.What.RENDERING):
        return []
    now = timezone.now()
    token = uuid.uuid4()
    free = Q(state=_State.PENDING) | Q(state=_State.RENDERING, lease_until__lt=now)
    rows = Headshot.objects.filter(
        free, pack=pack, pack__state=Pack.State.RENDERING, pack__shoot__state=Shoot.State.OPEN
    )
    with transaction.atomic():
        # Three workers died over it, or the engine failed three times: a fourth try would only cost time.
        rows.filter(attempts__gte=MAX_ATTEMPTS).update(
            state=_State.REJECTED, reasons=["engine_failed"], lease_token=None, lease_until=None
        )
        ids = list(rows.values_list("pk", flat=True)[:count])
        Headshot.objects.filter(free, pk__in=ids).update(
            state=_State.RENDERING,
            lease_token=token,
            lease_until=_lease_end(),
            lease_holder=node_name,
            attempts=F("attempts") + 1,
        )
    return list(Headshot.objects.filter(lease_token=token).select_related("style"))


def free_own_leases() -> None:
    """Free the rows that a worker of this name held when it was killed, and go on with their packs."""
    held = Headshot.objects.filter(state=_State.RENDERING, lease_holder=node_name)
    packs = set(held.values_list("pack_id", flat=True))
    held.update(state=_State.PENDING, lease_token=None, lease_until=None)
    for pack_id in packs:
        log.info("pack %s: going on where a worker died", pack_id)
        app.send_task("shoots.render_pack", args=[str(pack_id)])


def _shoot(pack: Pack, size: engine.Size, rows: Sequence[Headshot]) -> None:
    token = rows[0].lease_token
    keep_going = _KeepGoing(pack, token)
    try:
        sitter = _sitter(pack, size, keep_going)
        shots = {row.index: _planned(row) for row in rows}
        by_index = {row.index: row for row in rows}
        for finished in engine.render(sitter, list(shots.values()), size, keep_going):
            row = by_index[finished.index]
            if finished.accepted:
                _keep(pack, row, finished)
            else:
                _refuse(pack, row, shots[finished.index], finished)
            nudge(pack.shoot_id)
    finally:
        # What this worker could not finish is free at once; after kill -9 the lease has to run out.
        Headshot.objects.filter(lease_token=token, state=_State.RENDERING).update(
            state=_State.PENDING, lease_token=None, lease_until=None
        )


class _KeepGoing:
    """The engine's progress callback: renews the lease, beats the heart, stops work that nobody wants any more."""

    def __init__(self, pack: Pack, token: uuid.UUID | None) -> None:
        self._pack = pack
        self._token = token
        self._renewed = time.monotonic()

    def __call__(self, share: float) -> None:
        heart.progress()
        if time.monotonic() - self._renewed < _RENEW_EVERY_SECONDS:
            return
        self._renewed = time.monotonic()
        renewed = Headshot.objects.filter(
            lease_token=self._token, pack__state=Pack.State.RENDERING, pack__shoot__state=Shoot.State.OPEN
        ).update(lease_until=_lease_end())
        if not renewed:
            raise engine.Cancelled


def _keep(pack: Pack, row: Headshot, finished: engine.Finished) -> None:
    """Store a picture, unless the lease was lost or the pack ended while it was made."""
    try:
        blob = vault.write_blob(ring="result", key_id=pack.pk, kind="headshot", data=finished.jpeg)
    except KeyGone:
        raise engine.Cancelled from None
    kept = Headshot.objects.filter(
        pk=row.pk,
        lease_token=row.lease_token,
        state=_State.RENDERING,
        pack__state=Pack.State.RENDERING,
        pack__shoot__state=Shoot.State.OPEN,
    ).update(
        state=_State.DONE,
        blob=blob,
        likeness=finished.likeness,
        reasons=[],
        done_at=timezone.now(),
        lease_token=None,
        lease_until=None,
    )
    if not kept:
        vault.delete_blob(blob)


def _refuse(pack: Pack, row: Headshot, shot: engine.PlannedShot, finished: engine.Finished) -> None:
    """Shoot it again with another seed while the pack's budget lasts, else give the shot up."""
    budget = math.ceil(pack.total * settings.HEADSHOTS_RESHOOT_SHARE)
    mine = Headshot.objects.filter(pk=row.pk, lease_token=row.lease_token, state=_State.RENDERING)
    if Pack.objects.filter(pk=pack.pk, reshoots__lt=budget).update(reshoots=F("reshoots") + 1):
        seed = engine.reshoot(shot, row.attempts)
        mine.update(
            state=_State.PENDING, seed=seed, attempts=0, reasons=finished.reasons, lease_token=None, lease_until=None
        )
    else:
        mine.update(state=_State.REJECTED, reasons=finished.reasons, lease_token=None, lease_until=None)


def _finish(pack: Pack) -> None:
    """Advance the pack when no row is left to make: delivered if all are done, else failed."""
    rows = list(pack.headshots.values_list("state", "reasons"))
    states = {state for state, _ in rows}
    if not rows or states & {_State.PENDING, _State.RENDERING}:
        return
    if states == {_State.DONE}:
        advance(pack, Pack.State.DELIVERED)
    else:
        reasons = [reason for state, codes in rows if state == _State.REJECTED for reason in codes]
        advance(pack, Pack.State.FAILED, reason=reasons[0] if reasons else "engine_failed")


def _sitter(pack: Pack, size: engine.Size, keep_going: _KeepGoing) -> engine.Sitter:
    if pack.pk not in _sitters:
        photos = best_first(pack.shoot.photos.select_related("blob", "faces_blob"))
        # The preview is of the best photo alone; a pack spreads over all of them.
        wanted = photos[:1] if pack.kind == Pack.Kind.PREVIEW else photos
        words = read_person(shoot=pack.shoot)
        _sitters[pack.pk] = engine.prepare([stored(photo) for photo in wanted], size, keep_going, words)
        if len(_sitters) > 2:
            _sitters.popitem(last=False)
    return _sitters[pack.pk]


def _drop_sitters() -> None:
    """Forget everybody whose pack has ended or whose shoot was closed, whoever ended it."""
    wanted = set(
        Pack.objects.filter(
            pk__in=list(_sitters), state=Pack.State.RENDERING, shoot__state=Shoot.State.OPEN
        ).values_list("pk", flat=True)
    )
    for pack_id in set(_sitters) - wanted:
        del _sitters[pack_id]


def _planned(row: Headshot) -> engine.PlannedShot:
    style = engine.style_from(name=row.style.name, title=row.style.title, recipe=row.style.recipe)
    return engine.PlannedShot(row.index, row.seed, style, row.framing, row.light)


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.HEADSHOTS_LEASE_SECONDS)
