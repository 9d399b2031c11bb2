"""The statistics as text: for the shell, and by email to owners once a week."""

import json
import logging
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard.roles import OWNER
from headshots.dashboard.stats.daily_stats import Range
from headshots.dashboard.stats.tables import Cell, Table, build_tables, load_dashboard_stats
from headshots.retention.models import LastRun

log = logging.getLogger(__name__)

MAIL_TASK = "dashboard.mail_report"
# Hour of Monday, in UTC. Statistics count UTC days, so the week before is complete by then.
_SEND_HOUR = 6


def load_report_tables(days: Range) -> list[Table]:
    """Return all tables of the dashboard for these days.

    Includes revenue, because only the shell and the recipients of the report see the tables."""
    return build_tables(load_dashboard_stats(days))


def as_text(days: Range) -> str:
    """Return the report as plain text, laid out for a monospaced font."""
    parts = [f"Headshots, {days.first} to {days.last} (UTC days)"]
    parts += [_table_as_text(table) for table in load_report_tables(days)]
    return "\n\n".join(parts) + "\n"


def as_json(days: Range) -> str:
    tables = [
        {"code": table.code, "title": table.title, "note": table.note, "columns": table.columns, "rows": table.rows}
        for table in load_report_tables(days)
    ]
    return json.dumps({"first": str(days.first), "last": str(days.last), "tables": tables}, indent=2)


def mail_report(days: Range) -> int:
    """Email the report to all recipients. Returns their number.

    Sends one email per recipient, so that recipients do not see each other's addresses.
    Raises OSError or SMTPException if the mail server refuses an email."""
    site = settings.HEADSHOTS_SITE_URL
    where = f"\n{site}{reverse('admin:index')}?first={days.first}&last={days.last}\n" if site else ""
    text, subject = as_text(days) + where, f"Headshots report: {days.first} to {days.last}"
    to = recipients()
    for address in to:
        EmailMessage(subject, text, to=[address]).send()
    return len(to)


def recipients() -> list[str]:
    """Return the addresses in HEADSHOTS_REPORT_EMAILS, or if there are none, those of owners and superusers."""
    named: list[str] = settings.HEADSHOTS_REPORT_EMAILS
    owners = User.objects.filter(Q(is_superuser=True) | Q(groups__name=OWNER), is_staff=True, is_active=True)
    return named or sorted(set(owners.values_list("email", flat=True)))


def mail_weekly_report() -> bool:
    """Email the report of the week before, once a week, at the first call after Monday 6:00 UTC.

    Returns True if this call sent it. Safe to repeat and to run concurrently.
    After a mail error, the next call sends the report to all recipients again."""
    due = last_monday(timezone.now())
    last, is_new = LastRun.objects.get_or_create(task=MAIL_TASK, defaults={"at": timezone.now()})
    if is_new or last.at >= due:
        # A new installation has no complete week to report yet.
        return False
    # Claim the week before sending: a crash in between loses the report instead of sending it twice.
    if not LastRun.objects.filter(task=MAIL_TASK, at=last.at).update(at=timezone.now()):
        return False
    sunday = due.date() - timedelta(days=1)
    try:
        return mail_report(Range(sunday - timedelta(days=6), sunday)) > 0
    except (OSError, SMTPException) as error:
        # Give up the claim, so that the next hourly run tries again.
        LastRun.objects.filter(task=MAIL_TASK).update(at=last.at)
        log.error("the weekly report could not be emailed: %s", type(error).__name__)
        return False


def last_monday(now: datetime) -> datetime:
    """Return the latest Monday at `_SEND_HOUR` that is not after `now`."""
    monday = datetime.combine(now.date() - timedelta(days=now.weekday()), time(_SEND_HOUR), now.tzinfo)
    return monday if monday <= now else monday - timedelta(days=7)


def _table_as_text(table: Table) -> str:
    lines = [list(table.columns), *([_cell(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    as_decimal = [_line(line, widths) for line in lines]
    return "\n".join([table.title, "-" * len(table.title), *as_decimal, *([table.note] if table.note else [])])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Align the first cell to the left and all others to the right."""
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()


def _cell(cell: Cell) -> str:
    return "-" if cell is None else str(cell)
