"""Report whether this installation can work, and what is missing."""

import json
from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from headshots import engine
from headshots.dashboard.monitoring.doctor import inspect_installation


class Command(BaseCommand):
    help = "Diagnose this installation: engines, weights, settings and failed checks. Make a proof of the engine."
    # The report includes failed system checks, so they must not stop the command.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")
        proof = parser.add_argument_group("proof of the engine, with the settings of the render worker")
        proof.add_argument(
            "--prove",
            nargs="+",
            type=Path,
            default=[],
            metavar="PHOTO",
            help="make pictures of these people; one person each: a photo, or a folder with up to five of their photos",
        )
        proof.add_argument(
            "--out",
            type=Path,
            default=Path("proof"),
            metavar="DIR",
            help="new folder for the report (default: %(default)s)",
        )
        proof.add_argument("--with-pictures", action="store_true", help="also write the pictures into the folder")
        proof.add_argument("--count", type=int, default=4, metavar="N", help="pictures per person (default: 4)")
        proof.add_argument("--size", choices=("preview", "4k"), default="preview", help="(default: preview)")

    def handle(
        self,
        *args: str,
        json: bool,
        prove: list[Path],
        out: Path,
        with_pictures: bool,
        count: int,
        size: str,
        **options: object,
    ) -> None:
        found = inspect_installation()
        if not json:
            self.stdout.write("\n".join(found.lines()))
        proof = None
        if prove:
            try:
                proof = engine.prove(prove, out, count=count, large=size == "4k", with_pictures=with_pictures)
            except engine.PipelineError as error:
                raise CommandError(str(error)) from error
        if json:
            self.stdout.write(_as_json(found.engines, found.settings, found.failed_checks, proof))
        elif proof:
            self.stdout.write("\n".join(["proof", *(f"  {line}" for line in proof.lines)]))
        if not found.healthy or (proof and not proof.passed):
            raise SystemExit(1)


def _as_json(
    engines: dict[str, object], settings: dict[str, str], failed_checks: list[str], proof: engine.Proof | None
) -> str:
    report = {**engines, "settings": settings, "failed_checks": failed_checks}
    return json.dumps({**report, "proof": proof.report} if proof else report, indent=2)
