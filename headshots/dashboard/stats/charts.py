"""Draw charts as SVG with pygal, without scripts or style elements.

A chart therefore satisfies the strict content security policy, even when it is opened in its own tab.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from xml.etree.ElementTree import Element, tostring

import pygal

from headshots.dashboard.stats.aggregation import LIKENESS_STEP
from headshots.dashboard.stats.daily_stats import DailyStats
from headshots.dashboard.stats.revenue import MODES, REFUNDS, REVENUE
from headshots.dashboard.stats.tables import KINDS, DashboardStats, likeness, refusals

WIDTH, HEIGHT = 560, 250
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
# A range of more days than this has one bar per week.
_MAX_BARS = 92
_MAX_LABELS = 7
# Up to this maximum, every integer has a grid line.
_MAX_INTEGER_TICKS = 6


@dataclass(frozen=True)
class Theme:
    """Colors of the product's stylesheet. The colors of `series` also differ in lightness."""

    background: str
    text: str
    grid: str
    series: tuple[str, ...]


THEMES = {
    "light": Theme("#ffffff", "#56615d", "#e0ddd4", ("#0b5d4e", "#d99a2b", "#5877b8", "#a12622")),
    "dark": Theme("#181f1c", "#a9b5b0", "#2b3531", ("#7fd6bd", "#f0c271", "#8fa9e6", "#ffa8a1")),
}


@dataclass(frozen=True)
class Chart:
    """The data of a bar chart. series: name -> one number per label."""

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]
    stacked: bool = False
    horizontal: bool = False


def build_chart(code: str, stats: DashboardStats) -> Chart:
    """Return the chart with this code. Raises KeyError."""
    return CHARTS[code](stats)


def _activity(stats: DashboardStats) -> Chart:
    daily_stats = stats.daily_stats
    keys = {
        "Uploads": "uploads",
        "Free packs delivered": "delivered|preview",
        "Premium packs ordered": "ordered|premium",
    }
    return _by_day("Uploads and packs", daily_stats, {name: daily_stats.series(key) for name, key in keys.items()})


def _pictures(stats: DashboardStats) -> Chart:
    series = dict(sorted(stats.daily_stats.pictures.items()))
    return _by_day("Pictures by engine", stats.daily_stats, series, stacked=True)


def _failures(stats: DashboardStats) -> Chart:
    daily_stats = stats.daily_stats
    series = {f"Failed, {kind}": daily_stats.series(f"failed|{kind}") for kind in KINDS}
    return _by_day("Failed packs", daily_stats, series, stacked=True)


def _likeness(stats: DashboardStats) -> Chart:
    counted = {str(row[0]): _number(row[1]) for row in likeness(stats.daily_stats).rows}
    # Always include the bins from 0.50 up: a single bar would fill the chart, and ranges could not be compared.
    labels = sorted({*counted, *(f"{low / 100:.2f}" for low in range(50, 100, LIKENESS_STEP))})
    return Chart("Likeness", labels, {"Pictures": [counted.get(label, 0) for label in labels]})


def _refusals(stats: DashboardStats) -> Chart:
    rows = list(refusals(stats.daily_stats).rows)[1:9][::-1]
    labels = [str(row[0]).replace("_", " ") for row in rows]
    return Chart("Refused photos", labels, {"Photos": [_number(row[1]) for row in rows]}, horizontal=True)


def _money(stats: DashboardStats) -> Chart:
    if not stats.money:
        return _by_day("Revenue and refunds", stats.daily_stats, {})
    first = stats.money[0]
    series = {"Revenue": first.series(*REVENUE), "Refunds": [-amount for amount in first.series(*REFUNDS)]}
    return _by_day(f"Revenue and refunds ({MODES[first.mode]}, {first.currency.upper()})", stats.daily_stats, series)


CHARTS: dict[str, Callable[[DashboardStats], Chart]] = {
    "activity": _activity,
    "money": _money,
    "pictures": _pictures,
    "failures": _failures,
    "likeness": _likeness,
    "refusals": _refusals,
}


# Charts that need another permission than the dashboard's statistics.
PERMISSIONS = {"money": "dashboard.view_money"}


def chart_permission(code: str) -> str:
    return PERMISSIONS.get(code, "dashboard.view_stats")


def _number(cell: object) -> float:
    return cell if isinstance(cell, int | float) else 0


def _by_day(
    title: str, daily_stats: DailyStats, series: Mapping[str, Sequence[float]], *, stacked: bool = False
) -> Chart:
    days = list(daily_stats.days)
    step = 7 if len(days) > _MAX_BARS else 1
    labels = [_label(day) for day in days[::step]]
    summed = {
        name: [sum(values[at : at + step]) for at in range(0, len(values), step)] for name, values in series.items()
    }
    return Chart(f"{title} per {'week' if step > 1 else 'day'}", labels, summed, stacked)


def _label(day: date) -> str:
    return f"{day:%b} {day.day}"


def visible_labels(labels: Sequence[str]) -> list[str]:
    """Return the labels to show on the axis: the first, the last, and evenly spaced ones in between.

    Returns at most _MAX_LABELS labels. Prefers a number of labels that makes all distances equal."""
    last = len(labels) - 1
    most = min(_MAX_LABELS - 1, last)
    gaps = next((gaps for gaps in range(most, 2, -1) if last % gaps == 0), most)
    return [labels[round(each * last / gaps)] for each in range(gaps + 1)] if gaps > 0 else list(labels)


def draw_chart(chart: Chart, theme: Theme) -> bytes:
    """Return the chart as an SVG document."""
    kind = pygal.HorizontalBar if chart.horizontal else pygal.StackedBar if chart.stacked else pygal.Bar
    # If all numbers are zero, show the "no data" text instead of empty axes.
    series = chart.series if any(any(values) for values in chart.series.values()) else {}
    sizes = {"label_font_size": 13, "major_label_font_size": 13, "legend_font_size": 13}
    drawing = kind(
        js=[],
        style=pygal.style.Style(font_family=_FONT, **sizes),
        disable_xml_declaration=True,
        width=WIDTH,
        height=HEIGHT,
        margin=4,
        spacing=6,
        max_scale=6,
        show_minor_x_labels=chart.horizontal,
        truncate_label=-1,
        truncate_legend=-1,
        legend_at_bottom=True,
        legend_box_size=10,
        show_legend=len(series) > 1,
        no_data_text="No data yet",
    )
    labels = list(chart.labels) if series else []
    drawing.x_labels = labels
    drawing.x_labels_major = labels if chart.horizontal else visible_labels(labels)
    highest = max(map(sum, zip(*series.values(), strict=True)), default=0)
    if 0 < highest <= _MAX_INTEGER_TICKS and all(
        isinstance(value, int) for values in series.values() for value in values
    ):
        # Counts are integers, so the axis must not show fractions.
        drawing.y_labels = list(range(highest + 1))
    for name, values in series.items():
        drawing.add(name, list(values))
    root = drawing.render_tree()
    root.attrib.update({"role": "img", "font-family": _FONT, "fill": theme.text})
    _remove_label_lines(root, chart)
    _apply_theme(root, theme, color=theme.series[0])
    return tostring(root)


def _remove_label_lines(root: Element, chart: Chart) -> None:
    """Remove the grid lines at the labels, because only the grid lines of the numbers help to read values."""
    axis_class = f"axis {'y' if chart.horizontal else 'x'}"
    label_axes = [node for node in root.iter() if axis_class in node.get("class", "")]
    for guides in [each for axis in label_axes for each in axis]:
        for line in [each for each in guides if "guide" in each.get("class", "")]:
            guides.remove(line)


# Styles, and parts of the drawing that only work with a script, such as tooltips.
_DROPPED_TAGS = frozenset({"style", "script", "defs", "desc", "title"})
_DROPPED_CLASSES = frozenset({"tooltip", "tooltip-overlay"})


def _apply_theme(node: Element, theme: Theme, color: str) -> None:
    """Replace pygal's style classes with presentation attributes in all descendants of `node`.

    color: the fill color that descendants inherit, unless they belong to a series."""
    for child in list(node):
        classes = set(child.get("class", "").split())
        tag = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else "comment"
        if tag in _DROPPED_TAGS or tag == "comment" or classes & _DROPPED_CLASSES:
            node.remove(child)
            continue
        own = next((name for name in classes if name.startswith("color-")), None)
        inherited = theme.series[int(own.removeprefix("color-")) % len(theme.series)] if own else color
        child.attrib |= _attributes(tag, classes, theme, inherited)
        child.attrib.pop("class", None)
        _apply_theme(child, theme, inherited)


def _attributes(tag: str, classes: set[str], theme: Theme, color: str) -> dict[str, str]:
    if "axis" in classes:
        return {"text-anchor": "end" if "y" in classes else "middle"}
    if "background" in classes:
        return {"fill": "none"}
    if "no_data" in classes:
        return {"text-anchor": "middle", "font-size": "16"}
    if "reactive" in classes:
        return {"fill": color}
    if tag == "path":
        return {"stroke": theme.grid, "fill": "none"}
    if tag == "text":
        return {"fill": theme.text, "font-size": "13"}
    return {}
