"""What /metrics says to Prometheus: the dashboard's own figures, read from the database at each scrape.

No process counts for itself, so it does not matter how many there are or which of them is asked. What stands still or
falls is a gauge. What is counted is counted over the running day (UTC) and begins again at midnight; to Prometheus
that is a counter that was reset, which `rate` and `increase` know how to add up.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import inf

import redis
from django.conf import settings
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headshots.dashboard.models import Worker
from headshots.dashboard.monitoring import workers
from headshots.dashboard.monitoring.health import QUEUES
from headshots.dashboard.stats import live_stats
from headshots.dashboard.stats.aggregation import split
from headshots.dashboard.stats.daily_stats import Figures, Range
from headshots.dashboard.stats.revenue import REFUNDS, REVENUE, Purse
from headshots.dashboard.stats.tables import KINDS, Numbers, numbers_of
from headshots.retention.audit import Audit, audit
from headshots.shoots.models import Event, Pause

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ENDS = ("delivered", "failed", "cancelled", "revoked")

# Values of the labels, then the number.
Samples = Iterable[tuple[Sequence[str], float]]


def exposition() -> bytes:
    """Everything, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Everything())
    return generate_latest(registry)


class _Everything(Collector):
    def describe(self) -> list[Metric]:
        # Asked for at registration: without it everything would be collected once to learn the names.
        return []

    def collect(self) -> Iterator[Metric]:
        numbers, known = numbers_of(Range.until_today(1)), workers.known_workers()
        yield from _private(audit())
        yield from _at_work(known)
        yield from _queues()
        yield from _standing()
        yield from _ended(numbers.figures)
        yield from _made(numbers.figures, known)
        yield from _people(numbers)
        yield from _money(numbers.money)


def _private(found: Audit) -> Iterator[Metric]:
    """The oldest of everything private, as the audit sees it."""
    by_place = [((finding.what.replace(" ", "_"),), finding) for finding in found.findings]
    ages = [(place, each.age_seconds or 0.0) for place, each in by_place]
    yield _gauge("oldest_private_age_seconds", "Age of the oldest private thing of its kind.", ages, "what")
    limits = [(place, each.limit_seconds) for place, each in by_place]
    yield _gauge("oldest_private_limit_seconds", "How old it may get.", limits, "what")
    answers = [(place, float(each.is_reachable)) for place, each in by_place]
    yield _gauge("private_place_answers", "1 where the place could be looked at, else 0.", answers, "what")
    since = inf if found.last_purge_age_seconds is None else found.last_purge_age_seconds
    yield _gauge("last_purge_age_seconds", "Since the last purge ended; +Inf: never.", [((), since)])
    yield _gauge("purge_late", "1 when nothing was purged for too long.", [((), float(found.purge_is_overdue))])


def _at_work(known: Sequence[Worker]) -> Iterator[Metric]:
    seconds = {worker.name: (timezone.now() - worker.last_seen).total_seconds() for worker in known}
    beat = min((seconds[worker.name] for worker in known if worker.queue == "beat"), default=inf)
    yield _gauge("beat_age_seconds", "Since beat last said that it lives; +Inf: not within the hour.", [((), beat)])
    alive = [worker for worker in known if not workers.is_silent(worker)]
    counts = [((queue,), float(sum(worker.queue == queue for worker in alive))) for queue in (*QUEUES, "beat")]
    yield _gauge("workers_alive", "Processes that have lately said that they live.", counts, "queue")
    labels = ("queue", "worker", "engine")
    named = [((worker.queue, worker.name, worker.engine), worker) for worker in known]
    ages = [(who, seconds[worker.name]) for who, worker in named]
    yield _gauge("worker_age_seconds", "Since this process last said that it lives.", ages, *labels)
    busy = [(who, float(worker.busy)) for who, worker in named]
    yield _gauge("worker_busy", "1 while it works on a task.", busy, *labels)
    memory = [(who, float(worker.memory_bytes)) for who, worker in named]
    yield _gauge("worker_memory_bytes", "What the process holds in memory.", memory, *labels)
    for name in ("device_used_bytes", "device_total_bytes"):
        sizes = [(who, float(size)) for who, worker in named if (size := getattr(worker, name)) is not None]
        yield _gauge(f"worker_{name}", "Memory of its device, where that has its own.", sizes, *labels)


def _queues() -> Iterator[Metric]:
    waiting = live_stats.waiting_by_engine()
    packs = [((engine,), float(queue.packs)) for engine, queue in waiting.items()]
    yield _gauge("queue_packs", "Packs that wait for a worker.", packs, "engine")
    oldest = [((engine,), queue.longest_wait.total_seconds()) for engine, queue in waiting.items()]
    yield _gauge("queue_oldest_seconds", "How long the first of them has waited.", oldest, "engine")
    pictures = [((engine,), float(queue.pictures)) for engine, queue in waiting.items()]
    yield _gauge("queue_pictures", "Pictures still to be made.", pictures, "engine")
    lengths = _messages()
    yield _gauge("broker_answers", "1 when the broker answers, else 0.", [((), float(lengths is not None))])
    messages = [((queue,), float(length)) for queue, length in (lengths or {}).items()]
    yield _gauge("queue_messages", "Messages that no worker has taken yet.", messages, "queue")
    troubled = Counter(live_stats.troubled_packs().values_list("kind", flat=True))
    kinds = [((kind,), float(troubled[kind])) for kind in KINDS]
    yield _gauge("packs_in_trouble", "Packs that failed and are tried again.", kinds, "kind")
    lost = Counter(live_stats.lost_packs().values_list("kind", flat=True))
    kinds = [((kind,), float(lost[kind])) for kind in KINDS]
    yield _gauge("packs_lost", "Packs that a fault made fail within a day, not tried again.", kinds, "kind")
    paused = set(Pause.objects.values_list("part", flat=True))
    parts = [((part.value,), float(part in paused)) for part in Pause.Part]
    yield _gauge("paused", "1 for a part of the product that staff has stopped.", parts, "what")


def _messages() -> dict[str, int] | None:
    """Queue -> messages in it; None when the broker does not answer."""
    if not settings.HEADSHOTS_REDIS_URL:
        return None
    client = redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        return {queue: int(client.llen(queue)) for queue in QUEUES}
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()


def _standing() -> Iterator[Metric]:
    """How packs, store and disk stand at this moment."""
    packs = [((kind, state), float(count)) for (state, kind), count in live_stats.packs_by_state().items()]
    yield _gauge("packs", "Packs by state.", packs, "kind", "state")
    stored = live_stats.stored()
    blobs = [((each.ring,), float(each.blobs)) for each in stored]
    yield _gauge("stored_blobs", "Encrypted files in the vault.", blobs, "ring")
    sizes = [((each.ring,), float(each.size)) for each in stored]
    yield _gauge("stored_bytes", "What they hold, before encryption.", sizes, "ring")
    disk = shutil.disk_usage(settings.HEADSHOTS_DATA_DIR)
    yield _gauge("disk_free_bytes", "Free on the disk of the data folder.", [((), float(disk.free))])
    yield _gauge("disk_free_ratio", "The same as a share of the disk.", [((), disk.free / disk.total)])


def _ended(figures: Figures) -> Iterator[Metric]:
    """What became of packs, today."""
    total = figures.total
    ordered = [((kind,), total[f"ordered|{kind}"]) for kind in KINDS]
    yield _counter("packs_ordered", "Packs that were queued.", ordered, "kind")
    ended = [((kind, state), total[f"{state}|{kind}"]) for kind in KINDS for state in ENDS]
    yield _counter("packs_ended", "Packs by how they ended.", ended, "kind", "state")
    failures = _split(figures, "failed_because")
    yield _counter("pack_failures", "Failed packs by reason.", failures, "reason")
    times = [
        ((kind, f"0.{percent}"), float(seconds))
        for kind in KINDS
        for percent in (50, 95)
        if (seconds := figures.delivery_seconds(kind, percent)) is not None
    ]
    yield _gauge("delivery_seconds", "From order to delivery, of today's packs.", times, "kind", "quantile")


def _made(figures: Figures, known: Sequence[Worker]) -> Iterator[Metric]:
    """What became of pictures, today."""
    total, labels = figures.total, ("engine", "worker")
    # Those who have made nothing yet begin at nothing, else `rate` would not see their first pack.
    idle = dict.fromkeys((f"{worker.engine}|{worker.name}" for worker in known if worker.queue == "render"), 0)
    made, work = idle | split(total, "pictures"), idle | split(total, "work_ms")
    yield _counter("pictures", "Finished headshots.", [(who.split("|", 1), made[who]) for who in made], *labels)
    seconds_at_work = [(who.split("|", 1), work[who] / 1000) for who in work]
    yield _counter("work_seconds", "Time that workers spent on them.", seconds_at_work, *labels)
    pace = [(who.split("|", 1), work[who] / 1000 / made[who]) for who in work if made.get(who)]
    yield _gauge("seconds_per_picture", "Of today's headshots.", pace, *labels)
    for name, words in (
        ("generated", "Pictures that engines made."),
        ("accepted", "Pictures that passed the gate."),
        ("reshot", "Shots made again."),
        ("replaced", "Shots that others stand in for."),
    ):
        yield _counter(f"pictures_{name}", words, [((), total[name])])
    corrupt = Event.objects.filter(name="pack.files_corrupt", at__gte=figures.days.begin)
    files = sum(numbers["files"] for numbers in corrupt.values_list("numbers", flat=True))
    yield _counter("files_spoiled", "Files that ZIPs had to leave out, unreadable.", [((), float(files))])
    yield _counter("pictures_rejected", "By the first reason of the gate.", _split(figures, "rejected"), "reason")


def _people(numbers: Numbers) -> Iterator[Metric]:
    total = numbers.figures.total
    views, visits = numbers.visits.get(numbers.figures.days.last, (0, 0))
    for name, words, count in (
        ("page_views", "Pages that were opened.", views),
        ("visits", "Pages that were opened from elsewhere.", visits),
        ("uploads", "Shoots that were opened.", total["uploads"]),
        ("photos", "Photos in them.", total["photos"]),
        ("photos_refused", "Photos that will not do.", total["refused"]),
    ):
        yield _counter(name, words, [((), count)])
    refusals = _split(numbers.figures, "refused")
    yield _counter("photo_refusals", "Why not; a photo may have several reasons.", refusals, "reason")


def _money(money: Sequence[Purse]) -> Iterator[Metric]:
    """How often, not how much: amounts are for those who may see them on the dashboard."""
    for name, words, kind in (("payments", "Payments.", REVENUE[0]), ("refunds", "Refunds.", REFUNDS[0])):
        samples = [((purse.mode, purse.currency), purse.count(kind)) for purse in money]
        yield _counter(name, words, samples, "mode", "currency")


def _split(figures: Figures, name: str) -> Samples:
    return [((reason,), count) for reason, count in split(figures.total, name).items()]


def _gauge(name: str, words: str, samples: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"headshots_{name}", words, labels=labels), samples)


def _counter(name: str, words: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"headshots_{name}", f"{words} Of today.", labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for values, number in samples:
        family.add_metric(values, number)
    return family
