"""Repeat, after a restore, the deletions made since the backup."""

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from datetime import UTC, datetime

from django.core.management.base import BaseCommand

from headshots.data_rights.replay import replay
from headshots.retention.deletions import DeletionKind, deletions, folder


class Command(BaseCommand):
    help = "Repeat the deletions of the journal: accounts, photos, headshots. For the time after a restore."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=_time, help="from this time on, as 2026-11-30 or 2026-11-30T12:00")
        parser.add_argument("--dry-run", action="store_true", help="only count what the journal holds")

    def handle(self, *args: str, since: datetime | None, dry_run: bool, **options: object) -> None:
        lines = list(deletions(since))
        found = Counter(line.kind for line in lines)
        self.stdout.write(
            f"The journal in {folder()} names {found[DeletionKind.ACCOUNT]} accounts, the photos of"
            f" {found[DeletionKind.PHOTOS]} shoots and the headshots of {found[DeletionKind.HEADSHOTS]} packs."
        )
        if dry_run:
            return
        done = replay(lines)
        self.stdout.write(
            f"Deleted again: {len(done.accounts)} accounts, the photos of {done.shoots} shoots, the headshots of"
            f" {done.packs} packs."
        )
        if done.unfinished:
            numbers = ", ".join(map(str, done.unfinished))
            self.stderr.write(f"Closed, their keys destroyed; beat removes the rest of accounts {numbers}.")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError("a time is written as 2026-11-30 or 2026-11-30T12:00") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
