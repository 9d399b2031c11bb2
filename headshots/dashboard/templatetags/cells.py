"""Template tags that format cells of statistics."""

from django import template

from headshots.dashboard.stats.tables import Cell

register = template.Library()


@register.filter
def cell(value: Cell) -> str:
    """Format a table cell: None as a dash, numbers with thousands separators, codes with spaces."""
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return f"{value:,}"
    return value.replace("_", " ")
