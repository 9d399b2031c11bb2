"""Print or email the dashboard's statistics."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from headshots.dashboard.stats import report
from headshots.dashboard.stats.daily_stats import MAX_RANGE_DAYS, Range


class Command(BaseCommand):
    help = "Print the dashboard's statistics for the last days, including today."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=30, help=f"number of days, 1 to {MAX_RANGE_DAYS} (default: 30)")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--mail", action="store_true", help="email it to the recipients of the weekly report")

    def handle(self, *args: str, days: int, json: bool, mail: bool, **options: object) -> None:
        if not 0 < days <= MAX_RANGE_DAYS:
            raise CommandError(f"--days must be 1 to {MAX_RANGE_DAYS}.")
        chosen = Range.until_today(days)
        if mail:
            self.stderr.write(f"Emails sent: {report.mail_report(chosen)}")
            return
        self.stdout.write(report.as_json(chosen) if json else report.as_text(chosen), ending="")
