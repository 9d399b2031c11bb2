"""Is everything well? One lamp a subject: green, yellow for what somebody should look at, red for what is broken."""

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
from headshots.dashboard.stats import live_stats
from headshots.retention.audit import Finding, audit
from headshots.shoots.lifecycle import MAX_CONSECUTIVE_FAILURES
from headshots.shoots.models import Pack, Pause

# A queue without any of these does nothing.
QUEUES = ("render", "default", "retention")
# Of the disk: what is left when it lights.
DISK_YELLOW, DISK_RED = 0.15, 0.05
QUEUE_YELLOW, QUEUE_RED = timedelta(minutes=5), timedelta(minutes=30)


class Light(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Lamp:
    """`code`: beat, broker, worker, oldest_photo, retention, queue, trouble, lost, disk or paused. `about`: which one
    of several."""

    code: str
    title: str
    light: Light
    words: str
    about: str = ""
    # Of the shoot that it is about, for those who may see what happened to it.
    shoot_id: UUID | None = None


def lamps() -> list[Lamp]:
    """All of them, what is broken first."""
    known = workers.known_workers()
    found = [beat_lamp(known), broker_lamp(), *worker_lamps(known), *retention_lamps(), queue_lamp()]
    found += [trouble_lamp(), lost_lamp(), disk_lamp(), *pause_lamps()]
    return sorted(found, key=lambda lamp: (Light.RED, Light.YELLOW, Light.GREEN).index(lamp.light))


def beat_lamp(known: list[Worker]) -> Lamp:
    """Beat counts by its deliveries: one that ticks and reaches no broker is dark as well."""
    seen = max((worker.last_seen for worker in known if worker.queue == "beat"), default=None)
    if seen is None:
        return Lamp("beat", "Beat", Light.RED, "has not been seen for an hour: nothing is purged or woken")
    silent = timezone.now() - seen
    light = Light.RED if silent > workers.SILENT_AFTER else Light.GREEN
    return Lamp("beat", "Beat", light, f"last beat {in_words(silent)} ago")


def broker_lamp() -> Lamp:
    if not settings.HEADSHOTS_REDIS_URL:
        return Lamp("broker", "Broker", Light.RED, "none is set: no worker can be woken")
    client = redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return Lamp("broker", "Broker", Light.RED, f"does not answer ({type(error).__name__})")
    finally:
        client.close()
    return Lamp("broker", "Broker", Light.GREEN, "answers")


def worker_lamps(known: list[Worker]) -> Iterator[Lamp]:
    """One for each worker that is known, and for each queue that has none."""
    for queue in QUEUES:
        mine = [worker for worker in known if worker.queue == queue]
        if not mine:
            yield Lamp("worker", f"Worker for {queue}", Light.RED, "nobody reads this queue", queue)
        for worker in mine:
            silent = timezone.now() - worker.last_seen
            if workers.is_silent(worker):
                yield Lamp("worker", worker.name, Light.RED, f"silent for {in_words(silent)}", worker.name)
            else:
                yield Lamp("worker", worker.name, Light.GREEN, "busy" if worker.busy else "ready", worker.name)


def retention_lamps() -> list[Lamp]:
    """What the audit of everything private says: the oldest photo against its limit, then the rest."""
    found = audit()
    photos = [finding for finding in found.findings if finding.what.endswith("photos")]
    late = [finding.describe() for finding in found.findings if finding.is_over and finding not in photos]
    if found.purge_is_overdue:
        late.append("nothing has been purged for too long")
    rest = Lamp("retention", "Forgetting", Light.RED if late else Light.GREEN, "; ".join(late) or "on time")
    return [oldest_photo_lamp(photos), rest]


def oldest_photo_lamp(photos: Sequence[Finding]) -> Lamp:
    title = "Oldest photo"
    if silent := [finding for finding in photos if not finding.is_reachable]:
        return Lamp("oldest_photo", title, Light.RED, silent[0].describe())
    ages = [finding for finding in photos if finding.age_seconds is not None]
    if not ages:
        return Lamp("oldest_photo", title, Light.GREEN, "there is none")
    oldest = max(ages, key=lambda finding: finding.age_seconds or 0)
    age, limit = timedelta(seconds=oldest.age_seconds or 0), timedelta(seconds=oldest.limit_seconds)
    # Purged when 1/288 of its life is left, by beat, which needs a moment.
    light = Light.RED if oldest.is_over else Light.YELLOW if age > limit - limit / 600 else Light.GREEN
    return Lamp("oldest_photo", title, light, f"{in_words(age)} of {in_words(limit)}")


def queue_lamp() -> Lamp:
    packs, age = live_stats.waiting()
    if not packs:
        return Lamp("queue", "Queue", Light.GREEN, "nobody waits")
    light = Light.RED if age > QUEUE_RED else Light.YELLOW if age > QUEUE_YELLOW else Light.GREEN
    return Lamp("queue", "Queue", light, f"{packs} waiting, the first for {in_words(age)}")


def trouble_lamp() -> Lamp:
    """Packs that failed and are tried again: after the third time it is too late to mend anything for them."""
    packs = list(live_stats.troubled_packs())
    if not packs:
        return Lamp("trouble", "Packs in trouble", Light.GREEN, "none")
    worst = packs[0]
    times = f"{worst.consecutive_failures} of {MAX_CONSECUTIVE_FAILURES} times"
    words = f"{len(packs)} failed and tried again, the worst {times}"
    return Lamp("trouble", "Packs in trouble", Light.YELLOW, words, shoot_id=worst.shoot_id)


def lost_lamp() -> Lamp:
    """Packs that failed for good through a fault, for a day or until they are tried again: red once one was paid."""
    title, packs = "Packs lost to a fault", list(live_stats.lost_packs())
    if not packs:
        return Lamp("lost", title, Light.GREEN, "none within a day")
    premium = sum(pack.kind == Pack.Kind.PREMIUM for pack in packs)
    words = f"{premium} premium and {len(packs) - premium} free failed for good within a day"
    light = Light.RED if premium else Light.YELLOW
    return Lamp("lost", title, light, words, shoot_id=packs[0].shoot_id)


def disk_lamp() -> Lamp:
    disk = shutil.disk_usage(settings.HEADSHOTS_DATA_DIR)
    left = disk.free / disk.total
    light = Light.RED if left < DISK_RED else Light.YELLOW if left < DISK_YELLOW else Light.GREEN
    return Lamp("disk", "Disk", light, f"{disk.free / 1e9:.1f} GB free ({left:.0%})")


def pause_lamps() -> list[Lamp]:
    """One for each part of the product that staff has stopped, so that nobody forgets it."""
    paused = Pause.objects.order_by("part")
    return [
        Lamp(
            "paused", Pause.Part(each.part).label, Light.YELLOW, f"paused since {each.since:%d %b %H:%M} UTC", each.part
        )
        for each in paused
    ]


def in_words(time: timedelta) -> str:
    """To the nearest unit that matters: "12 s", "5 min", "3.2 h"."""
    seconds = time.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
