"""Report whether this installation can work, and what is missing."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from headshots.dashboard.monitoring.doctor import inspect_installation


class Command(BaseCommand):
    help = "Diagnose this installation: engines, weights, settings and failed checks."
    # The report includes failed system checks, so they must not stop the command.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: str, json: bool, **options: object) -> None:
        found = inspect_installation()
        if json:
            self.stdout.write(_as_json(found.engines, found.settings, found.failed_checks))
        else:
            self.stdout.write("\n".join(found.lines()))
        if not found.healthy:
            raise SystemExit(1)


def _as_json(engines: dict[str, object], settings: dict[str, str], failed_checks: list[str]) -> str:
    return json.dumps({**engines, "settings": settings, "failed_checks": failed_checks}, indent=2)
