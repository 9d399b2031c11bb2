"""Draw the groups' figures as a chart with confidence intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pipeline.quality.fairness import GroupFigures, Share, Spread

ROW, HEAD, MARGIN = 30, 64, 24
LABEL, PANEL, GAP = 190, 250, 28
INK, QUIET, LINE, MARK = (32, 33, 36), (110, 113, 118), (214, 216, 220), (27, 94, 132)


@dataclass(frozen=True)
class Panel:
    """One panel of the chart.

    low, high: range of the axis. read: returns a group's value with its lower and upper bound."""

    title: str
    note: str
    low: float
    high: float
    read: Callable[[GroupFigures], tuple[float, float, float]]


def _share(of: Share) -> tuple[float, float, float]:
    low, high = of.interval
    return 100 * of.value, 100 * low, 100 * high


def _spread(of: Spread) -> tuple[float, float, float]:
    return of.middle, of.low, of.high


PANELS = (
    Panel("Face found", "% of photos, 95% interval", 0, 100, lambda g: _share(g.found)),
    Panel("Accepted or warned", "% of photos", 0, 100, lambda g: _share(_sum(g.accepted, g.warned))),
    Panel("Passed the quality gate", "% of headshots", 0, 100, lambda g: _share(g.kept)),
    Panel("Face distance", "5th to 95th percentile", 0, 0.6, lambda g: _spread(g.distance)),
    Panel("Skin: lightness", "CIE L, difference to photo", -12, 12, lambda g: _spread(g.lightness)),
    Panel("Skin: hue", "degrees, difference to photo", -12, 12, lambda g: _spread(g.hue)),
    Panel("False non-match", "% of pairs, 95% interval", 0, 100, lambda g: _share(g.missed)),
    Panel("False match", "% of pairs in the group", 0, 100, lambda g: _share(g.mistaken)),
)


def draw_chart(groups: Sequence[GroupFigures]) -> Image.Image:
    """Draw the chart with four panels per row.

    The height depends on the number of groups."""
    columns = 4
    height = HEAD + ROW * len(groups) + GAP
    rows = math.ceil(len(PANELS) / columns)
    size = (2 * MARGIN + LABEL + columns * (PANEL + GAP), MARGIN + rows * height)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for index, panel in enumerate(PANELS):
        top = MARGIN + index // columns * height
        left = MARGIN + LABEL + index % columns * (PANEL + GAP)
        _draw_panel(pen, panel, groups, left, top)
        if index % columns == 0:
            for row, group in enumerate(groups):
                words = f"{group.group[:18]} ({group.photos})"
                pen.text((MARGIN, top + HEAD + ROW * row + 4), words, INK, _font(15))
    return image


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Panel, groups: Sequence[GroupFigures], left: int, top: int) -> None:
    def x(value: float) -> float:
        return left + PANEL * (min(panel.high, max(panel.low, value)) - panel.low) / (panel.high - panel.low)

    pen.text((left, top), panel.title, INK, _font(17))
    pen.text((left, top + 22), panel.note, QUIET, _font(13))
    bottom = top + HEAD + ROW * len(groups)
    for value in (panel.low, (panel.low + panel.high) / 2, panel.high):
        pen.line([(x(value), top + HEAD - 8), (x(value), bottom)], LINE)
        pen.text((x(value), bottom + 2), f"{value:g}", QUIET, _font(12), anchor="ma")
    for row, group in enumerate(groups):
        value, low, high = panel.read(group)
        y = top + HEAD + ROW * row + 12
        if math.isnan(value):
            pen.text((left + PANEL / 2, y), "no data", QUIET, _font(12), anchor="mm")
            continue
        pen.line([(x(low), y), (x(high), y)], MARK, 3)
        pen.ellipse([(x(value) - 5, y - 5), (x(value) + 5, y + 5)], MARK)


def _sum(one: Share, other: Share) -> Share:
    return Share(one.count + other.count, one.of)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
