"""Purge one shoot or one pack: destroy the key first, then delete files, then rows.

Each step may be repeated, and each service goes on where a crash left it: until its last step the row says
that there is work left, and beat comes back. Whoever calls them empties the journals afterwards.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Model, QuerySet

from headshots.retention.certificates import (
    issue_certificates,
    record_contents_deleted,
    record_key_destructions,
    requesters_of,
)
from headshots.shoots.lifecycle import begin_purge, cancel_live_packs, end_purges, mark_deleted
from headshots.shoots.models import Event, FaceCrop, Headshot, Pack, Photo, Preparation, Shoot
from headshots.vault import services as vault

log = logging.getLogger(__name__)

_Row = TypeVar("_Row", bound=Model)


def purge_shoot(*, shoot: Shoot) -> bool:
    """`purge_shoots` for one; whether this call finished it. `shoot` is refreshed."""
    purged = purge_shoots(shoot_ids=[shoot.pk])
    shoot.refresh_from_db()
    return bool(purged)


def purge_shoots(*, shoot_ids: Collection[UUID]) -> list[UUID]:
    """Destroy the photos of shoots that `begin_purge` closed, and all that derives from them; the ids of those that
    this call finished. With `purge_everything` their headshots go too, and what a pack that was stopped had so far
    goes in any case."""
    began = time.monotonic()
    shoots = list(Shoot.objects.filter(pk__in=shoot_ids, state=Shoot.State.PURGING).select_related("owner"))
    ids = [shoot.pk for shoot in shoots]
    if not ids:
        return []
    vault.destroy_keys(ring="source", key_ids=ids)
    record_key_destructions(ring="source", shoot_ids={shoot_id: shoot_id for shoot_id in ids})
    cancel_live_packs(ids, reason=Pack.Reason.PHOTOS_DELETED)
    ended = Pack.objects.filter(shoot_id__in=ids).exclude(state__in=[*Pack.LIVE, Pack.State.DELETED])
    everything = {shoot.pk for shoot in shoots if shoot.purge_everything}
    doomed = [pack for pack in ended if pack.shoot_id in everything or pack.state in Pack.UNDONE]
    _delete_headshots(doomed, Event.Actor.SYSTEM, with_certificate=False)
    gone = vault.delete_files(ring="source", key_ids=ids)
    with transaction.atomic():
        unfinished = _unfinished(ids, everything)
        purged = _delete_photos([shoot for shoot in shoots if shoot.pk not in unfinished], gone, began)
        issue_certificates(shoots=purged, requested_by=requesters_of([shoot.pk for shoot in purged]))
    done = [shoot.pk for shoot in purged]
    if done:
        # In one line: one a shoot takes longer than its files do.
        log.info("shoots purged: %s", " ".join(map(str, done)))
    return done


def delete_pack(*, pack: Pack, actor: str = Event.Actor.SYSTEM) -> bool:
    """`delete_packs` for one; whether this call finished it. `pack` is refreshed."""
    deleted = delete_packs(pack_ids=[pack.pk], actor=actor)
    pack.refresh_from_db()
    return bool(deleted)


def delete_packs(*, pack_ids: Collection[UUID], actor: str = Event.Actor.SYSTEM) -> list[UUID]:
    """Destroy the finished headshots of packs that have ended; the ids of those that this call finished."""
    ended = Pack.objects.filter(pk__in=pack_ids).exclude(state__in=[*Pack.LIVE, Pack.State.DELETED])
    deleted = _delete_headshots(list(ended.select_related("shoot__owner")), actor, with_certificate=True)
    return [pack.pk for pack in deleted]


def _delete_headshots(packs: Sequence[Pack], actor: str, *, with_certificate: bool) -> list[Pack]:
    """Those of these packs that this call finished. Without a certificate, that of their shoot will name them."""
    ids = [pack.pk for pack in packs]
    if not ids:
        return []
    vault.destroy_keys(ring="result", key_ids=ids)
    record_key_destructions(ring="result", shoot_ids={pack.pk: pack.shoot_id for pack in packs})
    gone = vault.delete_files(ring="result", key_ids=ids)
    with transaction.atomic():
        _delete_rows(Headshot.objects.filter(pack_id__in=ids))
        counts = vault.delete_blobs(ring="result", key_ids=ids, gone=gone)
        record_contents_deleted(ring="result", counts=counts)
        deleted = mark_deleted(packs, actor=actor)
        if with_certificate:
            # With everything else of its shoot a pack gets a certificate when all of it has gone.
            shoots = {pack.shoot_id: pack.shoot for pack in deleted if not pack.shoot.purge_everything}
            issue_certificates(shoots=shoots.values(), requested_by=dict.fromkeys(shoots, actor))
    if deleted:
        log.info("packs deleted: %s", " ".join(str(pack.pk) for pack in deleted))
    return deleted


def _delete_photos(shoots: Sequence[Shoot], gone: set[UUID], began: float) -> list[Shoot]:
    """The rows of photos whose files have gone, and the end of the purge; those shoots that this call finished."""
    ids = [shoot.pk for shoot in shoots]
    photos = Photo.objects.filter(shoot_id__in=ids).order_by()
    crops = FaceCrop.objects.filter(photo__shoot_id__in=ids).order_by()
    # A check that is storing its verdict at this moment is through before this line, or finds no photo after.
    rows = Counter(photos.select_for_update().values_list("shoot_id", flat=True))
    rows.update(crops.values_list("photo__shoot_id", flat=True))
    _delete_rows(crops)
    _delete_rows(photos)
    _delete_rows(Preparation.objects.filter(pack__shoot_id__in=ids, blob__isnull=False))
    Shoot.objects.filter(pk__in=ids, self_description_blob__isnull=False).update(self_description_blob=None)
    counts = vault.delete_blobs(ring="source", key_ids=ids, gone=gone)
    record_contents_deleted(
        ring="source", counts={shoot_id: {**counts[shoot_id], "rows": rows[shoot_id]} for shoot_id in ids}
    )
    seconds = round(time.monotonic() - began, 3)
    numbers = {
        shoot_id: {"rows": rows[shoot_id], "blobs": sum(counts[shoot_id].values()), "seconds": seconds}
        for shoot_id in ids
    }
    return end_purges(shoots, numbers=numbers)


def _delete_rows(rows: QuerySet[_Row]) -> None:
    """Delete them in one statement. Django's own way fetches each of them first and asks for what hangs on it: on
    these, nothing that is not deleted here by name."""
    rows._raw_delete(rows.db)


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


def _unfinished(shoot_ids: Collection[UUID], everything: Collection[UUID]) -> set[UUID]:
    """Shoots with a pack that another worker moved while it was to be canceled or deleted: beat comes back."""
    left = Pack.objects.filter(shoot_id__in=shoot_ids).exclude(state=Pack.State.DELETED)
    return {
        shoot_id
        for shoot_id, state in left.values_list("shoot_id", "state")
        if state in Pack.LIVE or shoot_id in everything
    }
