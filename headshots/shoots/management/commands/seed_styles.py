"""Create the built-in looks."""

from django.core.management.base import BaseCommand

from headshots.shoots.looks.versions import seed_styles


class Command(BaseCommand):
    help = "Add missing built-in looks. Existing looks are not changed."

    def handle(self, *args: object, **options: object) -> None:
        self.stdout.write(f"Looks added: {seed_styles()}")
