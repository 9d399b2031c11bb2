"""The operator's figures against the product's own doings, and against a slow script on a generated year."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from headshots.dashboard.models import DayCounts
from headshots.dashboard.stats.aggregation import percentile, split
from headshots.dashboard.stats.daily_stats import Range, aggregate_days, load_daily_stats
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, Pack
from headshots.shoots.packs import rendering
from tests.helpers.factories import make_preview, make_shoot
from tests.helpers.slow_stats import median_and_95, slow_stats, slow_stats_of
from tests.helpers.year import Year

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False):
        yield


def agree(days: Range, slow: Counter[str] | None = None) -> None:
    """Figures and slow script, number by number."""
    fast = load_daily_stats(days)
    slow = slow or slow_stats(days.first, days.last)

    assert fast.total == slow
    for kind in ("preview", "premium"):
        assert (fast.delivery_seconds(kind, 50), fast.delivery_seconds(kind, 95)) == (median_and_95(slow, kind))


@pytest.mark.usefixtures("noon")
def test_a_generated_quarter_is_counted_as_the_slow_script_counts_it() -> None:
    Year(until=NOON, shoots=300, days=90).write()
    ranges = [Range.until_today(1), Range.until_today(7), Range.until_today(30), Range.until_today(91)]

    # Closing days changes no row that the slow script reads: it walks over them once.
    slowly = slow_stats_of([(days.first, days.last) for days in ranges])

    for days, slow in zip(ranges, slowly, strict=True):
        agree(days, slow)
    closed = aggregate_days()
    for days, slow in zip(ranges, slowly, strict=True):
        agree(days, slow)

    assert closed == DayCounts.objects.count()
    assert closed >= 85
    assert load_daily_stats(ranges[-1]).total["uploads"] == 300


@pytest.mark.usefixtures("noon")
def test_figures_outlive_events_and_rows() -> None:
    Year(until=NOON, shoots=20, days=10).write()
    aggregate_days()
    before = load_daily_stats(Range(NOON.date() - timedelta(days=10), NOON.date() - timedelta(days=1)))

    Event.objects.all().delete()
    after = load_daily_stats(before.days)

    assert after.total == before.total
    assert after.total["uploads"] > 10


@pytest.mark.usefixtures("noon")
def test_any_range_is_three_queries(django_assert_num_queries) -> None:
    Year(until=NOON, shoots=50, days=40).write()
    aggregate_days()
    closed = Range(NOON.date() - timedelta(days=20), NOON.date() - timedelta(days=10))

    for days in (Range.until_today(1), Range.until_today(30), Range.until_today(366), closed):
        with django_assert_num_queries(3):
            load_daily_stats(days)


def test_a_day_is_closed_only_when_nothing_can_be_added_to_it() -> None:
    with time_machine.travel(datetime(2026, 11, 24, 23, 59, tzinfo=UTC)):
        shoot = make_shoot()
    with time_machine.travel(datetime(2026, 11, 25, 0, 5, tzinfo=UTC)):
        too_early = aggregate_days()
    with time_machine.travel(datetime(2026, 11, 25, 0, 11, tzinfo=UTC)):
        in_time, again = aggregate_days(), aggregate_days()
        counted = load_daily_stats(Range(date(2026, 11, 24), date(2026, 11, 25))).by_day

    assert (too_early, in_time, again) == (0, 1, 0)
    assert counted[date(2026, 11, 24)]["uploads"] == 1
    assert counted[date(2026, 11, 25)]["uploads"] == 0
    assert shoot.photos.count() == 1


def test_days_counted_by_older_rules_are_counted_again() -> None:
    with time_machine.travel(NOON):
        make_shoot()
    with time_machine.travel(NOON + timedelta(days=1)):
        aggregate_days()
        DayCounts.objects.update(rules_version=0, counts={"uploads": 99})

        counted = load_daily_stats(Range(NOON.date(), NOON.date())).total["uploads"]
        closed = aggregate_days()

    assert counted == 1
    assert closed == 1
    assert DayCounts.objects.get().counts["uploads"] == 1


@pytest.mark.usefixtures("fake_engine")
def test_what_really_happened_is_counted() -> None:
    pack = make_preview()
    rendering.render_pack(pack=pack)
    today = timezone.now().date()

    counts = load_daily_stats(Range(today, today)).total

    assert counts["uploads"] == counts["photos"] == 1
    assert counts["ordered|preview"] == counts["delivered|preview"] == 1
    assert counts["refused"] == counts["reshot"] == 0
    assert counts["generated"] == counts["accepted"] == 4
    assert sum(split(counts, "pictures").values()) == sum(split(counts, "likeness").values()) == 4


def test_trial_packs_count_nowhere() -> None:
    shoot = make_shoot()
    before = load_daily_stats(Range.until_today(1)).total

    record("pack.queued", shoot_id=shoot.pk, codes={"kind": Pack.Kind.TRIAL, "engine": "studio"})

    assert load_daily_stats(Range.until_today(1)).total == before


@pytest.mark.parametrize(
    ("histogram", "median", "most"),
    [({}, None, None), ({7: 1}, 7, 7), ({1: 1, 2: 1}, 1, 2), ({5: 95, 60: 5}, 5, 5), ({5: 94, 60: 6}, 5, 60)],
)
def test_percentiles_are_values_that_were_counted(histogram: Counter[int], median: int, most: int) -> None:
    assert percentile(histogram, 50) == median
    assert percentile(histogram, 95) == most


def test_a_range_has_an_end_after_its_beginning_and_a_year_at_most() -> None:
    for first, last in ((date(2026, 2, 1), date(2026, 1, 1)), (date(2024, 1, 1), date(2026, 1, 1))):
        with pytest.raises(ValueError, match="1 to 366 days"):
            Range(first, last)
