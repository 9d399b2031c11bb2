"""Abuse reports: what reaches whom, what is stored, and how long they take."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from headshots.dashboard.models import AbuseReport
from headshots.dashboard.monitoring.health import Health, check_reports
from headshots.dashboard.monitoring.metrics import exposition
from headshots.dashboard.reports.cases import measure_reports
from headshots.pages.forms import ABOUT
from tests.helpers.staff import client_of, do

pytestmark = pytest.mark.django_db

FILLED_IN = {
    "about": "me",
    "where": "https://example.org/profile",
    "message": "This is my photo.\nPlease delete it.",
    "email": "victim@example.org",
}


@pytest.fixture(autouse=True)
def mailbox(settings: LazySettings) -> None:
    settings.HEADSHOTS_ABUSE_EMAIL = "abuse@example.org"
    cache.clear()


def report(hours_ago: float, hours_taken: float | None = None) -> AbuseReport:
    received = timezone.now() - timedelta(hours=hours_ago)
    closed = None if hours_taken is None else received + timedelta(hours=hours_taken)
    return AbuseReport.objects.create(about="me", received_at=received, closed_at=closed)


def test_a_report_reaches_the_operator_and_nothing_that_was_written_is_stored_or_sent_elsewhere(
    client: Client,
) -> None:
    page = client.post("/abuse/", FILLED_IN).content.decode()

    case = AbuseReport.objects.get()
    assert case.number in page
    to_operator, confirmation = mail.outbox
    assert (to_operator.to, to_operator.reply_to) == (["abuse@example.org"], ["victim@example.org"])
    assert "Please delete it." in to_operator.body
    assert "https://example.org/profile" in to_operator.body
    assert confirmation.to == ["victim@example.org"]
    assert case.number in confirmation.body
    assert not [word for word in ("delete it", "example.org/profile") if word in confirmation.body]
    stored = repr(list(AbuseReport.objects.values()))
    assert "example" not in stored


def test_without_an_email_server_there_is_no_case_and_what_was_written_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", fail)

    answer = client.post("/abuse/", FILLED_IN)

    assert answer.status_code == 503
    assert "This is my photo." in answer.content.decode()
    assert not AbuseReport.objects.exists()


def test_a_confirmation_that_cannot_be_sent_keeps_the_case_and_the_operator_gets_one_email(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("headshots.dashboard.reports.cases.send_mail", fail)

    assert client.post("/abuse/", FILLED_IN).status_code == 200
    assert AbuseReport.objects.count() == 1
    assert [message.to for message in mail.outbox] == [["abuse@example.org"]]


def test_one_mailbox_is_not_flooded_from_many_networks(client: Client) -> None:
    answers = [client.post("/abuse/", FILLED_IN, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(1, 7)]

    assert answers == [200] * 5 + [429]


def test_a_form_with_faults_is_explained_and_floods_are_refused(client: Client, settings: LazySettings) -> None:
    faulty = client.post("/abuse/", FILLED_IN | {"email": "nothing", "message": ""})
    assert faulty.status_code == 422
    assert "Enter a valid email address." in faulty.content.decode()
    assert [client.post("/abuse/", FILLED_IN).status_code for _ in range(5)] == [200] * 4 + [429]

    settings.HEADSHOTS_ABUSE_EMAIL = ""
    cache.clear()
    assert "<form" not in client.get("/abuse/").content.decode()
    assert client.post("/abuse/", FILLED_IN).status_code == 200
    assert AbuseReport.objects.count() == 4


def test_the_page_offers_what_a_case_can_be_about() -> None:
    assert list(ABOUT) == AbuseReport.About.choices


def test_times_are_measured_in_hours_and_late_answers_warn() -> None:
    assert check_reports().status == Health.OK
    for taken in (2, 4, 20):
        report(hours_ago=40, hours_taken=taken)
    report(hours_ago=24 * 40, hours_taken=1)
    waiting = report(hours_ago=23)

    times = measure_reports()
    assert (times.open, times.closed) == (1, 3)
    assert (times.median, times.longest) == (timedelta(hours=4), timedelta(hours=20))
    assert check_reports().status == Health.OK
    AbuseReport.objects.filter(pk=waiting.pk).update(received_at=timezone.now() - timedelta(hours=25))
    late = check_reports()
    assert late.status == Health.WARNING
    assert "1 open, the oldest for 25 hours" in late.message
    assert "median 4.0 hours, longest 20.0 hours" in late.message
    assert b"headshots_abuse_reports_open 1.0" in exposition()


def test_support_closes_a_case_with_an_outcome() -> None:
    case = report(hours_ago=1)
    support = client_of("support")

    do(support, "close-report", case, outcome="removed")

    case.refresh_from_db()
    assert case.outcome == "removed"
    assert case.closed_at is not None
    page = support.get("/admin/dashboard/abusereport/").content.decode()
    assert case.number in page
    assert "1.0" in page
