"""How long the dashboard takes on a generated year, and whether its figures are right: one JSON object on stdout.

python -m tests.headshots.dashboard.stats.dashboard_at_scale 100000 5

The second number says how often each page is asked for.

Needs the environment of the product, HEADSHOTS_DATABASE_URL included.
"""

import json
import statistics
import sys
import time
from datetime import timedelta

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard.stats.charts import CHARTS
from headshots.dashboard.stats.daily_stats import Range, aggregate_days, load_daily_stats
from headshots.shoots.models import Event, Headshot, Shoot
from tests.helpers.slow_stats import median_and_95, slow_stats_of
from tests.helpers.year import Year
from tests.helpers.year_copies import multiply

COPIES = 25
RANGES = (1, 7, 30, 366)


def main(shoots: int, repeats: int) -> dict[str, object]:
    # Else every query is kept.
    settings.DEBUG = False
    call_command("migrate", verbosity=0)
    began = time.monotonic()
    Year(until=timezone.now(), shoots=shoots // COPIES, days=365).write()
    multiply(COPIES)
    seconds = {"write": time.monotonic() - began}
    began = time.monotonic()
    closed = aggregate_days()
    seconds["close"] = time.monotonic() - began
    if connection.vendor == "postgresql":
        # What its own housekeeping does within minutes of such a load.
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
    rows = {model.__name__: model.objects.count() for model in (Shoot, Headshot, Event)}
    pages, queries = time_pages(repeats)
    began = time.monotonic()
    wrong = differences()
    seconds["compare"] = time.monotonic() - began
    return {
        "database": connection.vendor,
        "rows": rows,
        "closed_days": closed,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "page_ms": pages,
        "queries": queries,
        "differences": wrong,
    }


def time_pages(repeats: int) -> tuple[dict[str, list[float]], list[int]]:
    """Address -> milliseconds: the median and the longest of these, after one that is not counted, and the processor's
    of this process alone, which other programs do not lengthen. And the queries of each range."""
    owner = User.objects.create_superuser("owner@example.org", "a long enough pass phrase")
    client = Client(headers={"host": "localhost"})
    client.force_login(owner)
    times: dict[str, list[float]] = {}
    queries = []
    addresses = [f"/admin/?days={days}" for days in RANGES]
    others = [f"/admin/charts/{code}.svg?days=366" for code in CHARTS]
    others += [f"/admin/shoots/{model}/" for model in ("shoot", "pack", "headshot", "event")]
    found_by = [f"account+{User.objects.earliest('pk').pk}", "owner@example"]
    others += [
        f"/admin/{model}/?q={term}"
        for model in ("shoots/shoot", "shoots/pack", "payments/payment", "payments/credit")
        for term in found_by
    ]
    others += [f"/admin/support/{Shoot.objects.earliest('created_at').pk}/", "/metrics"]
    for address in addresses + others:
        client.get(address)
        taken, cpu = [], time.process_time()
        for _ in range(repeats):
            began = time.monotonic()
            assert client.get(address).status_code == 200
            taken.append(1000 * (time.monotonic() - began))
        cpu = 1000 * (time.process_time() - cpu) / len(taken)
        times[address] = [round(statistics.median(taken)), round(max(taken)), round(cpu)]
        if address in addresses:
            with CaptureQueriesContext(connection) as captured:
                client.get(address)
            queries.append(len(captured))
    return times, queries


def differences() -> list[str]:
    """Every number that the slow script sees differently."""
    found = []
    today = timezone.now().date()
    ranges = [Range.until_today(days) for days in RANGES]
    ranges.append(Range(today - timedelta(days=200), today - timedelta(days=100)))
    slowly = slow_stats_of([(days.first, days.last) for days in ranges])
    for days, slow in zip(ranges, slowly, strict=True):
        fast = load_daily_stats(days)
        found += [f"{days} {key}" for key in fast.total.keys() | slow.keys() if fast.total[key] != slow[key]]
        for kind in ("preview", "premium"):
            if (fast.delivery_seconds(kind, 50), fast.delivery_seconds(kind, 95)) != median_and_95(slow, kind):
                found.append(f"{days} {kind}")
    return found


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
