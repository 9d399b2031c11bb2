"""The figures in the shell and by mail: the dashboard's own, to owners, once a week."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from smtplib import SMTPServerDisconnected

import pytest
import time_machine
from django.conf import LazySettings
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client

from headshots.celery import app
from headshots.dashboard import tasks
from headshots.dashboard.stats import report
from headshots.dashboard.stats.daily_stats import Range, aggregate_days
from headshots.retention.models import LastRun
from tests.helpers.staff import make_staff, signed_in
from tests.helpers.year import Year

pytestmark = pytest.mark.django_db

# A Wednesday.
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 30, 6, tzinfo=UTC)


@pytest.fixture
def year() -> Iterator[None]:
    with time_machine.travel(NOON, tick=False):
        Year(until=NOON, shoots=80, days=40).write()
        aggregate_days()
        yield


@pytest.fixture
def owner() -> Client:
    return signed_in(make_staff("owner"))


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("report", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


# The same figures ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("year")
@pytest.mark.parametrize("days", [1, 7, 30])
def test_every_figure_is_that_of_the_dashboard(owner: Client, days: int) -> None:
    told = json.loads(run("--days", str(days), "--json"))

    assert (told["first"], told["last"]) == (str(NOON.date() - timedelta(days=days - 1)), "2026-11-25")
    assert len(told["tables"]) == 13
    for table in told["tables"]:
        shown = list(
            csv.reader(io.StringIO(owner.get(f"/admin/tables/{table['code']}.csv?days={days}").content.decode()))
        )
        assert [table["columns"], *([_as_csv(cell) for cell in row] for row in table["rows"])] == shown


@pytest.mark.usefixtures("year")
def test_the_text_holds_every_table_and_its_numbers_in_columns(owner: Client) -> None:
    text = run("--days", "30")
    funnel = csv.reader(io.StringIO(owner.get("/admin/tables/funnel.csv?days=30").content.decode()))
    (uploads,) = [row for row in funnel if row[0] == "Uploads"]

    assert text.startswith("Headshots, 2026-10-27 to 2026-11-25 (UTC days)\n\nRevenue and refunds\n------")
    assert [line for line in text.splitlines() if line.split() == uploads]
    for table in report.load_report_tables(Range.until_today(30)):
        assert f"\n{table.title}\n" in text


@pytest.mark.parametrize("days", ["0", "367", "-1"])
def test_days_that_cannot_be_are_refused(days: str) -> None:
    with pytest.raises(CommandError, match="1 to 366"):
        run("--days", days)


def test_nothing_yet_is_a_report_too() -> None:
    assert "Uploads" in run()


# By mail -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("year")
def test_it_is_mailed_to_owners_and_to_nobody_else(settings: LazySettings) -> None:
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"
    owners = [make_staff("owner"), make_staff()]
    owners[1].is_superuser = True
    owners[1].save()
    for user in (make_staff("support"), make_staff("finance"), make_staff()):
        user.save()
    gone = make_staff("owner")
    gone.is_active = False
    gone.save()

    run("--days", "30", "--mail")

    assert [message.to for message in mail.outbox] == [[address] for address in sorted(user.email for user in owners)]
    (body,) = {message.body for message in mail.outbox}
    assert body.startswith(run("--days", "30"))
    assert "https://headshots.example.org/admin/?first=2026-10-27&last=2026-11-25" in body


def test_the_operator_may_name_others(settings: LazySettings) -> None:
    make_staff("owner")
    settings.HEADSHOTS_REPORT_EMAILS = ["boss@example.org"]

    run("--mail")

    assert [message.to for message in mail.outbox] == [["boss@example.org"]]


def weekly(at: datetime) -> bool:
    with time_machine.travel(at, tick=False):
        sent = len(mail.outbox)
        tasks.mail_report()
        return len(mail.outbox) > sent


def test_beat_mails_the_week_before_on_monday_once() -> None:
    make_staff("owner")

    mailed = [weekly(MONDAY + timedelta(hours=hours)) for hours in (-120, -24, -1, 0, 1, 24, 167, 168)]

    assert mailed == [False, False, False, True, False, False, False, True]
    assert mail.outbox[0].subject == "Headshots report: 2026-11-23 to 2026-11-29"


def test_a_beat_that_was_away_on_monday_mails_later() -> None:
    make_staff("owner")

    assert [weekly(MONDAY + timedelta(hours=hours)) for hours in (-24, 50)] == [False, True]


def test_a_mail_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    owner = make_staff("owner")
    weekly(MONDAY - timedelta(days=1))

    def away(self: object, messages: object) -> int:
        raise SMTPServerDisconnected(f"550 {owner.email} is not known here")

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", away)
        assert not weekly(MONDAY)

    assert "SMTPServerDisconnected" in caplog.text
    assert owner.email not in caplog.text
    assert weekly(MONDAY + timedelta(hours=1))


def test_two_at_once_send_one_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    make_staff("owner")
    weekly(MONDAY - timedelta(days=1))
    mail_report = report.mail_report

    def meanwhile(days: Range) -> int:
        assert not report.mail_weekly_report()
        return mail_report(days)

    monkeypatch.setattr(report, "mail_report", meanwhile)

    assert weekly(MONDAY)
    assert len(mail.outbox) == 1
    assert LastRun.objects.filter(task=report.MAIL_TASK).count() == 1


@pytest.mark.parametrize(
    ("now", "monday"),
    [("2026-11-30T05:59", "2026-11-23"), ("2026-11-30T06:00", "2026-11-30"), ("2026-12-06T23:59", "2026-11-30")],
)
def test_monday_begins_in_the_morning(now: str, monday: str) -> None:
    found = report.last_monday(datetime.fromisoformat(now).replace(tzinfo=UTC))

    assert found == datetime.combine(date.fromisoformat(monday), datetime.min.time(), UTC) + timedelta(hours=6)


def test_beat_asks_every_hour() -> None:
    (entry,) = [each for each in app.conf.beat_schedule.values() if each["task"] == report.MAIL_TASK]

    assert entry["schedule"] == 3600


def _as_csv(cell: object) -> str:
    return "" if cell is None else str(cell)
