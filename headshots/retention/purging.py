"""Purge one shoot or one pack: destroy the key first, then delete files, then rows.

Each step can be repeated, and each function resumes after a crash. Until the last step, the row's state lets beat find
the unfinished work. Callers must empty the journals afterwards (`wal.py`).
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
from headshots.shoots.lifecycle import begin_purge, end_live_packs, end_purges, mark_deleted
from headshots.shoots.models import Event, FaceCrop, Headshot, Pack, Photo, Preparation, Shoot
from headshots.vault import services as vault

log = logging.getLogger(__name__)

_Row = TypeVar("_Row", bound=Model)


def purge_shoot(*, shoot: Shoot) -> bool:
    """Purge one shoot with `purge_shoots` and refresh `shoot`. Returns True if this call finished the purge."""
    purged = purge_shoots(shoot_ids=[shoot.pk])
    shoot.refresh_from_db()
    return bool(purged)


def purge_shoots(*, shoot_ids: Collection[UUID]) -> list[UUID]:
    """Destroy the photos of closed shoots and everything derived from the photos.

    Skips shoots that are not in the state `purging`. Deletes the headshots of canceled and revoked packs.
    Deletes the headshots of all packs if the shoot has `purge_everything`.
    Returns the ids of the shoots that this call finished."""
    began = time.monotonic()
    shoots = list(Shoot.objects.filter(pk__in=shoot_ids, state=Shoot.State.PURGING).select_related("owner"))
    ids = [shoot.pk for shoot in shoots]
    if not ids:
        return []
    vault.destroy_keys(ring="source", key_ids=ids)
    record_key_destructions(ring="source", shoot_ids={shoot_id: shoot_id for shoot_id in ids})
    end_live_packs(ids, reason=Pack.Reason.PHOTOS_DELETED)
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
        # One line for all shoots: logging one line per shoot takes longer than deleting its files.
        log.info("shoots purged: %s", " ".join(map(str, done)))
    return done


def delete_pack(*, pack: Pack, actor: str = Event.Actor.SYSTEM) -> bool:
    """Delete one pack with `delete_packs` and refresh `pack`. Returns True if this call finished the deletion."""
    deleted = delete_packs(pack_ids=[pack.pk], actor=actor)
    pack.refresh_from_db()
    return bool(deleted)


def delete_packs(*, pack_ids: Collection[UUID], actor: str = Event.Actor.SYSTEM) -> list[UUID]:
    """Destroy the finished headshots of packs that have ended. Returns the ids of the packs that this call finished."""
    ended = Pack.objects.filter(pk__in=pack_ids).exclude(state__in=[*Pack.LIVE, Pack.State.DELETED])
    deleted = _delete_headshots(list(ended.select_related("shoot__owner")), actor, with_certificate=True)
    return [pack.pk for pack in deleted]


def _delete_headshots(packs: Sequence[Pack], actor: str, *, with_certificate: bool) -> list[Pack]:
    """Destroy the keys, files and rows of these packs' headshots. Returns the packs that this call finished.

    with_certificate: False if the certificate of the shoot will cover the packs."""
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
            # If the whole shoot is being purged, its certificate covers the pack once everything is deleted.
            shoots = {pack.shoot_id: pack.shoot for pack in deleted if not pack.shoot.purge_everything}
            issue_certificates(shoots=shoots.values(), requested_by=dict.fromkeys(shoots, actor))
    if deleted:
        log.info("packs deleted: %s", " ".join(str(pack.pk) for pack in deleted))
    return deleted


def _delete_photos(shoots: Sequence[Shoot], gone: set[UUID], began: float) -> list[Shoot]:
    """Delete the rows of photos whose files are deleted, and end the purge of these shoots.

    gone: ids of the blobs whose files are deleted. began: `time.monotonic()` at the start of the purge.
    Returns the shoots that this call finished."""
    ids = [shoot.pk for shoot in shoots]
    photos = Photo.objects.filter(shoot_id__in=ids).order_by()
    crops = FaceCrop.objects.filter(photo__shoot_id__in=ids).order_by()
    # Lock the photos. A photo check that is storing its verdict commits before this query, or finds no photo later.
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
    """Delete the rows with one SQL statement, bypassing Django's cascade collector.

    This is safe because the callers explicitly delete all rows that refer to these rows."""
    rows._raw_delete(rows.db)


def purge_delivered(*, shoot: Shoot) -> bool:
    """Close a shoot whose premium pack is delivered. Returns True if this call closed it.

    Leaves the shoot open if a pack is unfinished, or if the customer asked to keep the photos."""
    with transaction.atomic():
        # Lock the shoot, because the customer may be ordering another pack right now.
        done = Shoot.objects.select_for_update().filter(pk=shoot.pk, state=Shoot.State.OPEN, keep_photos=False)
        if not done.exists() or shoot.packs.filter(state__in=Pack.LIVE).exists():
            return False
        delivered = shoot.packs.filter(kind=Pack.Kind.PREMIUM, state=Pack.State.DELIVERED)
        return delivered.exists() and begin_purge(shoot)


def _unfinished(shoot_ids: Collection[UUID], everything: Collection[UUID]) -> set[UUID]:
    """Return the ids of shoots that still have packs to cancel or delete.

    Another worker can change a pack's state during the purge. The next run of beat retries these shoots."""
    left = Pack.objects.filter(shoot_id__in=shoot_ids).exclude(state=Pack.State.DELETED)
    return {
        shoot_id
        for shoot_id, state in left.values_list("shoot_id", "state")
        if state in Pack.LIVE or shoot_id in everything
    }
