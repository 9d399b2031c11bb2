"""The attacker's test with a browser, whose folder is copied too, through a premium pack; and with rings on servers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.chaos.attack import attack
from tests.chaos.loot import Looter, Piece, files_below, rings_in_folders, values_of_server
from tests.chaos.needles import both, of_headshots, of_photo
from tests.chaos.test_attacker import live, marked, what
from tests.helpers import photos
from tests.helpers.product import CHROMIUM_SWITCHES, chromium_path, start_below

HEADSHOTS = {"headshot", "pixels of the headshot"}
PREMIUM = {"HEADSHOTS_PREMIUM_COUNT": "6", "HEADSHOTS_PREMIUM_LONG_EDGE": "1680"}


def test_through_a_browser_and_a_premium_pack_no_copy_yields_anything(folder: Path, chromium: Browser) -> None:
    data = marked(photos.obama())
    (folder / "tmp").mkdir()
    (folder / "photo.png").write_bytes(data)
    product = start_below(folder, (), {"TMPDIR": str(folder / "tmp"), **PREMIUM})
    context = chromium.browser_type.launch_persistent_context(
        str(folder / "profile"), executable_path=chromium_path(), args=CHROMIUM_SWITCHES
    )
    page = context.new_page()
    folders = {"data": product.data, "tmp": folder / "tmp", "profile": folder / "profile"}
    try:
        with Looter(product, folders, lambda: rings_in_folders(product), seconds=3) as looter:
            sign_up(page, product)
            address = upload(page, folder / "photo.png")
            wait_for(page, lambda: shown_headshots(page) == 4, 90, "the free headshots")
            product.order_premium(looks=3)
            # The delivery itself purges the photo.
            wait_for(page, lambda: product.query("select state from shoots_shoot") == [("purged",)], 300, "the purge")
            page.goto(address)
            wait_for(page, lambda: shown_headshots(page) >= 4, 30, "the page with all headshots")
            links = {link.split("?")[0] for link in page.locator("a[href*='/headshots/']").evaluate_all(HREFS)}
            pictures = [context.request.get(link).body() for link in sorted(links)]
            secrets = both(of_photo(data), of_headshots(pictures))
            looter.take()
            after_purge = looter.rings_now()

            page.goto(f"{address}delete/")
            page.locator("form[action$='/delete/'] button").click()
            nothing = [(0,)]
            wait_for(page, lambda: product.query("select count(*) from vault_blob") == nothing, 30, "the deletion")
            looter.take()
            after_deletion = looter.rings_now()
            context.close()
        assert product.stop() == 0
        looter.take()
    finally:
        if product.process.poll() is None:
            product.stop()

    assert len(pictures) == 4 + 3 * 6
    assert {piece.place.split("/")[0] for piece in looter.pile} >= {"data", "profile", "broker", "database", "printed"}
    found = attack([*looter.pile, *after_purge], secrets)
    assert what(found) <= HEADSHOTS, found
    assert {finding.opened for finding in found} == {"headshot", "web", "profile"}
    assert attack([*looter.pile, *after_deletion], secrets) == []
    # And with what is not promised against, all of it.
    everything = attack([*looter.pile, *looter.rings], secrets)
    assert {finding.opened for finding in everything} >= {"photo", "faces", "headshot", "web", "profile"}


HREFS = "links => links.map(link => link.href)"
DEAF = ("--rename-command", "DEL", "DESTROY", "--rename-command", "EXISTS", "DEL")


@pytest.mark.parametrize("destroys", [True, False], ids=["they destroy keys", "they only say so"])
def test_with_rings_on_servers_it_is_their_destruction_that_matters(
    folder: Path, start_valkey: Callable[..., str], destroys: bool
) -> None:
    commands = () if destroys else DEAF
    source = start_valkey("--save", "", "--appendonly", "no", *commands)
    result = start_valkey("--save", "", "--appendonly", "yes", *commands)

    def rings() -> list[Piece]:
        """Also the journal of the one that keeps."""
        values = [*values_of_server(source, "source-ring"), *values_of_server(result, "result-ring")]
        return [*values, *files_below(Path(result.removeprefix("unix://")).parent, "result-ring")]

    run = live(folder, lambda _: rings(), HEADSHOTS_PHOTO_KEYS_URL=source, HEADSHOTS_HEADSHOT_KEYS_URL=result)

    # A journal is written anew in the background.
    found = attack([*run.pile, *rings()], run.secrets)
    if destroys:
        assert found == []
    else:
        assert {"photo", "faces", "headshot"} <= what(found)
