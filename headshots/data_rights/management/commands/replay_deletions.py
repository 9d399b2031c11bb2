"""Repeat, after a restore, the deletions made since the backup."""

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from datetime import UTC, datetime

from django.core.management.base import BaseCommand

from headshots.data_rights.replay import replay
from headshots.retention.deletions import DeletionKind, deletions, folder


class Command(BaseCommand):
    help = "Repeat the deletions in the deletion journal (accounts, photos, headshots). Run it after a restore."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=_time, help="start at this time, such as 2026-11-30 or 2026-11-30T12:00")
        parser.add_argument("--dry-run", action="store_true", help="only count the entries of the journal")

    def handle(self, *args: str, since: datetime | None, dry_run: bool, **options: object) -> None:
        lines = list(deletions(since))
        found = Counter(line.kind for line in lines)
        self.stdout.write(
            f"Deletions in {folder()}: accounts: {found[DeletionKind.ACCOUNT]}, shoots (photos):"
            f" {found[DeletionKind.PHOTOS]}, packs (headshots): {found[DeletionKind.HEADSHOTS]}."
        )
        if dry_run:
            return
        done = replay(lines)
        self.stdout.write(
            f"Deleted again: accounts: {len(done.accounts)}, shoots (photos): {done.shoots}, packs (headshots):"
            f" {done.packs}."
        )
        if done.unfinished:
            numbers = ", ".join(map(str, done.unfinished))
            self.stderr.write(f"Closed accounts {numbers} and destroyed their keys. Celery beat will delete the rest.")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError("write the time as 2026-11-30 or 2026-11-30T12:00") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
