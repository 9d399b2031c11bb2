"""Health checks. Each result is OK, warning or critical."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

import redis
from django.conf import settings
from django.utils import timezone

from headshots.dashboard.models import Worker
from headshots.dashboard.monitoring import workers
from headshots.dashboard.reports.cases import measure_reports
from headshots.dashboard.stats import live_stats
from headshots.retention.audit import Finding, audit
from headshots.shoots.lifecycle import MAX_CONSECUTIVE_FAILURES
from headshots.shoots.models import Pack, Pause
from headshots.web.humanize import humanize_timedelta

# Each of these queues needs at least one worker.
QUEUES = ("render", "default", "retention")
# The status changes when a smaller share of the disk than this is free.
DISK_WARNING, DISK_CRITICAL = 0.15, 0.05
QUEUE_WARNING, QUEUE_CRITICAL = timedelta(minutes=5), timedelta(minutes=30)


class Health(StrEnum):
    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class HealthCheck:
    """The result of one health check.

    code: beat, broker, worker, oldest_photo, retention, queue, retrying, failed_by_fault, disk, paused or
        abuse_reports.
    instance: the worker, queue or paused part, for checks that exist several times.
    shoot_id: the affected shoot, linked for staff who may see its timeline."""

    code: str
    title: str
    status: Health
    message: str
    instance: str = ""
    shoot_id: UUID | None = None


def run_health_checks() -> list[HealthCheck]:
    """Run all health checks. Returns critical ones first."""
    known = workers.recent_workers()
    found = [check_beat(known), check_broker(), *check_workers(known), *check_retention(), check_queue()]
    found += [check_retrying_packs(), check_failed_packs(), check_disk(), *check_pauses()]
    found.append(check_reports())
    return sorted(found, key=lambda check: (Health.CRITICAL, Health.WARNING, Health.OK).index(check.status))


def check_beat(known: list[Worker]) -> HealthCheck:
    """Check when Celery beat last reported itself. Beat reports only while its messages reach the broker."""
    seen = max((worker.last_seen for worker in known if worker.queue == "beat"), default=None)
    if seen is None:
        message = "no heartbeat for an hour, so nothing is purged or retried"
        return HealthCheck("beat", "Celery beat", Health.CRITICAL, message)
    silent = timezone.now() - seen
    status = Health.CRITICAL if silent > workers.OFFLINE_AFTER else Health.OK
    return HealthCheck("beat", "Celery beat", status, f"last heartbeat {humanize_timedelta(silent)} ago")


def check_broker() -> HealthCheck:
    if not settings.HEADSHOTS_REDIS_URL:
        return HealthCheck(
            "broker", "Broker", Health.CRITICAL, "HEADSHOTS_REDIS_URL is not set, so workers get no tasks"
        )
    client = redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return HealthCheck("broker", "Broker", Health.CRITICAL, f"unreachable ({type(error).__name__})")
    finally:
        client.close()
    return HealthCheck("broker", "Broker", Health.OK, "reachable")


def check_workers(known: list[Worker]) -> Iterator[HealthCheck]:
    """Check every known worker, and every queue that has none."""
    for queue in QUEUES:
        mine = [worker for worker in known if worker.queue == queue]
        if not mine:
            yield HealthCheck(
                "worker", f"Worker for {queue}", Health.CRITICAL, "no worker is consuming this queue", queue
            )
        for worker in mine:
            silent = timezone.now() - worker.last_seen
            if workers.is_offline(worker):
                yield HealthCheck(
                    "worker",
                    worker.name,
                    Health.CRITICAL,
                    f"no heartbeat for {humanize_timedelta(silent)}",
                    worker.name,
                )
            else:
                yield HealthCheck("worker", worker.name, Health.OK, "busy" if worker.busy else "idle", worker.name)


def check_retention() -> list[HealthCheck]:
    """Check the retention audit: the oldest photo against its limit, then all other data."""
    found = audit()
    photos = [finding for finding in found.findings if finding.concerns_photos]
    late = [finding.describe() for finding in found.findings if finding.is_over and finding not in photos]
    if found.purge_is_overdue:
        late.append("no purge has completed recently")
    rest = HealthCheck(
        "retention", "Retention", Health.CRITICAL if late else Health.OK, "; ".join(late) or "on schedule"
    )
    return [check_oldest_photo(photos), rest]


def check_oldest_photo(photos: Sequence[Finding]) -> HealthCheck:
    title = "Oldest photo"
    if silent := [finding for finding in photos if not finding.is_reachable]:
        return HealthCheck("oldest_photo", title, Health.CRITICAL, silent[0].describe())
    ages = [finding for finding in photos if finding.age_seconds is not None]
    if not ages:
        return HealthCheck("oldest_photo", title, Health.OK, "none")
    oldest = max(ages, key=lambda finding: finding.age_seconds or 0)
    age, limit = timedelta(seconds=oldest.age_seconds or 0), timedelta(seconds=oldest.limit_seconds)
    # Photos are due for purging when 1/288 of their lifetime is left. About half of that is allowed for the purge.
    status = Health.CRITICAL if oldest.is_over else Health.WARNING if age > limit - limit / 600 else Health.OK
    return HealthCheck(
        "oldest_photo", title, status, f"{humanize_timedelta(age)} old, limit {humanize_timedelta(limit)}"
    )


def check_queue() -> HealthCheck:
    packs, age = live_stats.queue_wait()
    if not packs:
        return HealthCheck("queue", "Queue", Health.OK, "empty")
    status = Health.CRITICAL if age > QUEUE_CRITICAL else Health.WARNING if age > QUEUE_WARNING else Health.OK
    return HealthCheck("queue", "Queue", status, f"{packs} waiting, longest wait {humanize_timedelta(age)}")


def check_retrying_packs() -> HealthCheck:
    """Check for failed packs that are being retried.

    After MAX_CONSECUTIVE_FAILURES failures in a row a pack fails permanently and is no longer counted here."""
    packs = list(live_stats.retrying_packs())
    if not packs:
        return HealthCheck("retrying", "Packs being retried", Health.OK, "none")
    worst = packs[0]
    message = f"{len(packs)} in total, up to {worst.consecutive_failures} of {MAX_CONSECUTIVE_FAILURES} failures each"
    return HealthCheck("retrying", "Packs being retried", Health.WARNING, message, shoot_id=worst.shoot_id)


def check_failed_packs() -> HealthCheck:
    """Check for packs that failed permanently by a system error within a day and were not retried.

    Critical if one of them is a premium pack."""
    title, packs = "Packs failed (system error)", list(live_stats.packs_failed_by_fault())
    if not packs:
        return HealthCheck("failed_by_fault", title, Health.OK, "none in the last 24 hours")
    premium = sum(pack.kind == Pack.Kind.PREMIUM for pack in packs)
    message = f"{premium} premium and {len(packs) - premium} free in the last 24 hours"
    status = Health.CRITICAL if premium else Health.WARNING
    return HealthCheck("failed_by_fault", title, status, message, shoot_id=packs[0].shoot_id)


def check_disk() -> HealthCheck:
    disk = shutil.disk_usage(settings.HEADSHOTS_DATA_DIR)
    left = disk.free / disk.total
    status = Health.CRITICAL if left < DISK_CRITICAL else Health.WARNING if left < DISK_WARNING else Health.OK
    return HealthCheck("disk", "Disk space", status, f"{disk.free / 1e9:.1f} GB free ({left:.0%})")


def check_reports() -> HealthCheck:
    """Check how long abuse reports wait for an answer, and name the times of the last 30 days."""
    times = measure_reports()
    limit = timedelta(hours=settings.HEADSHOTS_ABUSE_REPORT_HOURS)
    message = f"{times.open} open, the oldest for {humanize_timedelta(times.oldest)}" if times.open else "none open"
    if times.closed:
        closed = f"{times.closed} closed in 30 days, median {_hours(times.median)}, longest {_hours(times.longest)}"
        message = f"{message}; {closed}"
    status = Health.WARNING if times.oldest > limit else Health.OK
    return HealthCheck("abuse_reports", "Abuse reports", status, message)


def _hours(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 3600:.1f} hours"


def check_pauses() -> list[HealthCheck]:
    """Return a warning for each part of the product that staff has paused."""
    paused = Pause.objects.order_by("part")
    return [
        HealthCheck(
            "paused",
            Pause.Part(each.part).label,
            Health.WARNING,
            f"paused since {each.since:%b %-d, %H:%M} UTC",
            each.part,
        )
        for each in paused
    ]
