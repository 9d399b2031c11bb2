"""Can it work here, and what is missing? The pipeline's doctor, and the settings around it."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from headshots.dashboard.monitoring.doctor import examine


class Command(BaseCommand):
    help = "Which engine works here, under which licenses, and what payments, key rings and swap amount to."
    # It is asked because something is wrong: what the rules say is part of the answer, no reason to give none.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: str, json: bool, **options: object) -> None:
        found = examine()
        if json:
            self.stdout.write(_as_json(found.engines, found.settings, found.broken_rules))
        else:
            self.stdout.write("\n".join(found.lines()))
        if not found.healthy:
            raise SystemExit(1)


def _as_json(engines: dict[str, object], settings: dict[str, str], broken_rules: list[str]) -> str:
    return json.dumps({**engines, "settings": settings, "broken_rules": broken_rules}, indent=2)
