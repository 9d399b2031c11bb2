"""Contact sheets as pictures: pages, cells and red text."""

import numpy as np

from pipeline.quality.contact_sheet import ALARM, GAP, HEIGHT, LINE_HEIGHT, TEXT_LINES, WIDTH, Cell, draw_pages

GREEN = np.full((500, 400, 3), (0, 160, 0), np.uint8)


def has_color(page: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((page == color).all(axis=2).any())


def test_twenty_pictures_fit_on_a_page():
    one_row, full, rest = (
        list(draw_pages([Cell(f"p{index}", GREEN) for index in range(count)])) for count in (5, 20, 21)
    )

    row = HEIGHT + TEXT_LINES * LINE_HEIGHT + GAP
    assert [page.shape for page in one_row] == [(GAP + row, GAP + 5 * (WIDTH + GAP), 3)]
    assert [page.shape[0] for page in full] == [GAP + 4 * row]
    assert [page.shape[0] for page in rest] == [GAP + 4 * row, GAP + row]


def test_only_faults_are_red_and_a_long_text_stays_in_its_cell():
    plain, faulty = (
        next(draw_pages([Cell("p", GREEN, "eyes 0.40", faults)])) for faults in ("", "eyes too low; " * 20)
    )

    assert has_color(plain, (0, 160, 0))
    assert not has_color(plain, ALARM)
    assert has_color(faulty[:, : GAP + WIDTH + 1], ALARM)
    assert not has_color(faulty[:, GAP + WIDTH + 1 :], ALARM)


def test_a_cell_needs_no_picture():
    page = next(draw_pages([Cell("torn", None, faults="photo refused: unreadable")]))

    assert has_color(page, ALARM)
