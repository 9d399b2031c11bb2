"""The operator's first page: who sees it, what it shows, and what it costs."""

import csv
import io
import itertools
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from headshots.dashboard.models import Worker
from headshots.dashboard.monitoring import health
from headshots.dashboard.monitoring.workers import OFFLINE_AFTER, WorkerReporter
from headshots.dashboard.stats import charts
from headshots.dashboard.stats.daily_stats import DailyStats, Range, aggregate_days, load_daily_stats
from headshots.dashboard.stats.tables import DashboardStats
from headshots.retention.due import PURGE_TASK
from headshots.retention.models import LastRun
from headshots.runtime.heartbeat import Heartbeat
from headshots.shoots import pauses
from headshots.shoots.lifecycle import advance, record_failure
from headshots.shoots.models import Pack, Pause
from tests.helpers.factories import lose, make_premium, make_preview, make_shoot, make_user
from tests.helpers.staff import make_staff, signed_in
from tests.helpers.year import Year

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ADDRESSES = ("/admin/", "/admin/health/", "/admin/charts/activity.svg", "/admin/tables/funnel.csv")


@pytest.fixture
def owner() -> Client:
    return signed_in(make_staff("owner"))


@pytest.fixture
def year() -> None:
    """Forty days of a small product, as of a noon that stands still."""
    with time_machine.travel(NOON, tick=False):
        Year(until=NOON, shoots=80, days=40).write()
        aggregate_days()
        yield


@pytest.mark.parametrize("address", ADDRESSES)
def test_strangers_and_customers_are_sent_to_sign_in_and_learn_nothing(address: str) -> None:
    for client in (Client(), signed_in(make_user())):
        response = client.get(address)

        assert response.status_code in (302, 403)
        if response.status_code == 302:
            assert response.url.startswith("/admin/login/")
    assert Client().get("/admin/login/").url.startswith("/accounts/login/")


@pytest.mark.parametrize("role", ["owner", "support", "finance"])
def test_every_role_sees_the_figures(role: str) -> None:
    client = signed_in(make_staff(role))

    assert [client.get(address).status_code for address in ADDRESSES] == [200] * 4


def test_staff_without_a_role_sees_the_lamps_alone() -> None:
    client = signed_in(make_staff())

    page = client.get("/admin/").content.decode()

    assert "Broker" in page
    assert "Conversion funnel" not in page
    assert client.get("/admin/tables/funnel.csv").status_code == 403
    assert client.get("/admin/charts/activity.svg").status_code == 403


def test_the_page_costs_the_same_queries_whatever_there_is_and_however_long_the_range_is() -> None:
    staff = make_staff("owner")
    owner = signed_in(staff)
    ranges = ("days=1", "days=366", "first=2026-11-01&last=2026-11-10")

    def queries_of_the_page() -> list[int]:
        counts = []
        for query in ranges:
            with CaptureQueriesContext(connection) as queries:
                assert owner.get(f"/admin/?{query}").status_code == 200
            counts.append(len(queries))
        return counts

    with time_machine.travel(NOON, tick=False):
        empty = queries_of_the_page()
        Year(until=NOON, shoots=20, days=30).write()
        aggregate_days()
        busy = queries_of_the_page()
        staff.groups.add(*Group.objects.filter(name__in=["support", "finance"]))
        make_preview()
        for pack in (make_preview(), make_preview()):
            record_failure(pack, Pack.Reason.STORAGE_FAILED)
        failed = make_preview()
        lose(failed)
        pauses.pause(Pause.Part.UPLOADS)
        pauses.pause(Pause.Part.RENDERING)
        for name in ("render@attic", "render@cellar", "default@attic", "retention@attic", "beat@attic"):
            see(name)
        LastRun.objects.create(task=PURGE_TASK, at=NOON)
        troubled, page = queries_of_the_page(), owner.get("/admin/").content.decode()

    assert len({*empty, *busy, *troubled}) == 1
    assert empty[0] <= 32
    assert all(
        words in page
        for words in ("2 in total", "paused since", "3 waiting", "1 free in the last 24 hours", str(failed.pk))
    )


@pytest.mark.usefixtures("year")
def test_page_and_csv_show_the_figures(owner: Client) -> None:
    page = owner.get("/admin/?days=30").content.decode()
    uploads = load_daily_stats(Range.until_today(30)).total["uploads"]
    rows = list(csv.reader(io.StringIO(owner.get("/admin/tables/funnel.csv?days=30").content.decode())))

    assert rows[0] == ["Step", "Count", "Conversion rate (%)"]
    assert rows[2][:2] == ["Uploads", str(uploads)]
    assert re.search(rf"<dt>Uploads</dt><dd>{uploads}</dd>", page)


@pytest.mark.usefixtures("year")
def test_every_table_comes_as_csv_under_the_name_that_the_page_links(owner: Client) -> None:
    links = re.findall(r'href="(/admin/tables/[^"]+)"', owner.get("/admin/?days=7").content.decode())

    assert len(links) == 13
    for link in links:
        assert owner.get(link.replace("&amp;", "&"))["Content-Type"].startswith("text/csv")


@pytest.mark.usefixtures("year")
def test_charts_carry_no_script_and_no_style(owner: Client) -> None:
    for code, theme in itertools.product(charts.CHARTS, ("light", "dark")):
        response = owner.get(f"/admin/charts/{code}.svg?days=30&theme={theme}")

        root = ElementTree.fromstring(response.content)  # noqa: S314 - our own
        nodes = {node.tag.rpartition("}")[2] for node in root.iter()}
        assert response["Content-Type"] == "image/svg+xml", (code, theme)
        assert nodes <= {"svg", "g", "rect", "path", "text"}, (code, theme)
        assert "rect" in nodes, (code, theme)
        assert not [node for node in root.iter() if "style" in node.attrib], (code, theme)
        assert "http:" not in response.content.decode().replace("http://www.w3.org/", ""), (code, theme)


def test_charts_of_nothing_say_so(owner: Client) -> None:
    for code in charts.CHARTS:
        assert "No data yet" in owner.get(f"/admin/charts/{code}.svg?days=7").content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "days=0",
        "days=x",
        "first=2026-02-30",
        "first=2026-11-20&last=2026-11-01",
        "first=2020-01-01",
        "last=9999-12-31",
        "first=2999-01-01&last=2999-01-07",
    ],
)
def test_a_range_that_cannot_be_is_told_and_the_usual_one_shown(owner: Client, query: str) -> None:
    page = owner.get(f"/admin/?{query}")

    assert page.status_code == 200
    assert 'class="errorlist"' in page.content.decode()
    assert owner.get(f"/admin/tables/funnel.csv?{query}").status_code == 404


@pytest.mark.parametrize("query", ["days=2", "first=2026-11-24&last=2026-11-25", "first=2026-11-24", ""])
def test_the_boxes_hold_the_days_that_are_shown(owner: Client, query: str) -> None:
    with time_machine.travel(NOON, tick=False):
        page = owner.get(f"/admin/?{query}").content.decode()

    first = "2026-11-24" if query else "2026-11-19"
    assert re.findall(r'<input type="date" name="(first|last)" value="([^"]+)"', page) == [
        ("first", first),
        ("last", "2026-11-25"),
    ]


def test_days_to_come_are_told_of(owner: Client) -> None:
    assert "Choose a start date that" in owner.get("/admin/?first=2999-01-01").content.decode()


def test_the_chart_of_likeness_shows_the_upper_half_however_few_there_are() -> None:
    daily_stats = DailyStats(Range(NOON.date(), NOON.date()), {NOON.date(): Counter({"likeness|90": 4})})

    chart = charts.build_chart("likeness", DashboardStats(daily_stats, {}))

    assert (chart.labels[0], chart.labels[-1], len(chart.labels)) == ("0.50", "0.95", 10)
    assert chart.series["Pictures"][chart.labels.index("0.90")] == 4
    assert sum(chart.series["Pictures"]) == 4


def test_labels_beneath_a_chart_are_even_from_the_first_to_the_last() -> None:
    assert charts.visible_labels([]) == []
    for count in range(1, 93):
        shown = [int(label) for label in charts.visible_labels([str(each) for each in range(count)])]
        gaps = {second - first for first, second in itertools.pairwise(shown)}
        assert (shown[0], shown[-1]) == (0, count - 1)
        assert min(count, 4) <= len(shown) <= 7
        assert max(gaps, default=0) - min(gaps, default=0) <= 1
    assert charts.visible_labels(list("abcdefg")) == list("abcdefg")


def test_a_lying_chart_has_a_scale() -> None:
    drawn = charts.draw_chart(
        charts.Chart("Refused", ["dark"], {"Photos": [3]}, horizontal=True), charts.THEMES["light"]
    ).decode()

    assert re.findall(r">([^<>]+)</text>", drawn) == ["dark", "0", "1", "2", "3"]


def test_no_such_table_and_no_such_chart(owner: Client) -> None:
    for address in ("/admin/tables/faces.csv", "/admin/charts/faces.svg", "/admin/charts/activity.svg?theme=pink"):
        assert owner.get(address).status_code == 404


# Health checks --------------------------------------------------------------------------------------------------


def status(code: str, instance: str = "") -> str:
    return next(each.status for each in health.run_health_checks() if each.code == code and each.instance == instance)


def see(name: str, seconds_ago: float = 0) -> None:
    seen = timezone.now() - timedelta(seconds=seconds_ago)
    Worker.objects.update_or_create(
        name=name, defaults={"queue": name.partition("@")[0], "started_at": seen, "last_seen": seen}
    )


def test_without_a_sign_of_life_workers_and_beat_are_dark() -> None:
    assert status("beat") == "critical"
    assert status("worker", "render") == status("worker", "default") == status("worker", "retention") == "critical"


def test_a_silent_worker_is_red_beside_a_living_one_until_it_is_forgotten() -> None:
    see("render@attic")
    see("render@cellar", seconds_ago=OFFLINE_AFTER.total_seconds() + 1)

    assert (status("worker", "render@attic"), status("worker", "render@cellar")) == ("ok", "critical")
    see("render@cellar", seconds_ago=3601)
    assert "render@cellar" not in [each.instance for each in health.run_health_checks()]


def test_beat_is_seen_by_its_youngest_sign() -> None:
    see("beat@old", seconds_ago=100)
    assert status("beat") == "critical"
    see("beat@new")
    assert status("beat") == "ok"


def test_a_broker_that_is_away_is_red(settings) -> None:
    assert status("broker") == "ok"
    settings.HEADSHOTS_REDIS_URL = "unix:///nowhere/at/all.sock"
    assert status("broker") == "critical"


def test_a_photo_that_is_older_than_it_may_be_is_red(settings, tmp_path: Path) -> None:
    # Its own: files of other tests lie in the common folder, as old as those wanted them.
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_DATA_DIR.mkdir()
    with time_machine.travel(NOON, tick=False):
        before = status("oldest_photo")
        make_shoot()
        fresh = status("oldest_photo")
    with time_machine.travel(NOON + timedelta(hours=23, minutes=59), tick=False):
        late, unpurged = status("oldest_photo"), status("retention")
    with time_machine.travel(NOON + timedelta(hours=24, seconds=1), tick=False):
        too_late = status("oldest_photo")

    assert (before, fresh, late, too_late) == ("ok", "ok", "warning", "critical")
    assert unpurged == "critical"


@pytest.mark.parametrize(("minutes", "expected"), [(1, "ok"), (6, "warning"), (31, "critical")])
def test_a_long_wait_in_the_queue_is_told(minutes: int, expected: str) -> None:
    pack = make_preview()
    Pack.objects.filter(pk=pack.pk).update(queued_at=timezone.now() - timedelta(minutes=minutes))

    assert status("queue") == expected


def test_a_pack_that_fails_again_and_again_is_told_before_it_is_too_late(owner: Client) -> None:
    fine, pack = make_preview(), make_preview()
    before = status("retrying")
    Pack.objects.filter(pk=pack.pk).update(consecutive_failures=1)
    record_failure(pack, Pack.Reason.ENGINE_BROKEN)

    page = owner.get("/admin/").content.decode()
    fragment = owner.get("/admin/health/").content.decode()
    plain = signed_in(make_staff("finance")).get("/admin/").content.decode()

    told = page.partition('id="retrying-packs"')[2].partition("</section>")[0]
    assert (before, status("retrying")) == ("ok", "warning")
    pack.refresh_from_db()
    assert f'<a href="/admin/support/{pack.shoot_id}/">{pack.pk}</a>' in told
    assert f"2 of 3 times, next attempt at {pack.retry_at:%H:%M} UTC" in told
    assert "engine broken" in told
    assert str(fine.pk) not in told
    assert f"/admin/support/{pack.shoot_id}/" in fragment
    assert "1 in total" in plain
    assert "/admin/support/" not in plain


def test_packs_lost_to_a_fault_are_told_for_a_day_or_until_they_are_tried_again(owner: Client) -> None:
    free, paid, refused, trial = make_preview(), make_premium(), make_preview(), make_preview()
    Pack.objects.filter(pk=trial.pk).update(kind=Pack.Kind.TRIAL)
    trial.refresh_from_db()
    advance(refused, Pack.State.FAILED, reason="likeness_low")
    lose(trial)
    before = status("failed_by_fault")
    lose(free)
    one_free = status("failed_by_fault")
    lose(paid)

    told, page = status("failed_by_fault"), owner.get("/admin/health/").content.decode()
    with time_machine.travel(timezone.now() + timedelta(hours=25), tick=False):
        a_day_later = status("failed_by_fault")
    advance(paid, Pack.State.QUEUED)

    assert (before, one_free, told, a_day_later) == ("ok", "warning", "critical", "ok")
    assert "1 premium and 1 free in the last 24 hours" in page
    assert f"/admin/support/{paid.shoot_id}/" in page
    assert status("failed_by_fault") == "warning"


@pytest.mark.parametrize(("free", "expected"), [(50, "ok"), (10, "warning"), (4, "critical")])
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, free: int, expected: str) -> None:
    usage = health.shutil._ntuple_diskusage(100, 100 - free, free)
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: usage)

    assert status("disk") == expected


def test_a_worker_says_what_it_is_and_takes_its_row_with_it() -> None:
    reporter = WorkerReporter("render@attic", Heartbeat(stall_timeout_seconds=1), timezone.now())

    reporter.report()

    worker = Worker.objects.get()
    assert (worker.queue, worker.engine) == ("render", "fake")
    assert "processor cores" in worker.device
    assert worker.memory_bytes > 10_000_000
    assert status("worker", "render@attic") == "ok"
