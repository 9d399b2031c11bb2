"""The statistics as tables, which the page, the CSV files and the report show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from headshots.dashboard.stats import live_stats
from headshots.dashboard.stats.aggregation import LIKENESS_STEP, split
from headshots.dashboard.stats.daily_stats import DailyStats, Range, load_daily_stats
from headshots.dashboard.stats.revenue import (
    DISPUTES,
    MODES,
    NET,
    REFUNDS,
    REVENUE,
    RevenueTotals,
    count_payments,
    revenue_totals,
)
from headshots.dashboard.stats.visits import visits_by_day

Cell = str | int | float | None
KINDS = ("preview", "premium")


@dataclass(frozen=True)
class Table:
    """A table of statistics.

    code: names the table in URLs. rows: a cell is None if nothing was measured."""

    code: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    permission: str = field(default="dashboard.view_stats", compare=False)
    # True if the table has too many columns for half the width of the page.
    wide: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class DashboardStats:
    """All statistics of a range of days. visits: day -> (views, visits)."""

    daily_stats: DailyStats
    visits: Mapping[date, tuple[int, int]]

    @property
    def money(self) -> list[RevenueTotals]:
        """Return the revenue by mode and currency, real money first."""
        return revenue_totals(self.daily_stats)


def load_dashboard_stats(days: Range) -> DashboardStats:
    """Load all statistics of a range, in four queries for a range of any length."""
    return DashboardStats(load_daily_stats(days), visits_by_day(days))


def build_tables(stats: DashboardStats) -> list[Table]:
    """Return all tables, in the order of the dashboard."""
    daily_stats = stats.daily_stats
    return [
        revenue(stats.money),
        funnel(stats),
        packs(daily_stats),
        packs_by_state(),
        delivery_times(daily_stats),
        queue(),
        worker_output(daily_stats),
        reshoots(daily_stats),
        likeness(daily_stats),
        refusals(daily_stats),
        failures(daily_stats),
        storage(),
        by_day(daily_stats, stats.visits),
    ]


def funnel(stats: DashboardStats) -> Table:
    total = stats.daily_stats.total
    steps = (
        ("Visits", sum(visits for _, visits in stats.visits.values())),
        ("Uploads", total["uploads"]),
        ("Free packs delivered", total["delivered|preview"]),
    )
    rows: list[tuple[Cell, ...]] = []
    before = 0
    for title, count in steps:
        rows.append((title, count, share(count, before)))
        before = count
    # Payments have no share of the step before: some customers pay before they upload, and some pay twice for a shoot.
    rows.append(("Payments", count_payments(stats.money), None))
    columns = ("Step", "Count", "Conversion rate (%)")
    note = "Payments have no conversion rate, because customers can pay before they upload photos."
    return Table("funnel", "Conversion funnel", columns, rows, note)


def revenue(money: Sequence[RevenueTotals]) -> Table:
    rows = [
        (
            each.mode,
            each.currency.upper(),
            each.count(*REVENUE),
            each.as_decimal(*REVENUE),
            each.count(REFUNDS[0]),
            each.as_decimal(*REFUNDS),
            each.as_decimal(*DISPUTES),
            each.as_decimal(*NET),
        )
        for each in money
    ]
    columns = ("Mode", "Currency", "Payments", "Revenue", "Refunds", "Refunded", "Disputed", "Net revenue")
    modes = ", ".join(f"{mode} = {words}" for mode, words in MODES.items())
    note = f"Before payment service fees. Modes: {modes}."
    return Table("revenue", "Revenue and refunds", columns, rows, note, permission="dashboard.view_money", wide=True)


def packs(daily_stats: DailyStats) -> Table:
    """Return how many packs were ordered in the range, and how many reached each final state."""
    rows: list[tuple[Cell, ...]] = [
        (what, *(daily_stats.total[f"{what}|{kind}"] for kind in KINDS)) for what in ("ordered", *_END_STATES)
    ]
    note = "Each event counts on its own day. A pack retried by staff counts as ordered twice."
    return Table("packs", "Orders and results", ("Event", "Free", "Premium"), rows, note)


def packs_by_state() -> Table:
    found = live_stats.packs_by_state()
    states = ("awaiting_payment", "queued", "rendering", "awaiting_answer", *_END_STATES, "deleted")
    rows: list[tuple[Cell, ...]] = [(state, *(found.get((state, kind), 0) for kind in KINDS)) for state in states]
    return Table("states", "Packs by state (now)", ("State", "Free", "Premium"), rows)


_END_STATES = ("delivered", "failed", "canceled", "revoked")


def delivery_times(daily_stats: DailyStats) -> Table:
    rows = [
        (
            kind,
            daily_stats.total[f"delivered|{kind}"],
            *(daily_stats.delivery_seconds(kind, percent) for percent in (50, 95)),
        )
        for kind in KINDS
    ]
    columns = ("Pack", "Delivered", "Median (s)", "p95 (s)")
    note = "Seconds from order to delivery. A premium pack counts as ordered once it is paid for."
    return Table("delivery", "Time to delivery", columns, rows, note)


def queue() -> Table:
    waiting = live_stats.queue_stats()
    rows = (
        ("Waiting packs", waiting.packs),
        ("Longest wait (s)", round(waiting.longest_wait.total_seconds())),
        ("Pictures to render", waiting.pictures),
    )
    return Table("queue", "Queue (now)", ("Metric", "Value"), rows)


def worker_output(daily_stats: DailyStats) -> Table:
    pictures, times = split(daily_stats.total, "pictures"), split(daily_stats.total, "work_ms")
    rows: list[tuple[Cell, ...]] = []
    for who in sorted(times):
        engine, worker = who.split("|", 1)
        made, seconds = pictures.get(who, 0), times[who] / 1000
        per_minute = round(60 * made / seconds, 1) if seconds else None
        rows.append(
            (engine, worker, made, round(seconds / 60, 1), per_minute, round(seconds / made, 2) if made else None)
        )
    columns = ("Engine", "Worker", "Pictures", "Render minutes", "Pictures per minute", "Seconds per picture")
    return Table("work", "Pictures by engine and worker", columns, rows)


def reshoots(daily_stats: DailyStats) -> Table:
    """Return the quality gate's results, the shots repeated or replaced, and the reasons of rejection."""
    total = daily_stats.total
    made = total["generated"]
    steps = (("Rendered", made), ("Accepted", total["accepted"]), ("Reshot", total["reshot"]))
    rows: list[tuple[Cell, ...]] = [(title, count, share(count, made)) for title, count in steps]
    rows.append(("Replaced by another shot", total["replaced"], share(total["replaced"], made)))
    reasons = [(f"Rejected: {row[0]}", *row[1:]) for row in _largest_first(split(total, "rejected"), made)]
    note = "Packs that were delivered or failed. Each rejected picture counts under its first reason."
    return Table("reshoots", "Quality gate", ("Result", "Pictures", "Share of rendered (%)"), [*rows, *reasons], note)


def likeness(daily_stats: DailyStats) -> Table:
    counted = {int(low): pictures for low, pictures in split(daily_stats.total, "likeness").items()}
    total = sum(counted.values())
    steps = range(min(counted, default=0), max(counted, default=-1) + 1, LIKENESS_STEP)
    rows = [(f"{low / 100:.2f}", counted.get(low, 0), share(counted.get(low, 0), total)) for low in steps]
    return Table("likeness", "Likeness of accepted pictures", ("Likeness from", "Pictures", "Share (%)"), rows)


def refusals(daily_stats: DailyStats) -> Table:
    photos, refused = daily_stats.total["photos"], daily_stats.total["refused"]
    rows = [("all", refused, share(refused, photos)), *_largest_first(split(daily_stats.total, "refused"), photos)]
    return Table("refusals", "Refused photos", ("Reason", "Photos", "Share of photos (%)"), rows)


def failures(daily_stats: DailyStats) -> Table:
    total = daily_stats.total
    ended = sum(total[f"{state}|{kind}"] for state in _END_STATES for kind in KINDS)
    failed = sum(total[f"failed|{kind}"] for kind in KINDS)
    rows = [("all", failed, share(failed, ended)), *_largest_first(split(total, "failed_because"), ended)]
    return Table("failures", "Failed packs", ("Reason", "Packs", "Share of ended packs (%)"), rows)


def storage() -> Table:
    rows = [(stored.ring, stored.blobs, round(stored.size / 1e6, 1)) for stored in live_stats.ring_usage()]
    return Table("storage", "Storage (now)", ("Key ring", "Files", "MB"), rows)


def by_day(daily_stats: DailyStats, visits: Mapping[date, tuple[int, int]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            day.isoformat(),
            *visits.get(day, (0, 0)),
            counts["uploads"],
            counts["photos"],
            counts["refused"],
            *(counts[f"{state}|{kind}"] for kind in KINDS for state in ("ordered", "delivered", "failed")),
            sum(pictures),
        )
        for day, *pictures in zip(daily_stats.days, *daily_stats.pictures.values(), strict=True)
        for counts in [daily_stats.by_day[day]]
    ]
    columns = (
        "Day", "Views", "Visits", "Uploads", "Photos", "Refused", "Free ordered",
        "Free delivered", "Free failed", "Premium ordered", "Premium delivered", "Premium failed", "Pictures",
    )  # fmt: skip
    return Table("days", "Daily statistics", columns, rows[::-1])


def share(count: int, of: int) -> float | None:
    """Return `count` as a percentage of `of`, rounded to one decimal. Returns None if `of` is 0."""
    return round(100 * count / of, 1) if of else None


def _largest_first(counts: dict[str, int], of: int) -> list[tuple[Cell, ...]]:
    return [
        (key, count, share(count, of)) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
