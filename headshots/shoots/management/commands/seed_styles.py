"""Create the built-in looks."""

from django.core.management.base import BaseCommand

from headshots.shoots.looks.versions import seed_styles


class Command(BaseCommand):
    help = "Add the built-in looks that are missing from the database. Looks edited by staff are not changed."

    def handle(self, *args: object, **options: object) -> None:
        self.stdout.write(f"Looks added: {seed_styles()}")
