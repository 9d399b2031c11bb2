"""Audit retention: find private data that is older than it may be.

What is looked at is what is there: the oldest file in the store, the next key to die in the ring, the oldest row. Each
is the first of an index or of a listing, so it costs the same whatever else there is (a ring's names are read whole).
"""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from headshots.celery import app
from headshots.retention.due import PURGE_TASK
from headshots.retention.models import LastRun
from headshots.shoots.models import Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.blob_ids import created_at_of
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import open_ring

log = logging.getLogger(__name__)

# What is due goes within a round of beat; whatever is later than this is a fault.
OVERDUE_AFTER = timedelta(hours=1)
# A pack's pictures are made while its photos live, so its first may be older than its delivery by as much.
_MAX_RENDER_TIME = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """The oldest of one kind. `age_seconds`: None when there is none, or when the place does not answer, which
    `is_reachable` tells apart."""

    what: str
    age_seconds: float | None
    limit_seconds: float
    is_reachable: bool = True

    @property
    def is_over(self) -> bool:
        return not self.is_reachable or (self.age_seconds is not None and self.age_seconds > self.limit_seconds)

    def describe(self) -> str:
        if not self.is_reachable:
            return f"{self.what}: cannot be looked at, the place where they lie does not answer"
        if self.age_seconds is None:
            return f"{self.what}: none"
        state = "OVER THE LIMIT of" if self.is_over else "of"
        return f"{self.what}: {self.age_seconds / 3600:.2f} h {state} {self.limit_seconds / 3600:.2f} h"


@dataclass(frozen=True)
class Audit:
    """`last_purge_age_seconds`: since beat's last purge ended, None when there was none yet."""

    findings: list[Finding]
    last_purge_age_seconds: float | None
    purge_is_overdue: bool

    @property
    def ok(self) -> bool:
        return not self.purge_is_overdue and not any(finding.is_over for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        found = [asdict(finding) | {"over": finding.is_over} for finding in self.findings]
        purge = {"age_seconds": self.last_purge_age_seconds, "overdue": self.purge_is_overdue}
        return {"ok": self.ok, "oldest": found, "purge": purge}

    def lines(self) -> list[str]:
        """For a person to read."""
        since = self.last_purge_age_seconds
        purge = "last purge: never" if since is None else f"last purge: {since:.0f} s ago"
        return [
            *(finding.describe() for finding in self.findings),
            purge + (", OVERDUE" if self.purge_is_overdue else ""),
        ]


def audit() -> Audit:
    """Look at the oldest of everything private. Expired keys that it meets are erased, as by everybody."""
    now = timezone.now()
    rows, last_purge_age = _rows_of_photos(now), _last_purge_age(now)
    # Where nothing was ever purged it is late as soon as there has been something to come back for.
    waited = rows.age_seconds if last_purge_age is None else last_purge_age
    is_overdue = waited is not None and waited > _max_time_without_purge().total_seconds()
    return Audit([*_photos(now), rows, *_headshots(now)], last_purge_age, is_overdue)


def report() -> Audit:
    """Run `audit`, and log each finding that is over its limit."""
    found = audit()
    for finding in found.findings:
        if finding.is_over:
            log.error("retention: %s", finding.describe())
    return found


def _max_time_without_purge() -> timedelta:
    """Five rounds of beat: after that it, its broker or the retention worker must be dead."""
    every = next(entry["schedule"] for entry in app.conf.beat_schedule.values() if entry["task"] == PURGE_TASK)
    return max(timedelta(seconds=5 * float(every)), timedelta(minutes=1))


def _last_purge_age(now: datetime) -> float | None:
    last = LastRun.objects.filter(pk=PURGE_TASK).values_list("at", flat=True).first()
    return None if last is None else round((now - last).total_seconds(), 1)


def _photos(now: datetime) -> list[Finding]:
    limit = float(settings.HEADSHOTS_PHOTO_TTL_SECONDS)
    return [_oldest_file(Ring.SOURCE, "files of photos", limit, now), _oldest_source_key(limit, now)]


def _rows_of_photos(now: datetime) -> Finding:
    closed = Shoot.objects.filter(state=Shoot.State.PURGING, purged_at=None)
    first = [shoots.order_by("delete_after").first() for shoots in (Shoot.objects.filter(state="open"), closed)]
    began = min((shoot.created_at for shoot in first if shoot), default=None)
    return Finding("rows of photos", _seconds(began, now), float(settings.HEADSHOTS_PHOTO_TTL_SECONDS))


def _headshots(now: datetime) -> list[Finding]:
    retention = timedelta(days=settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS)
    first = Pack.objects.filter(state__in=Pack.ENDED).order_by("expires_at").first()
    ended = first.expires_at - retention if first and first.expires_at else None
    return [
        _oldest_file(
            Ring.RESULT, "files of headshots", (retention + _MAX_RENDER_TIME + OVERDUE_AFTER).total_seconds(), now
        ),
        Finding("rows of headshots", _seconds(ended, now), (retention + OVERDUE_AFTER).total_seconds()),
    ]


def _oldest_file(ring: Ring, what: str, limit: float, now: datetime) -> Finding:
    """Of the store or of the table, whichever is older: one may have outlived the other."""
    row = Blob.objects.filter(ring=ring).order_by("id").values_list("id", flat=True).first()
    try:
        file = next(vault.blob_store().ids(ring), None)
    except VaultUnavailable:
        return Finding(what, None, limit, is_reachable=False)
    oldest = min((blob_id for blob_id in (row, file) if blob_id), default=None)
    return Finding(what, _seconds(created_at_of(oldest) if oldest else None, now), limit)


def _oldest_source_key(limit: float, now: datetime) -> Finding:
    """By the time it has left: a key carries when it dies, not when it was made."""
    what = "keys of photos"
    try:
        ring = open_ring(Ring.SOURCE)
        expires = ring.next_expiry()
        if expires is not None and expires <= now.timestamp():
            ring.sweep_expired()
    except VaultUnavailable:
        return Finding(what, None, limit, is_reachable=False)
    return Finding(what, None if expires is None else max(0.0, limit - (expires - now.timestamp())), limit)


def _seconds(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else round(max(0.0, (now - since).total_seconds()), 1)
