"""The journal of deletions, replayed after a backup is restored.

Files of lines apart from the data folder, the database and their backups, written through to the disk and never
changed, one file per month. Ids and times only. `manage.py replay_deletions` reads them (docs/privacy.md).
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

# Kept at least so long, whatever backups the operator has stated.
MIN_JOURNAL_RETENTION = timedelta(days=90)


class DeletionKind(StrEnum):
    """What was deleted: an account by its number, a shoot's photos, a pack's headshots."""

    ACCOUNT = "account"
    PHOTOS = "photos"
    HEADSHOTS = "headshots"


@dataclass(frozen=True)
class Deletion:
    """One line: what was deleted, and when its deletion began."""

    at: datetime
    kind: DeletionKind
    id: str


def record_deletions(kind: DeletionKind, ids: Iterable[object]) -> None:
    """Add lines to the journal, through to the disk. A journal that cannot be written holds no deletion up: the log
    says so."""
    now = timezone.now()
    lines = [json.dumps({"at": now.isoformat(), "what": kind.value, "id": str(each)}) for each in ids]
    if not lines:
        return
    try:
        _append(folder() / f"{now:%Y-%m}.jsonl", "".join(f"\n{line}" for line in lines).encode() + b"\n")
    except OSError as error:
        log.error("the journal of deletions cannot be written (%s): %s", type(error).__name__, " ".join(lines))


def deletions(since: datetime | None = None) -> Iterator[Deletion]:
    """Read the journal, the oldest first. What a power cut left of a line is passed over."""
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
    """Remove the files of months that no backup reaches back to; how many."""
    stated = max(settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS)
    before = timezone.now() - max(MIN_JOURNAL_RETENTION, timedelta(days=stated))
    old = [path for path in folder().glob("*.jsonl") if _end_of_month(path.stem) <= before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def folder() -> Path:
    """Return where this installation's journal is, whose id the database knows: all its machines write to one."""
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
