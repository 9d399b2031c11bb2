"""Draw contact sheets: pages of pictures with a few lines of text below each."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.types import Pixels

COLUMNS, ROWS = 5, 4
# Largest width and height of a picture on the page, in pixels. A 4:5 picture fills it.
WIDTH, HEIGHT = 300, 375
GAP, LINE_HEIGHT, FONT_SIZE = 12, 17, 13
TEXT_LINES = 3
PAPER, INK, QUIET, ALARM = (255, 255, 255), (32, 33, 36), (110, 113, 118), (196, 24, 24)


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a contact sheet.

    Attributes:
        title: first line below the picture.
        pixels: picture of any size, or None if there is none.
        figures: second line.
        faults: third line, in red.
    """

    title: str
    pixels: Pixels | None = field(repr=False)
    figures: str = ""
    faults: str = ""


def draw_pages(cells: Sequence[Cell]) -> Iterator[Pixels]:
    """Draw the pages of a contact sheet, each with up to 5 × 4 pictures in reading order."""
    size = COLUMNS * ROWS
    for start in range(0, len(cells), size):
        yield _draw_page(cells[start : start + size])


def shrink_for_cell(pixels: Pixels) -> Pixels:
    """Shrink a picture to the size of a cell, so that many pictures fit into memory. Returns (h, w, 3)."""
    image = Image.fromarray(pixels)
    factor = min(WIDTH / image.width, HEIGHT / image.height, 1.0)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.uint8)


def _draw_page(cells: Sequence[Cell]) -> Pixels:
    text_height = TEXT_LINES * LINE_HEIGHT
    rows = math.ceil(len(cells) / COLUMNS)
    page = Image.new("RGB", (GAP + COLUMNS * (WIDTH + GAP), GAP + rows * (HEIGHT + text_height + GAP)), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(FONT_SIZE)
    for index, cell in enumerate(cells):
        left = GAP + index % COLUMNS * (WIDTH + GAP)
        top = GAP + index // COLUMNS * (HEIGHT + text_height + GAP)
        if cell.pixels is not None:
            picture = Image.fromarray(shrink_for_cell(cell.pixels))
            page.paste(picture, (left + (WIDTH - picture.width) // 2, top + HEIGHT - picture.height))
        for line, (text, ink) in enumerate(((cell.title, INK), (cell.figures, QUIET), (cell.faults, ALARM))):
            pen.text((left, top + HEIGHT + 2 + line * LINE_HEIGHT), _fit(text, font), ink, font)
    return np.asarray(page, np.uint8)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten the text to the width of a cell."""
    if font.getlength(text) <= WIDTH:
        return text
    while text and font.getlength(text + "…") > WIDTH:
        text = text[:-1]
    return text + "…"
