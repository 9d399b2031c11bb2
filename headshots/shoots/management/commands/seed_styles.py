"""Create the built-in looks."""

from argparse import ArgumentParser

from django.core.management import call_command
from django.core.management.base import BaseCommand

from headshots.shoots.looks.versions import seed_styles


class Command(BaseCommand):
    help = "Add missing built-in looks. Existing looks are not changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="migrate the database first")

    def handle(self, *args: object, migrate: bool, **options: object) -> None:
        if migrate:
            call_command("migrate", verbosity=0)
        self.stdout.write(f"Looks added: {seed_styles()}")
