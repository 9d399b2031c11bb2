"""The looks on offer: seeded from the pipeline's styles.toml, then the database's."""

from dataclasses import asdict

from django.db import transaction

from headshots.engine import load_styles
from headshots.shoots.looks import Look, add_version, publish
from headshots.shoots.models import Style

# The four of the free preview: light, dark, outside, black and white.
PREVIEW_LOOKS = frozenset({"corporate", "executive", "outdoor", "bw"})


@transaction.atomic
def seed_styles() -> int:
    """Add the built-in looks that are missing; how many. Looks that are there are left as staff made them."""
    added = 0
    for position, style in enumerate(load_styles()):
        recipe = asdict(style)
        title, description = recipe.pop("title"), recipe.pop("description")
        look, created = Style.objects.get_or_create(
            name=recipe.pop("name"),
            defaults={
                "title": title,
                "description": description,
                "recipe": recipe,
                "position": position,
                "in_preview": style.name in PREVIEW_LOOKS,
            },
        )
        if created:
            # From the first pack on: one that is ordered keeps its look when that is renamed.
            publish(version=add_version(style=look, look=Look(title, description, recipe), made_by=None))
        added += created
    return added
