"""Statistics of a range of days, in three queries for a range of any length."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from headshots.dashboard.models import DayCounts
from headshots.dashboard.stats.aggregation import (
    COUNTED_EVENTS,
    RULES_VERSION,
    Codes,
    Counts,
    Numbers,
    count_events,
    count_ledger_entry,
    percentile,
    split,
)
from headshots.payments.models import LedgerEntry
from headshots.shoots.models import Event

# A transaction that began before midnight may still commit an event of the day before.
_COMPLETE_AFTER = timedelta(minutes=10)
MAX_RANGE_DAYS = 366
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Range:
    """A range of UTC days, both ends included.

    Raises ValueError for less than 1 or more than MAX_RANGE_DAYS days, and for the last day of the calendar."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if not 0 < self.days <= MAX_RANGE_DAYS:
            raise ValueError(f"a range holds 1 to {MAX_RANGE_DAYS} days")
        if self.last == date.max:
            raise ValueError("a range ends before the calendar does")

    @classmethod
    def until_today(cls, days: int) -> "Range":
        today = timezone.now().astimezone(UTC).date()
        return cls(today - timedelta(days=days - 1), today)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """Return the first moment after the range."""
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range(self.days))


@dataclass(frozen=True)
class DailyStats:
    """The counts of each day of a range."""

    days: Range
    by_day: dict[date, Counts]

    @cached_property
    def total(self) -> Counts:
        total: Counts = Counter()
        for counts in self.by_day.values():
            total.update(counts)
        return total

    def series(self, key: str) -> list[int]:
        """Return the count under `key` for each day, in order."""
        return [self.by_day[day][key] for day in self.days]

    @cached_property
    def pictures(self) -> dict[str, list[int]]:
        """Return the number of pictures on each day, by engine."""
        engines: dict[str, list[int]] = {}
        for who in split(self.total, "pictures"):
            made = engines.setdefault(who.partition("|")[0], [0] * self.days.days)
            for number, pictures in enumerate(self.series(f"pictures|{who}")):
                made[number] += pictures
        return engines

    def delivery_seconds(self, kind: str, percent: int) -> int | None:
        """Return a percentile of the time from order to delivery, in seconds.

        Returns None if no pack of this kind was delivered."""
        histogram = {int(seconds): packs for seconds, packs in split(self.total, f"delivery|{kind}").items()}
        return percentile(histogram, percent)


def load_daily_stats(days: Range) -> DailyStats:
    """Load the statistics of a range in three queries.

    Past days are read from `DayCounts`. Days without such a row are counted from events and ledger."""
    closed = DayCounts.objects.filter(rules_version=RULES_VERSION, day__range=(days.first, days.last))
    by_day: dict[date, Counts] = {row.day: Counter(row.counts) for row in closed}
    return DailyStats(days, by_day | _count_days([day for day in days if day not in by_day]))


def aggregate_days() -> int:
    """Count and store the past days that the current rules have not counted yet.

    Returns the number of days stored. Safe to repeat and to run concurrently, because a day's counts do not change."""
    settled = (timezone.now() - _COMPLETE_AFTER).astimezone(UTC).date()
    first = Event.objects.aggregate(first=Min("at"))["first"]
    if first is None:
        return 0
    known = set(DayCounts.objects.filter(rules_version=RULES_VERSION).values_list("day", flat=True))
    closed, day = 0, first.astimezone(UTC).date()
    while day < settled:
        if day not in known:
            with transaction.atomic():
                counts = _count_days([day])[day]
                DayCounts.objects.update_or_create(day=day, defaults={"rules_version": RULES_VERSION, "counts": counts})
            closed += 1
        day += timedelta(days=1)
    return closed


def _count_days(days: list[date]) -> dict[date, Counts]:
    """Count events and ledger entries of these days, which must be in order, in two queries.

    Without days, both queries still run, over an empty period that costs nothing."""
    events: dict[date, list[tuple[str, Codes, Numbers]]] = {day: [] for day in days}
    begin, end = (Range(days[0], days[0]).begin, Range(days[-1], days[-1]).end) if days else (_EPOCH, _EPOCH)
    rows = Event.objects.filter(name__in=COUNTED_EVENTS, at__gte=begin, at__lt=end)
    for name, at, codes, numbers in rows.order_by().values_list("name", "at", "codes", "numbers").iterator():
        of_day = events.get(at.astimezone(UTC).date())
        if of_day is not None:
            of_day.append((name, codes, numbers))
    counted = {day: count_events(rows) for day, rows in events.items()}
    entries = LedgerEntry.objects.filter(at__gte=begin, at__lt=end).order_by()
    for at, *where, amount in entries.values_list("at", "mode", "currency", "kind", "amount").iterator():
        counts = counted.get(at.astimezone(UTC).date())
        if counts is not None:
            count_ledger_entry(counts, where, amount)
    return counted
