"""The journal of deletions, replayed after a backup is restored.

The journal is separate from the data folder, the database and their backups. It has one append-only file per month.
Every write is synced to disk. Lines contain ids and times only. `manage.py replay_deletions` reads the journal
(docs/backup-and-restore.md).
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from headshots.vault.key_server import installation_id
from headshots.vault.private_files import make_folder, sync_folder

log = logging.getLogger(__name__)

# The minimum retention, even if the operator configured a shorter retention of backups.
MIN_JOURNAL_RETENTION = timedelta(days=90)


class DeletionKind(StrEnum):
    """The kind of a deletion: an account, a shoot's photos, or a pack's headshots."""

    ACCOUNT = "account"
    PHOTOS = "photos"
    HEADSHOTS = "headshots"


@dataclass(frozen=True)
class Deletion:
    """One line of the journal.

    Attributes:
        at: when the deletion began.
        kind: what was deleted.
        id: the id of the account, shoot or pack.
    """

    at: datetime
    kind: DeletionKind
    id: str


def record_deletions(kind: DeletionKind, ids: Iterable[object]) -> None:
    """Append lines to the journal and sync them to disk.

    If the journal can't be written, logs an error instead of raising one: the deletion must not wait."""
    now = timezone.now()
    lines = [json.dumps({"at": now.isoformat(), "what": kind.value, "id": str(each)}) for each in ids]
    if not lines:
        return
    try:
        _append(folder() / f"{now:%Y-%m}.jsonl", "".join(f"\n{line}" for line in lines).encode() + b"\n")
    except OSError as error:
        log.error("the journal of deletions cannot be written (%s): %s", type(error).__name__, " ".join(lines))


def deletions(since: datetime | None = None) -> Iterator[Deletion]:
    """Yield the deletions in the journal, oldest first.

    since: skip earlier deletions. Damaged lines, which a power cut can leave, are logged and skipped."""
    for path in sorted(folder().glob("*.jsonl")):
        for line in path.read_text().splitlines():
            if not line:
                continue
            try:
                entry = json.loads(line)
                found = Deletion(datetime.fromisoformat(entry["at"]), DeletionKind(entry["what"]), entry["id"])
            except (ValueError, KeyError, TypeError):
                log.warning("the journal of deletions has a line that is none, in %s", path.name)
                continue
            if since is None or found.at >= since:
                yield found


def delete_old_files() -> int:
    """Remove the files of months that are older than every backup. Returns how many files were removed."""
    stated = max(settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS)
    before = timezone.now() - max(MIN_JOURNAL_RETENTION, timedelta(days=stated))
    old = [path for path in folder().glob("*.jsonl") if _end_of_month(path.stem) <= before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def folder() -> Path:
    """Return the folder of this installation's journal.

    The folder is named by the installation's id from the database, so all its machines use the same folder."""
    base: Path = settings.HEADSHOTS_DELETIONS_DIR
    return base / str(installation_id())


def _append(path: Path, lines: bytes) -> None:
    make_folder(path.parent)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(lines)
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def _end_of_month(name: str) -> datetime:
    first = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    return (first + timedelta(days=32)).replace(day=1)
