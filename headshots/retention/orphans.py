"""Sweep orphans: blobs, keys and mail files that a crash between two steps left without a row.

Ids of blobs begin with their creation time. A sweep compares files and rows in this order. Each sweep starts where the
last one ended, so old blobs cost nothing.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, ManyToOneRel, OuterRef, QuerySet
from django.utils import timezone

from headshots.retention.models import LastRun
from headshots.runtime import heartbeat
from headshots.shoots.lifecycle import begin_purges
from headshots.shoots.models import Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.blob_ids import FIRST, first_id_at
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import open_ring
from headshots.vault.store import BlobName

log = logging.getLogger(__name__)
SWEEP_TASK = "retention.sweep_orphans"
# Skip younger blobs: their row, or the row that refers to them, may not be written yet.
GRACE = timedelta(hours=1)
MAIL_FILE_RETENTION = timedelta(days=1)


@dataclass
class SweepResult:
    """The counts of one sweep.

    Attributes:
        files: deleted files that had no row.
        blobs: deleted blobs that no row referred to.
        unfinished: deleted files of interrupted writes.
        keys: destroyed keys that had no shoot or pack.
        shoots: closed shoots whose key was missing.
        mails: deleted old mail files.
        lost: blob rows whose file is missing. They are kept.
    """

    files: int = 0
    blobs: int = 0
    unfinished: int = 0
    keys: int = 0
    shoots: int = 0
    mails: int = 0
    lost: int = 0


def sweep_orphans(*, everything: bool = False) -> SweepResult:
    """Remove files without a row, blobs without an owner and keys without a shoot or pack. Log lost files.

    Checks the blobs that were too young for the last sweep and are now older than an hour.
    everything: True checks all blobs that are older than an hour.
    Mail files contain addresses and are deleted after a day. They exist only where no mail server is configured."""
    now = timezone.now()
    before = now - GRACE
    last = LastRun.objects.filter(pk=SWEEP_TASK).first()
    # Check everything if the last run is in the future, because the clock was wrong. Subtract twice the grace period:
    # with one grace period the two sweeps would only just meet, and clocks are not that exact.
    first = FIRST if everything or last is None or last.at > now else first_id_at(last.at - 2 * GRACE)
    result = SweepResult(unfinished=vault.blob_store().sweep_unfinished(before), mails=_sweep_mails())
    for ring in Ring.values:
        _sweep_ring(ring, first, first_id_at(before), result)
    result.shoots = len(close_shoots_without_key())
    result.keys, orphaned_keys = sweep_orphaned_keys(last.orphaned_keys if last else {})
    LastRun.objects.update_or_create(task=SWEEP_TASK, defaults={"at": now, "orphaned_keys": orphaned_keys})
    if result.lost:
        log.error("blobs without a file: %d", result.lost)
    if result != SweepResult(lost=result.lost):
        log.warning("removed: %s", result)
    return result


def _sweep_ring(ring: str, first: UUID, last: UUID, result: SweepResult) -> None:
    """Compare the files and rows of one ring in batches, and add the counts to `result`.

    first, last: the range of blob ids, inclusive. Each batch of files sets the id range of its rows."""
    files = vault.blob_store().ids(ring, first, last)
    while True:
        heartbeat.record_progress()
        batch = list(islice(files, vault.BATCH_SIZE))
        end = batch[-1] if len(batch) == vault.BATCH_SIZE else last
        # List files before rows. A blob written in between has an id after `last`, so the sweep ignores the blob.
        rows = Blob.objects.filter(ring=ring, id__gte=first, id__lte=end)
        keys = dict(rows.values_list("id", "key_id"))
        orphaned_files = [blob_id for blob_id in batch if blob_id not in keys]
        vault.blob_store().delete([BlobName(ring, blob_id) for blob_id in orphaned_files])
        unwanted = list(orphaned_blobs(rows))
        for blob in unwanted:
            vault.delete_blob(blob)
        missing = keys.keys() - set(batch) - {blob.id for blob in unwanted}
        result.files += len(orphaned_files)
        result.blobs += len(unwanted)
        # A blob without a key is not lost. The blob is being deleted, and files are deleted before rows.
        result.lost += sum(vault.key_exists(ring=ring, key_id=keys[blob_id]) for blob_id in missing)
        if end == last:
            return
        first = UUID(int=end.int + 1)


def _sweep_mails() -> int:
    folder = getattr(settings, "EMAIL_FILE_PATH", None)
    if not folder:
        return 0
    newest = time.time() - MAIL_FILE_RETENTION.total_seconds()
    old = [path for path in Path(folder).glob("*.log") if path.stat().st_mtime < newest]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def orphaned_blobs(blobs: QuerySet[Blob]) -> QuerySet[Blob]:
    """Select the blobs that no row refers to. Checks every model with a foreign key to Blob, in any app."""
    for relation in Blob._meta.get_fields(include_hidden=True):
        if isinstance(relation, ManyToOneRel):
            owners = relation.related_model._base_manager.filter(**{relation.field.name: OuterRef("pk")})
            blobs = blobs.filter(~Exists(owners))
    return blobs


OrphanedKeys = dict[str, list[str]]


def sweep_orphaned_keys(before: OrphanedKeys) -> tuple[int, OrphanedKeys]:
    """Destroy the orphaned keys that are listed in `before`. Orphaned keys have no shoot or pack.

    Waiting for a second sweep protects keys whose row is not written yet.
    Returns the number of destroyed keys, and all keys found orphaned by this call."""
    orphaned_keys = {ring: _orphaned_keys(ring) for ring in Ring}
    destroyed = 0
    for ring, key_ids in orphaned_keys.items():
        known = set(before.get(ring, ()))
        doomed = [key_id for key_id in key_ids if str(key_id) in known]
        vault.destroy_keys(ring=ring, key_ids=doomed)
        destroyed += len(doomed)
    # A key server's journal and snapshot may still contain keys that were destroyed since the last sweep.
    vault.delete_key_history(ring=Ring.RESULT)
    return destroyed, {ring: [str(key_id) for key_id in key_ids] for ring, key_ids in orphaned_keys.items()}


def close_shoots_without_key() -> list[UUID]:
    """Close open shoots whose key is missing from the source ring. Returns their ids."""
    opened = list(Shoot.objects.filter(state=Shoot.State.OPEN).values_list("pk", flat=True))
    # Read the keys after the rows. Each shoot's key is created before its row is committed.
    keys = set(open_ring(Ring.SOURCE).key_ids())
    lost = [shoot_id for shoot_id in opened if shoot_id not in keys]
    return [shoot_id for some in _batches(lost) for shoot_id in begin_purges(_shoots(some), lost=True)]


def _orphaned_keys(ring: Ring) -> list[UUID]:
    key_ids = open_ring(ring).key_ids()
    return [key_id for some in _batches(key_ids) for key_id in set(some) - _owners(ring, some)]


def _owners(ring: Ring, key_ids: Sequence[UUID]) -> set[UUID]:
    if ring is Ring.SOURCE:
        return set(_shoots(key_ids).exclude(state=Shoot.State.PURGED).values_list("pk", flat=True))
    packs = Pack.objects.filter(pk__in=key_ids).exclude(state=Pack.State.DELETED)
    return set(packs.values_list("pk", flat=True))


def _shoots(ids: Sequence[UUID]) -> QuerySet[Shoot]:
    return Shoot.objects.filter(pk__in=ids)


def _batches(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    return [ids[start : start + vault.BATCH_SIZE] for start in range(0, len(ids), vault.BATCH_SIZE)]
