"""What nobody asks for any more: blobs that a crash between two steps left behind, and old mail files."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, ManyToOneRel, OuterRef, QuerySet
from django.utils import timezone

from headshots import heart
from headshots.vault import services as vault
from headshots.vault.models import Blob
from headshots.vault.services import blob_store
from headshots.vault.store import StoredFile

log = logging.getLogger(__name__)

# Younger than this, its row or its owner may still be on the way.
GRACE = timedelta(hours=1)
MAIL_LIFE = timedelta(days=1)
_BATCH = 500


@dataclass
class Swept:
    """`files`: without a row. `blobs`: without an owner. `lost`: rows whose file is missing, which stay."""

    files: int = 0
    blobs: int = 0
    mails: int = 0
    lost: int = 0


def sweep_orphans() -> Swept:
    """Remove files without a row and blobs without an owner, all older than an hour; report lost files.

    Mails that were written to files, for want of a server, go after a day: they hold addresses."""
    swept = Swept(files=_sweep_files(), blobs=_sweep_blobs(), mails=_sweep_mails())
    swept.lost = sum(1 for blob_id in _old_blobs().values_list("id", flat=True) if not blob_store().has(blob_id))
    if swept.lost:
        log.error("%d blobs have lost their files", swept.lost)
    if swept.files or swept.blobs or swept.mails:
        log.warning("removed: %s", swept)
    return swept


def _sweep_files() -> int:
    newest = time.time() - GRACE.total_seconds()
    old = (file for file in blob_store().files() if file.modified < newest)
    removed = 0
    while batch := list(islice(old, _BATCH)):
        heart.progress()
        removed += sum(1 for file in _without_row(batch) if _remove(file))
    return removed


def _without_row(files: list[StoredFile]) -> Iterator[StoredFile]:
    ids = [file.blob_id for file in files if file.blob_id]
    known: set[UUID] = set(Blob.objects.filter(id__in=ids).values_list("id", flat=True))
    return (file for file in files if file.blob_id not in known)


def _remove(file: StoredFile) -> bool:
    file.path.unlink(missing_ok=True)
    return True


def _sweep_blobs() -> int:
    orphans = list(unowned(_old_blobs()))
    for blob in orphans:
        vault.delete_blob(blob)
    return len(orphans)


def _sweep_mails() -> int:
    folder = getattr(settings, "EMAIL_FILE_PATH", None)
    if not folder:
        return 0
    newest = time.time() - MAIL_LIFE.total_seconds()
    old = [path for path in Path(folder).glob("*.log") if path.stat().st_mtime < newest]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def unowned(blobs: QuerySet[Blob]) -> QuerySet[Blob]:
    """Those that no row refers to. Asks every model that has a field for blobs, in whatever app."""
    for relation in Blob._meta.get_fields(include_hidden=True):
        if isinstance(relation, ManyToOneRel):
            owners = relation.related_model._base_manager.filter(**{relation.field.name: OuterRef("pk")})
            blobs = blobs.filter(~Exists(owners))
    return blobs


def _old_blobs() -> QuerySet[Blob]:
    return Blob.objects.filter(created_at__lt=timezone.now() - GRACE)
