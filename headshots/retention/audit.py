"""Audit retention: find private data that is older than its limit.

The audit checks the oldest file in the store, the oldest key in the ring, and the oldest row. Each item is the first
entry of an index or a listing, so the cost does not grow with the data. Only a ring's names are read completely.
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

# Due data is deleted within one round of beat. Data that is overdue by more than this means a fault.
OVERDUE_AFTER = timedelta(hours=1)
# Pictures are rendered while the photos exist, so they can be up to a day older than the pack's delivery.
_MAX_RENDER_TIME = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """The age of the oldest item of one kind, compared with its limit.

    Attributes:
        what: the kind, in words.
        age_seconds: None if there is no such item, or if `is_reachable` is False.
        limit_seconds: the highest allowed age.
        is_reachable: False if the ring or the store did not answer.
    """

    what: str
    age_seconds: float | None
    limit_seconds: float
    is_reachable: bool = True

    @property
    def concerns_photos(self) -> bool:
        return self.what.startswith("photo ")

    @property
    def is_over(self) -> bool:
        return not self.is_reachable or (self.age_seconds is not None and self.age_seconds > self.limit_seconds)

    def describe(self) -> str:
        if not self.is_reachable:
            return f"{self.what}: can't be checked, because their storage is unreachable"
        if self.age_seconds is None:
            return f"{self.what}: none"
        state = ", OVER THE LIMIT" if self.is_over else ""
        return f"{self.what}: {self.age_seconds / 3600:.2f} h (limit {self.limit_seconds / 3600:.2f} h){state}"


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes:
        findings: one per kind of data.
        last_purge_age_seconds: time since the last purge by `purge_due` ended, None before the first one.
        purge_is_overdue: True if purges do not run regularly.
    """

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
        """Return the audit as lines of text, for people to read."""
        since = self.last_purge_age_seconds
        purge = "last purge: never" if since is None else f"last purge: {since:.0f} s ago"
        return [
            *(finding.describe() for finding in self.findings),
            purge + (", OVERDUE" if self.purge_is_overdue else ""),
        ]


def audit() -> Audit:
    """Check the age of the oldest private data of each kind. Erases the expired keys of photos, if there are any."""
    now = timezone.now()
    rows, last_purge_age = _rows_of_photos(now), _last_purge_age(now)
    # Before the first purge, measure from the oldest shoot with photos. Without one there is nothing to purge.
    waited = rows.age_seconds if last_purge_age is None else last_purge_age
    is_overdue = waited is not None and waited > _max_time_without_purge().total_seconds()
    return Audit([*_photos(now), rows, *_headshots(now)], last_purge_age, is_overdue)


def report() -> Audit:
    """Run `audit` and log an error for each finding that is over its limit. Returns the audit."""
    found = audit()
    for finding in found.findings:
        if finding.is_over:
            log.error("retention: %s", finding.describe())
    return found


def _max_time_without_purge() -> timedelta:
    """Return the longest allowed time without a purge: five rounds of beat, and at least one minute.

    After this time, beat, its broker or the retention worker must be down."""
    every = next(entry["schedule"] for entry in app.conf.beat_schedule.values() if entry["task"] == PURGE_TASK)
    return max(timedelta(seconds=5 * float(every)), timedelta(minutes=1))


def _last_purge_age(now: datetime) -> float | None:
    last = LastRun.objects.filter(pk=PURGE_TASK).values_list("at", flat=True).first()
    return None if last is None else round((now - last).total_seconds(), 1)


def _photos(now: datetime) -> list[Finding]:
    limit = float(settings.HEADSHOTS_PHOTO_TTL_SECONDS)
    return [_oldest_file(Ring.SOURCE, "photo files", limit, now), _oldest_source_key(limit, now)]


def _rows_of_photos(now: datetime) -> Finding:
    closed = Shoot.objects.filter(state=Shoot.State.PURGING, purged_at=None)
    first = [shoots.order_by("delete_after").first() for shoots in (Shoot.objects.filter(state="open"), closed)]
    began = min((shoot.created_at for shoot in first if shoot), default=None)
    return Finding("photo rows", _seconds(began, now), float(settings.HEADSHOTS_PHOTO_TTL_SECONDS))


def _headshots(now: datetime) -> list[Finding]:
    retention = timedelta(days=settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS)
    first = Pack.objects.filter(state__in=Pack.ENDED).order_by("expires_at").first()
    ended = first.expires_at - retention if first and first.expires_at else None
    return [
        _oldest_file(
            Ring.RESULT, "headshot files", (retention + _MAX_RENDER_TIME + OVERDUE_AFTER).total_seconds(), now
        ),
        Finding("headshot rows", _seconds(ended, now), (retention + OVERDUE_AFTER).total_seconds()),
    ]


def _oldest_file(ring: Ring, what: str, limit: float, now: datetime) -> Finding:
    """Find the oldest blob in the store and the table. A file can outlive its row, and a row its file."""
    row = Blob.objects.filter(ring=ring).order_by("id").values_list("id", flat=True).first()
    try:
        file = next(vault.blob_store().ids(ring), None)
    except VaultUnavailable:
        return Finding(what, None, limit, is_reachable=False)
    oldest = min((blob_id for blob_id in (row, file) if blob_id), default=None)
    return Finding(what, _seconds(created_at_of(oldest) if oldest else None, now), limit)


def _oldest_source_key(limit: float, now: datetime) -> Finding:
    """Find the age of the oldest photo key, computed from its remaining lifetime.

    A key records its expiry but not its creation time. Expired keys are erased."""
    what = "photo keys"
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
