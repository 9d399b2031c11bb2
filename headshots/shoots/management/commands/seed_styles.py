"""Create the built-in looks."""

from django.core.management.base import BaseCommand

from headshots.shoots.looks.versions import seed_styles


class Command(BaseCommand):
    help = "Add the built-in looks that are not in the database yet; looks that staff edited stay as they are."

    def handle(self, *args: object, **options: object) -> None:
        self.stdout.write(f"{seed_styles()} looks added")
