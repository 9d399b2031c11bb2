"""Metrics for Prometheus at /metrics, read from the database at each scrape.

No process keeps counters of its own, so Prometheus can ask any of several web processes.
Values that describe the current state are gauges. Counters cover the current UTC day and restart at midnight.
Prometheus treats the restart as a counter reset, which `rate` and `increase` handle.
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
from headshots.dashboard.reports.cases import measure_reports
from headshots.dashboard.stats import live_stats
from headshots.dashboard.stats.aggregation import split
from headshots.dashboard.stats.daily_stats import DailyStats, Range
from headshots.dashboard.stats.revenue import REFUNDS, REVENUE, RevenueTotals
from headshots.dashboard.stats.tables import KINDS, DashboardStats, load_dashboard_stats
from headshots.retention.audit import Audit, audit
from headshots.shoots.models import Event, Pause

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
END_STATES = ("delivered", "failed", "canceled", "revoked")

# For each sample the values of its labels, then the number.
Samples = Iterable[tuple[Sequence[str], float]]


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_HeadshotsCollector())
    return generate_latest(registry)


class _HeadshotsCollector(Collector):
    def describe(self) -> list[Metric]:
        # The registry calls this at registration. Without it, the registry would collect all metrics for their names.
        return []

    def collect(self) -> Iterator[Metric]:
        stats, known = load_dashboard_stats(Range.until_today(1)), workers.recent_workers()
        yield from _data_ages(audit())
        yield from _workers(known)
        yield from _queues()
        yield from _current_state()
        yield from _finished_packs(stats.daily_stats)
        yield from _pictures(stats.daily_stats, known)
        yield from _usage(stats)
        yield from _payments(stats.money)
        yield from _reports()


def _data_ages(found: Audit) -> Iterator[Metric]:
    """Yield the age and limit of the oldest private data of each kind, and the time of the last purge."""
    by_place = [((finding.what.replace(" ", "_"),), finding) for finding in found.findings]
    ages = [(place, each.age_seconds or 0.0) for place, each in by_place]
    yield _gauge("oldest_data_age_seconds", "Age of the oldest private data by kind.", ages, "what")
    limits = [(place, each.limit_seconds) for place, each in by_place]
    yield _gauge("data_age_limit_seconds", "Maximum allowed age of private data by kind.", limits, "what")
    answers = [(place, float(each.is_reachable)) for place, each in by_place]
    yield _gauge("store_up", "1 if the store is reachable, otherwise 0.", answers, "what")
    since = inf if found.last_purge_age_seconds is None else found.last_purge_age_seconds
    yield _gauge(
        "last_purge_age_seconds", "Time since the last completed purge, +Inf if there was none.", [((), since)]
    )
    yield _gauge(
        "purge_overdue", "1 if no purge has completed recently, otherwise 0.", [((), float(found.purge_is_overdue))]
    )


def _reports() -> Iterator[Metric]:
    times = measure_reports()
    yield _gauge("abuse_reports_open", "Abuse reports that are not closed.", [((), float(times.open))])
    oldest = times.oldest.total_seconds()
    yield _gauge("abuse_report_age_seconds", "Age of the oldest open abuse report, 0 without one.", [((), oldest)])


def _workers(known: Sequence[Worker]) -> Iterator[Metric]:
    seconds = {worker.name: (timezone.now() - worker.last_seen).total_seconds() for worker in known}
    beat = min((seconds[worker.name] for worker in known if worker.queue == "beat"), default=inf)
    yield _gauge(
        "beat_age_seconds",
        "Time since the last heartbeat of Celery beat, +Inf if there was none within the hour.",
        [((), beat)],
    )
    alive = [worker for worker in known if not workers.is_offline(worker)]
    counts = [((queue,), float(sum(worker.queue == queue for worker in alive))) for queue in (*QUEUES, "beat")]
    yield _gauge("workers_alive", "Processes with a recent heartbeat.", counts, "queue")
    labels = ("queue", "worker", "engine")
    named = [((worker.queue, worker.name, worker.engine), worker) for worker in known]
    ages = [(who, seconds[worker.name]) for who, worker in named]
    yield _gauge("worker_age_seconds", "Time since the last heartbeat of the process.", ages, *labels)
    busy = [(who, float(worker.busy)) for who, worker in named]
    yield _gauge("worker_busy", "1 while the worker runs a task, otherwise 0.", busy, *labels)
    memory = [(who, float(worker.memory_bytes)) for who, worker in named]
    yield _gauge("worker_memory_bytes", "Resident memory of the process.", memory, *labels)
    for name, kind in (("device_used_bytes", "Used"), ("device_total_bytes", "Total")):
        sizes = [(who, float(size)) for who, worker in named if (size := getattr(worker, name)) is not None]
        yield _gauge(f"worker_{name}", f"{kind} memory of the worker's device, such as a GPU.", sizes, *labels)


def _queues() -> Iterator[Metric]:
    waiting = live_stats.waiting_by_engine()
    packs = [((engine,), float(queue.packs)) for engine, queue in waiting.items()]
    yield _gauge("queue_packs", "Packs waiting for a worker.", packs, "engine")
    oldest = [((engine,), queue.longest_wait.total_seconds()) for engine, queue in waiting.items()]
    yield _gauge("queue_oldest_seconds", "Longest wait of a queued pack.", oldest, "engine")
    pictures = [((engine,), float(queue.pictures)) for engine, queue in waiting.items()]
    yield _gauge("queue_pictures", "Pictures still to be rendered.", pictures, "engine")
    lengths = _messages()
    yield _gauge("broker_up", "1 if the broker is reachable, otherwise 0.", [((), float(lengths is not None))])
    messages = [((queue,), float(length)) for queue, length in (lengths or {}).items()]
    yield _gauge("queue_messages", "Messages waiting for a worker.", messages, "queue")
    retrying = Counter(live_stats.retrying_packs().values_list("kind", flat=True))
    kinds = [((kind,), float(retrying[kind])) for kind in KINDS]
    yield _gauge("packs_retrying", "Failed packs that are being retried.", kinds, "kind")
    failed = Counter(live_stats.packs_failed_by_fault().values_list("kind", flat=True))
    kinds = [((kind,), float(failed[kind])) for kind in KINDS]
    yield _gauge(
        "packs_failed_recently",
        "Packs failed permanently by a system error in the last day and not retried.",
        kinds,
        "kind",
    )
    paused = set(Pause.objects.values_list("part", flat=True))
    parts = [((part.value,), float(part in paused)) for part in Pause.Part]
    yield _gauge("paused", "1 if staff paused this part of the product, otherwise 0.", parts, "what")


def _messages() -> dict[str, int] | None:
    """Return the number of messages in each queue.

    Returns None if no broker is configured, or if the broker does not answer."""
    if not settings.HEADSHOTS_REDIS_URL:
        return None
    client = redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        return {queue: int(client.llen(queue)) for queue in QUEUES}
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()


def _current_state() -> Iterator[Metric]:
    """Yield the current state of packs, vault and disk."""
    packs = [((kind, state), float(count)) for (state, kind), count in live_stats.packs_by_state().items()]
    yield _gauge("packs", "Packs by state.", packs, "kind", "state")
    stored = live_stats.ring_usage()
    blobs = [((each.ring,), float(each.blobs)) for each in stored]
    yield _gauge("stored_blobs", "Encrypted files in the vault.", blobs, "ring")
    sizes = [((each.ring,), float(each.size)) for each in stored]
    yield _gauge("stored_bytes", "Size of the files in the vault before encryption.", sizes, "ring")
    disk = shutil.disk_usage(settings.HEADSHOTS_DATA_DIR)
    yield _gauge("disk_free_bytes", "Free space on the disk of the data folder.", [((), float(disk.free))])
    yield _gauge(
        "disk_free_ratio", "Free space as a fraction of the disk of the data folder.", [((), disk.free / disk.total)]
    )


def _finished_packs(daily_stats: DailyStats) -> Iterator[Metric]:
    """Yield today's orders, final states, failures and delivery times of packs."""
    total = daily_stats.total
    ordered = [((kind,), total[f"ordered|{kind}"]) for kind in KINDS]
    yield _counter("packs_ordered", "Packs ordered.", ordered, "kind")
    ended = [((kind, state), total[f"{state}|{kind}"]) for kind in KINDS for state in END_STATES]
    yield _counter("packs_ended", "Packs by final state.", ended, "kind", "state")
    failures = _samples_by_reason(daily_stats, "failed_because")
    yield _counter("pack_failures", "Failed packs by reason.", failures, "reason")
    times = [
        ((kind, f"0.{percent}"), float(seconds))
        for kind in KINDS
        for percent in (50, 95)
        if (seconds := daily_stats.delivery_seconds(kind, percent)) is not None
    ]
    yield _gauge("delivery_seconds", "Time from order to delivery of today's packs.", times, "kind", "quantile")


def _pictures(daily_stats: DailyStats, known: Sequence[Worker]) -> Iterator[Metric]:
    """Yield today's output of workers and results of the quality gate."""
    total, labels = daily_stats.total, ("engine", "worker")
    # Workers without pictures today start at 0, otherwise `rate` would miss their first pack.
    idle = dict.fromkeys((f"{worker.engine}|{worker.name}" for worker in known if worker.queue == "render"), 0)
    made, work = idle | split(total, "pictures"), idle | split(total, "work_ms")
    yield _counter("pictures", "Finished headshots.", [(who.split("|", 1), made[who]) for who in made], *labels)
    seconds_at_work = [(who.split("|", 1), work[who] / 1000) for who in work]
    yield _counter("work_seconds", "Time workers spent rendering.", seconds_at_work, *labels)
    pace = [(who.split("|", 1), work[who] / 1000 / made[who]) for who in work if made.get(who)]
    yield _gauge("seconds_per_picture", "Rendering time per headshot today.", pace, *labels)
    for name, help_text in (
        ("generated", "Pictures rendered by engines."),
        ("accepted", "Pictures accepted by the quality gate."),
        ("reshot", "Shots rendered again."),
        ("replaced", "Shots replaced by other shots."),
    ):
        yield _counter(f"pictures_{name}", help_text, [((), total[name])])
    corrupt = Event.objects.filter(name="pack.files_corrupt", at__gte=daily_stats.days.begin)
    files = sum(numbers["files"] for numbers in corrupt.values_list("numbers", flat=True))
    yield _counter("corrupt_files", "Unreadable files left out of ZIP downloads.", [((), float(files))])
    yield _counter(
        "pictures_rejected",
        "Pictures rejected by the quality gate, by first reason.",
        _samples_by_reason(daily_stats, "rejected"),
        "reason",
    )


def _usage(stats: DashboardStats) -> Iterator[Metric]:
    total = stats.daily_stats.total
    views, visits = stats.visits.get(stats.daily_stats.days.last, (0, 0))
    for name, help_text, count in (
        ("page_views", "Page views.", views),
        ("visits", "Page views that started outside this site.", visits),
        ("uploads", "Shoots created.", total["uploads"]),
        ("photos", "Photos uploaded.", total["photos"]),
        ("photos_refused", "Photos refused.", total["refused"]),
    ):
        yield _counter(name, help_text, [((), count)])
    refusals = _samples_by_reason(stats.daily_stats, "refused")
    yield _counter("photo_refusals", "Refused photos by reason; one photo can have several.", refusals, "reason")


def _payments(money: Sequence[RevenueTotals]) -> Iterator[Metric]:
    """Yield the number of payments and refunds, but no amounts, because only some roles may see amounts."""
    for name, help_text, kind in (("payments", "Completed payments.", REVENUE[0]), ("refunds", "Refunds.", REFUNDS[0])):
        samples = [((totals.mode, totals.currency), totals.count(kind)) for totals in money]
        yield _counter(name, help_text, samples, "mode", "currency")


def _samples_by_reason(daily_stats: DailyStats, name: str) -> Samples:
    return [((reason,), count) for reason, count in split(daily_stats.total, name).items()]


def _gauge(name: str, help_text: str, samples: Samples, *labels: str) -> Metric:
    return _add_samples(GaugeMetricFamily(f"headshots_{name}", help_text, labels=labels), samples)


def _counter(name: str, help_text: str, samples: Samples, *labels: str) -> Metric:
    return _add_samples(
        CounterMetricFamily(f"headshots_{name}", f"{help_text} Resets at midnight UTC.", labels=labels), samples
    )


def _add_samples(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for values, number in samples:
        family.add_metric(values, number)
    return family
