"""The script that keeps a shoot's page up to date, before a server that only exists in the test."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.template.loader import render_to_string
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, Route, expect

from headshots.shoots.models import Shoot

STATIC = Path(__file__).resolve().parents[2] / "static"
# Locks between tabs exist on secure pages only, which those of this machine are.
SITE = "http://localhost/"
ASK_WHEN_CUT_MS = 2000


class Site:
    """Serves the page of a shoot whose pack has some headshots, to all tabs of a browser."""

    def __init__(self, context: BrowserContext, answer_events: Callable[[Route], None]) -> None:
        self.streams: list[Route] = []
        self._answer_events = answer_events
        self._shoot = Shoot(id=uuid4(), created_at=timezone.now(), delete_after=timezone.now())
        self._pack = {"id": uuid4(), "kind": "preview", "state": "rendering", "done": 0, "total": 4}
        self._headshots = [
            {"id": uuid4(), "state": "pending", "style_title": f"Look {number}", "url": "/1.jpg", "shown_url": "/1.jpg"}
            for number in range(4)
        ]
        # Time stands still unless the test lets it go on.
        context.clock.install(time=0)
        context.clock.pause_at(1)
        context.route(f"{SITE}**", self._answer)

    def finish(self, count: int, *, turned_around: bool = False) -> None:
        """From now on so many headshots are done. Four of them are delivered."""
        for headshot in self._headshots[:count]:
            headshot["state"] = "done"
        if turned_around:
            self._headshots.reverse()
        self._pack |= {"done": count, "state": "delivered" if count == 4 else "rendering"}

    def _answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.endswith("/events/"):
            self.streams.append(route)
            self._answer_events(route)
        elif path.endswith(".js"):
            route.fulfill(path=STATIC / Path(path).name)
        elif path.endswith("/"):
            pack = self._pack | {"headshots": self._headshots}
            context = {"shoot": self._shoot, "packs": [pack], "live": pack["state"] == "rendering"}
            route.fulfill(content_type="text/html", body=render_to_string("shoots/detail.html", context))
        else:
            route.fulfill(status=204)


def shown(page: Page) -> list[str]:
    """The ids of the headshots that are there, in their order."""
    ids: list[str] = page.locator("li[id^='headshot-']:has(img)").evaluate_all("items => items.map(item => item.id)")
    return ids


def expect_shown(page: Page, count: int) -> None:
    expect(page.locator("li[id^='headshot-'] img")).to_have_count(count)


@pytest.fixture(params=["cut", "refused"])
def cut(page: Page, request: pytest.FixtureRequest) -> Site:
    """A server without a live channel: it is out of reach, or says that there is none."""
    refuse = request.param == "refused"
    return Site(page.context, lambda route: route.fulfill(status=204) if refuse else route.abort())


def test_without_a_live_channel_the_page_asks_every_two_seconds(cut: Site, page: Page) -> None:
    page.goto(SITE)
    expect_shown(page, 0)
    for count in (1, 3):
        cut.finish(count)
        page.clock.run_for(ASK_WHEN_CUT_MS)
        expect_shown(page, count)
    before = shown(page)

    # A delivered pack shows its best first: another order, and nothing twice.
    cut.finish(4, turned_around=True)
    page.clock.run_for(ASK_WHEN_CUT_MS)
    expect_shown(page, 4)

    assert shown(page)[1:] == before[::-1]
    expect(page.locator("#progress")).to_have_attribute("data-live", "no")
    assert cut.streams


def test_a_nudge_makes_the_page_ask_at_once(page: Page) -> None:
    nudge = "event: changed\ndata: 1\n\n"
    site = Site(page.context, lambda route: route.fulfill(content_type="text/event-stream", body=nudge))
    page.goto(SITE)
    site.finish(2)

    expect_shown(page, 2)


def test_one_of_three_tabs_listens_and_the_others_ask(page: Page) -> None:
    # A stream that is never answered stays open, as one that has nothing to say.
    site = Site(page.context, lambda route: None)
    tabs = [page, page.context.new_page(), page.context.new_page()]
    for tab in tabs:
        tab.goto(SITE)
        expect(tab.locator("#progress[data-live=yes]")).to_be_visible()
    site.finish(2)

    page.clock.run_for(ASK_WHEN_CUT_MS)

    for tab in tabs:
        expect_shown(tab, 2)
    assert len(site.streams) == 1
