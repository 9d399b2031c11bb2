"""What Prometheus is told: the dashboard's figures, of nobody, to nobody but whoever may ask."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from headshots.dashboard.models import Visit, Worker
from headshots.dashboard.stats import live_stats
from headshots.dashboard.stats.aggregation import split
from headshots.dashboard.stats.daily_stats import DailyStats, Range, load_daily_stats
from headshots.retention.audit import audit
from headshots.shoots.lifecycle import record_failure, record_pack
from headshots.shoots.models import Pack, Pause, Shoot
from tests.helpers.factories import lose, make_preview, make_shoot
from tests.helpers.staff import client_of, make_staff, signed_in
from tests.helpers.year import Year

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOKEN = "a token of the tests"
Samples = dict[tuple[str, ...], float]


@pytest.fixture
def token(settings: LazySettings) -> str:
    settings.HEADSHOTS_METRICS_TOKEN = TOKEN
    return TOKEN


@pytest.fixture
def today(token: str) -> Iterator[DailyStats]:
    """A small product at noon, which stands still; what the dashboard says of today."""
    with time_machine.travel(NOON, tick=False):
        Year(until=NOON, shoots=120, days=3).write()
        yield load_daily_stats(Range.until_today(1))


def scrape() -> dict[str, Samples]:
    """Name -> values of its labels, in the order of their names -> number."""
    answer = Client().get("/metrics", headers={"authorization": f"bearer {TOKEN}"})
    assert answer.status_code == 200
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            key = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name.removeprefix("headshots_"), {})[key] = sample.value
    return found


# Who may ask ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ü"])
def test_whoever_does_not_have_the_token_is_refused(token: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = Client().get("/metrics", headers=headers)

    assert (answer.status_code, answer["WWW-Authenticate"], answer.content) == (401, "Bearer", b"")
    assert signed_in(make_staff("owner")).get("/metrics", headers=headers).status_code == 401


def test_whoever_has_the_token_may_read_from_anywhere(token: str) -> None:
    answer = Client(REMOTE_ADDR="192.0.2.7").get("/metrics", headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("who", "status"),
    [("nobody", 404), ("person", 404), ("staff", 404), ("owner", 200), ("support", 200), ("finance", 200)],
)
def test_without_a_token_only_staff_who_may_see_figures_may_read(who: str, status: int) -> None:
    assert client_of(who).get("/metrics").status_code == status


def test_staff_who_owe_a_second_factor_may_not_read(settings: LazySettings) -> None:
    settings.HEADSHOTS_STAFF_TWO_FACTOR = True

    assert client_of("owner").get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("debug", "address", "headers", "proxies", "status"),
    [
        (True, "127.0.0.1", {}, 0, 200),
        (True, "192.0.2.7", {}, 0, 404),
        (True, "127.0.0.1", {"x-forwarded-for": "192.0.2.7"}, 0, 404),
        # A proxy that says nothing of whom it speaks for.
        (True, "127.0.0.1", {}, 1, 404),
        (False, "127.0.0.1", {}, 0, 404),
    ],
)
def test_a_laptop_tells_itself_and_nobody_behind_a_proxy(
    settings: LazySettings, debug: bool, address: str, headers: dict[str, str], proxies: int, status: int
) -> None:
    settings.DEBUG = debug
    settings.HEADSHOTS_TRUSTED_PROXIES = proxies

    assert Client(REMOTE_ADDR=address).get("/metrics", headers=headers).status_code == status


# What is told --------------------------------------------------------------------------------------------------------


def test_what_is_counted_is_what_the_dashboard_counts_today(today: DailyStats) -> None:
    told, total = scrape(), today.total

    assert total["uploads"] > 10
    assert told["uploads_total"] == {(): total["uploads"]}
    assert told["photos_total"] == {(): total["photos"]}
    assert told["photos_refused_total"] == {(): total["refused"]}
    assert told["photo_refusals_total"] == _by_reason(today, "refused")
    assert told["packs_ordered_total"][("premium",)] == total["ordered|premium"]
    assert told["packs_ended_total"][("premium", "delivered")] == total["delivered|premium"]
    assert told.get("pack_failures_total", {}) == _by_reason(today, "failed_because")
    assert told["delivery_seconds"][("premium", "0.95")] == today.delivery_seconds("premium", 95)
    assert told["pictures_generated_total"] == {(): total["generated"]}
    assert told["pictures_reshot_total"] == {(): total["reshot"]}
    assert told["pictures_rejected_total"] == _by_reason(today, "rejected")
    assert told["payments_total"][("usd", "live")] == total["ledger_entries|live|usd|charge"]
    assert told.get("refunds_total", {}).get(("usd", "live"), 0) == total["ledger_entries|live|usd|refund"]


def test_pictures_and_their_seconds_are_told_by_engine_and_worker(today: DailyStats) -> None:
    told = scrape()

    made = {tuple(who.split("|")): count for who, count in split(today.total, "pictures").items()}
    work = {tuple(who.split("|")): ms / 1000 for who, ms in split(today.total, "work_ms").items()}
    assert len(made) >= 3
    assert told["pictures_total"] == made
    assert told["work_seconds_total"] == work
    assert told["seconds_per_picture"] == {who: pytest.approx(work[who] / made[who]) for who in made}


def test_what_stands_is_what_the_dashboard_shows_now(today: DailyStats) -> None:
    State = Pack.State  # noqa: N806
    Pack.objects.filter(state=State.DELIVERED, queued_at__gt=NOON - timedelta(hours=2)).update(state=State.QUEUED)

    told, queue = scrape(), live_stats.queue_stats()

    assert queue.packs > 1
    assert sum(told["queue_packs"].values()) == queue.packs
    assert sum(told["queue_pictures"].values()) == queue.pictures
    assert max(told["queue_oldest_seconds"].values()) == queue.longest_wait.total_seconds()
    assert told["packs"] == {(kind, state): count for (state, kind), count in live_stats.packs_by_state().items()}
    assert told["stored_blobs"] == {(each.ring,): each.blobs for each in live_stats.ring_usage()}
    assert 0 < told["disk_free_ratio"][()] < 1


def test_a_day_that_begins_counts_from_nothing(today: DailyStats) -> None:
    midnight = NOON + timedelta(hours=12, seconds=1)
    for queue in ("render", "default"):
        Worker.objects.create(name=f"{queue}@attic", queue=queue, engine="studio", started_at=NOON, last_seen=midnight)
    with time_machine.travel(midnight, tick=False):
        told = scrape()

    assert told["uploads_total"] == {(): 0}
    # Who has made nothing yet is told of all the same: `rate` sees no number that was never less.
    assert told["pictures_total"] == told["work_seconds_total"] == {("studio", "render@attic"): 0}
    assert "seconds_per_picture" not in told


def test_the_oldest_photo_is_told_with_its_limit(token: str) -> None:
    shoot = make_shoot()
    Shoot.objects.filter(pk=shoot.pk).update(created_at=timezone.now() - timedelta(hours=25))

    told = scrape()

    assert told["oldest_data_age_seconds"][("photo_rows",)] == pytest.approx(25 * 3600, abs=60)
    assert told["data_age_limit_seconds"][("photo_rows",)] == 24 * 3600
    assert set(told["oldest_data_age_seconds"]) == {(each.what.replace(" ", "_"),) for each in audit().findings}
    assert told["store_up"][("photo_files",)] == 1


def test_a_beat_that_nobody_has_seen_is_infinitely_old(token: str) -> None:
    before = scrape()
    seen = timezone.now() - timedelta(seconds=100)
    for queue in ("beat", "render"):
        Worker.objects.create(name=f"{queue}@attic", queue=queue, started_at=seen, last_seen=seen, memory_bytes=7)
    told = scrape()

    assert before["beat_age_seconds"] == {(): float("inf")}
    assert told["beat_age_seconds"][()] == pytest.approx(100, abs=20)
    assert told["workers_alive"] == {("render",): 0, ("default",): 0, ("retention",): 0, ("beat",): 0}
    assert told["worker_memory_bytes"][("", "render", "render@attic")] == 7


def test_messages_wait_by_queue_until_the_broker_is_away(token: str, settings: LazySettings, valkey) -> None:
    valkey.lpush("render", "a message")
    there = scrape()
    settings.HEADSHOTS_REDIS_URL = "unix:///nowhere/at/all.sock"
    away = scrape()

    assert there["broker_up"] == {(): 1}
    assert there["queue_messages"] == {("render",): 1, ("default",): 0, ("retention",): 0}
    assert away["broker_up"] == {(): 0}
    assert "queue_messages" not in away


def test_what_staff_has_stopped_is_told(token: str) -> None:
    Pause.objects.create(part=Pause.Part.UPLOADS)

    assert scrape()["paused"] == {("uploads",): 1, ("rendering",): 0}


def test_packs_that_are_tried_again_or_lost_are_told(token: str) -> None:
    record_failure(make_preview(), Pack.Reason.ENGINE_FAILED)
    lost = make_preview()
    lose(lost)

    told = scrape()

    assert told["packs_retrying"] == {("preview",): 1, ("premium",): 0}
    assert told["packs_failed_recently"] == {("preview",): 1, ("premium",): 0}


def test_files_that_could_not_be_read_are_told(token: str) -> None:
    before = scrape()["corrupt_files_total"]
    record_pack(make_preview(), "files_corrupt", numbers={"files": 3})

    assert (before, scrape()["corrupt_files_total"]) == ({(): 0}, {(): 3})


def test_nothing_of_anybody_is_told(token: str) -> None:
    pack = make_preview()
    owner = pack.shoot.owner
    assert owner is not None

    page = Client().get("/metrics", headers={"authorization": f"Bearer {token}"}).content.decode()

    assert owner.email not in page
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", page), "no id of a shoot or pack"
    labels = set(re.findall(r'[{,]([a-z]+)="', page))
    assert labels <= {
        "what",
        "queue",
        "worker",
        "engine",
        "kind",
        "state",
        "reason",
        "ring",
        "mode",
        "currency",
        "quantile",
    }


def test_a_scrape_costs_the_same_queries_whatever_there_is(token: str) -> None:
    counts = []
    with time_machine.travel(NOON, tick=False):
        for shoots in (0, 20, 60):
            Visit.objects.all().delete()
            Year(until=NOON, shoots=shoots, days=3, seed=shoots).write()
            with CaptureQueriesContext(connection) as queries:
                scrape()
            counts.append(len(queries))

    assert len(set(counts)) == 1
    assert counts[0] <= 25


def _by_reason(daily_stats: DailyStats, name: str) -> Samples:
    return {(reason,): count for reason, count in split(daily_stats.total, name).items()}
