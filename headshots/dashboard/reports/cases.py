"""Abuse reports: pass each on by email, and measure how long it stays open.

The words and the address of the person who reports are only in the email to the operator. The database knows a number,
what it is about, and the times."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.conf import settings
from django.core.mail import EmailMessage, send_mail
from django.template.loader import render_to_string
from django.utils import timezone

from headshots.dashboard.models import AbuseReport

log = logging.getLogger(__name__)
PERIOD = timedelta(days=30)


@dataclass(frozen=True)
class ReportTimes:
    """The times that abuse reports take.

    Attributes:
        open: number of open reports.
        oldest: age of the oldest open one; zero if there is none.
        closed: number of reports that were closed within PERIOD.
        median: of the times until those were closed; zero if there is none.
        longest: of the same times."""

    open: int
    oldest: timedelta
    closed: int
    median: timedelta
    longest: timedelta


def receive_report(*, about: str, where: str, message: str, email: str) -> str:
    """Open a case, pass the report on to the operator, and confirm it to the person who reports. Returns its number.

    Nothing that a person writes is sent to anyone but the operator. Raises OSError if the operator can't be reached.
    Then there is no case. A confirmation that can't be sent, for example to a mistyped address, only leaves a warning
    in the log."""
    report = AbuseReport.objects.create(about=about)
    context = {"report": report, "where": where, "message": message, "hours": settings.HEADSHOTS_ABUSE_REPORT_HOURS}
    to_operator = EmailMessage(
        f"Abuse report {report.number}: {report.get_about_display()}",
        render_to_string("dashboard/mail/abuse_report.txt", context),
        to=[settings.HEADSHOTS_ABUSE_EMAIL],
        reply_to=[email],
    )
    # Outside of a transaction, because an email server can take seconds, and SQLite has one writer.
    try:
        to_operator.send()
    except OSError:
        report.delete()
        raise
    text = render_to_string("dashboard/mail/abuse_received.txt", context)
    try:
        send_mail(f"We’ve received your report {report.number}", text, None, [email])
    except OSError as error:
        log.warning("report %s: confirmation not sent: %s", report.number, type(error).__name__)
    return report.number


def close_report(*, report: AbuseReport, outcome: str) -> bool:
    """Close a case. Returns True if this call closed it."""
    still_open = AbuseReport.objects.filter(pk=report.pk, closed_at=None)
    return bool(still_open.update(closed_at=timezone.now(), outcome=outcome))


def measure_reports() -> ReportTimes:
    """Measure the open reports, and those that were closed within PERIOD."""
    now = timezone.now()
    waiting = list(AbuseReport.objects.filter(closed_at=None).order_by("received_at"))
    done = AbuseReport.objects.filter(closed_at__gte=now - PERIOD).values_list("received_at", "closed_at")
    seconds = [(closed - received).total_seconds() for received, closed in done if closed]
    return ReportTimes(
        open=len(waiting),
        oldest=now - waiting[0].received_at if waiting else timedelta(),
        closed=len(seconds),
        median=timedelta(seconds=median(seconds) if seconds else 0),
        longest=timedelta(seconds=max(seconds, default=0)),
    )
