"""Forgetting one shoot, one pack. The key dies first: from then on every copy of what it sealed is noise.

Each step may be repeated, and each service goes on where a crash left it: until its last step the row says
that there is work left, and beat comes back. Whoever calls them empties the journal afterwards.
"""

import logging
import time

from django.db import transaction

from headshots.retention.receipts import count_files, destroyed, issue_receipt, key_died, who_asked
from headshots.shoots.lifecycle import advance, begin_purge, end_purge
from headshots.shoots.models import Event, Headshot, Pack, Photo, Shoot
from headshots.vault import services as vault

log = logging.getLogger(__name__)


def purge_shoot(*, shoot: Shoot) -> bool:
    """Destroy the photos of a shoot that `begin_purge` closed, and all that derives from them; whether this call
    finished it. With `purge_everything` its headshots go too."""
    began = time.monotonic()
    shoot.refresh_from_db()
    if shoot.state != Shoot.State.PURGING:
        return False
    vault.destroy_key(ring="source", key_id=shoot.pk)
    key_died(ring="source", key_id=shoot.pk, shoot_id=shoot.pk)
    for pack in shoot.packs.filter(state__in=Pack.LIVE):
        advance(pack, Pack.State.CANCELLED, reason="photos_deleted")
    if shoot.purge_everything:
        for pack in shoot.packs.exclude(state__in=[*Pack.LIVE, Pack.State.FORGOTTEN]):
            forget_pack(pack=pack)
    vault.delete_files(ring="source", key_id=shoot.pk)
    with transaction.atomic():
        if _unfinished(shoot):
            return False
        photos = Photo.objects.filter(shoot=shoot)
        # A check that is storing its verdict at this moment is through before this line, or finds no photo after.
        list(photos.select_for_update().values_list("pk"))
        counts = count_files(ring="source", key_id=shoot.pk)
        rows, _ = photos.delete()
        blobs = vault.delete_blobs(ring="source", key_id=shoot.pk)
        numbers = {"rows": rows, "blobs": blobs, "seconds": round(time.monotonic() - began, 3)}
        destroyed(ring="source", key_id=shoot.pk, counts={**counts, "rows": rows})
        purged = end_purge(shoot, numbers=numbers)
        if purged:
            issue_receipt(shoot=shoot, asked_by=who_asked(shoot))
    if purged:
        log.info("shoot %s: purged, %d rows and %d blobs", shoot.pk, rows, blobs)
    return purged


def forget_pack(*, pack: Pack, actor: str = Event.Actor.SYSTEM) -> bool:
    """Destroy the finished headshots of a pack that has ended; whether this call finished it."""
    pack.refresh_from_db()
    if pack.is_live or pack.state == Pack.State.FORGOTTEN:
        return False
    vault.destroy_key(ring="result", key_id=pack.pk)
    key_died(ring="result", key_id=pack.pk, shoot_id=pack.shoot_id)
    vault.delete_files(ring="result", key_id=pack.pk)
    with transaction.atomic():
        counts = count_files(ring="result", key_id=pack.pk)
        Headshot.objects.filter(pack=pack).delete()
        blobs = vault.delete_blobs(ring="result", key_id=pack.pk)
        destroyed(ring="result", key_id=pack.pk, counts=counts)
        forgotten = advance(pack, Pack.State.FORGOTTEN, actor=actor, reason=pack.reason)
        # With everything else of its shoot it gets a receipt when all of it has gone.
        if forgotten and not pack.shoot.purge_everything:
            issue_receipt(shoot=pack.shoot, asked_by=actor)
    if forgotten:
        log.info("pack %s: forgotten, %d blobs", pack.pk, blobs)
    return forgotten


def purge_delivered(*, shoot: Shoot) -> bool:
    """Close a shoot whose premium pack is delivered; whether this call did. Its photos have served their purpose,
    unless another pack is still to be made of them or the person asked to keep them."""
    with transaction.atomic():
        # Locked against an order that comes at this moment.
        done = Shoot.objects.select_for_update().filter(pk=shoot.pk, state=Shoot.State.OPEN, keep_photos=False)
        if not done.exists() or shoot.packs.filter(state__in=Pack.LIVE).exists():
            return False
        delivered = shoot.packs.filter(kind=Pack.Kind.PREMIUM, state=Pack.State.DELIVERED)
        return delivered.exists() and begin_purge(shoot)


def _unfinished(shoot: Shoot) -> bool:
    """A pack that another worker moved while it was to be cancelled or forgotten: beat comes back for it."""
    left = shoot.packs.exclude(state=Pack.State.FORGOTTEN)
    return left.exists() if shoot.purge_everything else left.filter(state__in=Pack.LIVE).exists()
