"""Is everything well? One lamp a subject: green, yellow for what somebody should look at, red for what is broken."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import redis
from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from headshots.dashboard import workers
from headshots.dashboard.models import Worker
from headshots.shoots.models import Pack, Pause
from headshots.vault.models import Blob
from headshots.vault.rings import Ring

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
    """`code`: beat, broker, worker, oldest_photo, queue, disk, paused. `about`: which one, where there are several."""

    code: str
    title: str
    light: Light
    words: str
    about: str = ""


def lamps() -> list[Lamp]:
    """All of them, what is broken first."""
    known = workers.known_workers()
    found = [beat_lamp(known), broker_lamp(), *worker_lamps(known), oldest_photo_lamp(), queue_lamp(), disk_lamp()]
    found += pause_lamps()
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


def oldest_photo_lamp() -> Lamp:
    """Age of the oldest private blob against its limit. What is due goes a little earlier than it must."""
    made = Blob.objects.filter(ring=Ring.SOURCE).aggregate(oldest=Min("created_at"))["oldest"]
    limit = timedelta(seconds=settings.HEADSHOTS_SOURCE_TTL_SECONDS)
    title = "Oldest photo"
    if made is None:
        return Lamp("oldest_photo", title, Light.GREEN, "there is none")
    age = timezone.now() - made
    # Purged when 1/288 of its life is left, by beat, which needs a moment.
    late = age > limit - limit / 600
    light = Light.RED if age > limit else Light.YELLOW if late else Light.GREEN
    return Lamp("oldest_photo", title, light, f"{in_words(age)} of {in_words(limit)}")


def queue_lamp() -> Lamp:
    waiting = Pack.objects.filter(state=Pack.State.QUEUED).aggregate(oldest=Min("queued_at"))["oldest"]
    if waiting is None:
        return Lamp("queue", "Queue", Light.GREEN, "nobody waits")
    age = timezone.now() - waiting
    light = Light.RED if age > QUEUE_RED else Light.YELLOW if age > QUEUE_YELLOW else Light.GREEN
    return Lamp("queue", "Queue", light, f"the first has waited {in_words(age)}")


def disk_lamp() -> Lamp:
    disk = shutil.disk_usage(settings.HEADSHOTS_DATA_DIR)
    left = disk.free / disk.total
    light = Light.RED if left < DISK_RED else Light.YELLOW if left < DISK_YELLOW else Light.GREEN
    return Lamp("disk", "Disk", light, f"{disk.free / 1e9:.1f} GB free ({left:.0%})")


def pause_lamps() -> list[Lamp]:
    """One for each part of the product that staff has stopped, so that nobody forgets it."""
    paused = Pause.objects.order_by("what")
    return [
        Lamp(
            "paused", Pause.What(each.what).label, Light.YELLOW, f"paused since {each.since:%d %b %H:%M} UTC", each.what
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
