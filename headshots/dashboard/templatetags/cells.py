"""How the cells of figures are written on the page."""

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
