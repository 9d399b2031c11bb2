"""Template tags that format cells of statistics."""

from django import template

from headshots.dashboard.stats.tables import Cell

register = template.Library()


@register.filter
def cell(value: Cell) -> str:
    """A dash where nothing was measured, thousands apart, codes as words."""
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return f"{value:,}"
    return value.replace("_", " ")
