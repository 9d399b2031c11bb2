"""Seven tabs of one shoot over HTTP/1.1, where a browser has six connections: all load, and so does everything else."""

import json
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_main_job import shown_headshots, wait_for
from tests.helpers.migrated import copy_migrated_database
from tests.helpers.web import environment_below, prepare, run_web

TIMEOUT_MS = 20_000
TABS = 7


def open_tab(context: BrowserContext, address: str) -> Page:
    tab = context.new_page()
    tab.goto(address, timeout=TIMEOUT_MS)
    expect(tab.locator("#progress[data-live=yes]")).to_be_visible(timeout=TIMEOUT_MS)
    return tab


def test_seven_tabs_of_a_running_pack_leave_room_for_everything(tmp_path: Path, page: Page) -> None:
    environment = environment_below(tmp_path)
    copy_migrated_database(tmp_path / "data")
    made = json.loads(prepare(environment, "tests.browser.running_pack"))
    streams: list[str] = []
    page.context.on("request", lambda request: request.url.endswith("/events/") and streams.append(request.url))
    with run_web(environment, tmp_path / "web.log") as web:
        site = f"http://localhost:{web.port}"
        name, _, value = made["cookie"].partition("=")
        page.context.add_cookies([{"name": name, "value": value, "url": site}])

        tabs = [open_tab(page.context, site + made["shoot"]) for _ in range(TABS)]
        page.goto(f"{site}/how-it-works/", timeout=TIMEOUT_MS)
        expect(page.locator("h1")).to_be_visible()
        prepare(environment, "tests.browser.running_pack", "deliver")

        for tab in tabs:
            wait_for(tab, lambda tab=tab: shown_headshots(tab) == 4, 20, "four headshots in each tab")  # type: ignore[misc]
        # One tab listens, the others ask.
        assert len(streams) == 1
        for tab in tabs:
            tab.close()
