"""Measure how fast photos are purged here."""

import json
import shutil
import tempfile
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import override_settings

from headshots.retention.bench import bench_purge


class Command(BaseCommand):
    help = (
        "Purge expired photos of nobody in a test database and a store and rings beside the real ones, all of them"
        " removed afterwards, and say what of the time was whose."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--photos", type=int, default=100_000, help="expired, one a shoot (default 100000)")
        parser.add_argument("--living", type=int, default=0, help="beside them, not yet due (default 0)")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: str, photos: int, living: int, as_json: bool, **options: object) -> None:
        if photos < 1 or living < 0:
            raise CommandError("--photos must be 1 or more, --living 0 or more.")
        usual = connection.settings_dict["NAME"]
        # Next to the real folders, so that the benchmark uses the same kinds of disk.
        data = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.HEADSHOTS_DATA_DIR))
        ring = settings.HEADSHOTS_PHOTO_KEYS_DIR.with_name(f"headshots-{data.name}")
        prefix = f"{settings.HEADSHOTS_S3_PREFIX}bench-{uuid4()}/"
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        try:
            # With DEBUG, Django records and prints every statement, which takes longer than the statement.
            with override_settings(
                DEBUG=False,
                HEADSHOTS_DATA_DIR=data,
                HEADSHOTS_PHOTO_KEYS_DIR=ring,
                HEADSHOTS_S3_PREFIX=prefix,
            ):
                rate = bench_purge(photos, living)
        finally:
            connection.creation.destroy_test_db(usual, verbosity=0)
            shutil.rmtree(data)
            shutil.rmtree(ring, ignore_errors=True)
        self.stdout.write(json.dumps(asdict(rate), indent=2) if as_json else "\n".join(rate.lines()))
