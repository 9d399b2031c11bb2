"""The looks on offer: seeded from the pipeline's styles.toml, then the database's."""

from dataclasses import asdict

from headshots.engine import load_styles
from headshots.shoots.models import Style

# The four of the free preview: light, dark, outside, black and white.
PREVIEW_LOOKS = frozenset({"corporate", "executive", "outdoor", "bw"})


def seed_styles() -> int:
    """Add the built-in looks that are missing; how many. Looks that are there are left as staff made them."""
    added = 0
    for position, style in enumerate(load_styles()):
        recipe = asdict(style)
        title, description = recipe.pop("title"), recipe.pop("description")
        _, created = Style.objects.get_or_create(
            name=recipe.pop("name"),
            defaults={
                "title": title,
                "description": description,
                "recipe": recipe,
                "position": position,
                "in_preview": style.name in PREVIEW_LOOKS,
            },
        )
        added += created
    return added
