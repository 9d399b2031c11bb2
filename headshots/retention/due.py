"""What has to go now: found by the database's clock columns, not by messages, so none can be lost."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from headshots import heart
from headshots.retention.journal import truncate_journal
from headshots.retention.services import forget_pack, purge_delivered, purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultError

log = logging.getLogger(__name__)

_Row = TypeVar("_Row", bound=Model)


@dataclass
class Purged:
    """How much went, and how many shoots and packs could not be finished this time."""

    keys: int = 0
    shoots: int = 0
    packs: int = 0
    failed: int = 0


def purge_due() -> Purged:
    """Forget all whose time has come, go on with what a crash left half done. Safe to run twice and at once.

    What fails is logged and counted, and does not keep the rest from going."""
    purged = Purged(keys=len(vault.sweep_expired_keys()))
    _each(due_shoots(), lambda shoot: begin_purge(shoot, everything=shoot.owner_id is None), purged)
    _each(delivered_shoots(), lambda shoot: purge_delivered(shoot=shoot), purged)
    _each(_shoots_without_key(), begin_purge, purged)
    purged.shoots = _each(
        Shoot.objects.filter(state=Shoot.State.PURGING), lambda shoot: purge_shoot(shoot=shoot), purged
    )
    purged.packs = _each(expired_packs(), lambda pack: forget_pack(pack=pack), purged)
    truncate_journal()
    if purged.shoots or purged.packs or purged.failed:
        log.info("purged: %s", purged)
    return purged


def due_shoots() -> QuerySet[Shoot]:
    """Shoots whose photos have to go; a guest's, which no account can open, loses everything at that time."""
    unclaimed = Q(owner=None, purge_everything=False)
    return Shoot.objects.filter(Q(state=Shoot.State.OPEN) | unclaimed, delete_after__lte=timezone.now())


def delivered_shoots() -> QuerySet[Shoot]:
    """Open shoots with a premium pack that was delivered since the oldest of them began.

    Usually the delivery itself ends them; here are those whose message was lost, or whose last pack ended later."""
    since = timezone.now() - timedelta(seconds=settings.HEADSHOTS_SOURCE_TTL_SECONDS)
    delivered = Pack.objects.filter(kind=Pack.Kind.PREMIUM, state=Pack.State.DELIVERED, delivered_at__gte=since)
    return Shoot.objects.filter(pk__in=delivered.values("shoot_id"), state=Shoot.State.OPEN, keep_photos=False)


def expired_packs() -> QuerySet[Pack]:
    """Packs whose finished headshots have to go: some days after delivery, or after the order if none came."""
    now = timezone.now()
    ended = Pack.objects.exclude(state__in=[*Pack.LIVE, Pack.State.FORGOTTEN])
    ordered_before = now - timedelta(days=settings.HEADSHOTS_RESULT_DAYS)
    return ended.filter(Q(expires_at__lte=now) | Q(expires_at=None, created_at__lte=ordered_before))


def _shoots_without_key() -> list[Shoot]:
    """Open shoots whose photos cannot be opened any more: their key has expired, or its ring was lost."""
    still_open = Shoot.objects.filter(state=Shoot.State.OPEN)
    return [shoot for shoot in still_open if not vault.key_exists(ring="source", key_id=shoot.pk)]


def _each(rows: Iterable[_Row], act: Callable[[_Row], bool], purged: Purged) -> int:
    """How many rows it was done to."""
    done = 0
    for row in list(rows):
        heart.progress()
        try:
            done += act(row)
        except (VaultError, DatabaseError, OSError) as error:
            # Its row still says that it has to go: the next beat tries again.
            log.error("could not forget %s %s: %s", row._meta.model_name, row.pk, type(error).__name__)
            purged.failed += 1
    return done
