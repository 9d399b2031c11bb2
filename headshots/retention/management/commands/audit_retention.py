"""Audit retention: report private data that is older than its limit."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from headshots.retention.audit import audit


class Command(BaseCommand):
    help = "Age of the oldest private file, key and row against its limit. Exit status 1 when one is over it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: str, as_json: bool, **options: object) -> None:
        found = audit()
        self.stdout.write(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(found.lines()))
        if not found.ok:
            raise SystemExit(1)
