"""From the free preview over the order and the test checkout to the pack, in a real browser with real workers."""

import io
import json
import zipfile
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import DiskWatch, shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.product import Product

COUNT, LONG_EDGE = 50, 480
SMALL = {"HEADSHOTS_PREMIUM_COUNT": str(COUNT), "HEADSHOTS_PREMIUM_LONG_EDGE": str(LONG_EDGE)}


def status(page: Page, address: str) -> dict[str, object]:
    return dict(json.loads(page.request.get(f"{address}status.json").text()))


def has_no_faults(page: Page) -> bool:
    """By axe's rules for accessibility, those about colors included."""
    found = Axe().run(page).response["violations"]
    assert not found, json.dumps(found, indent=1)[:3000]
    return True


def test_preview_order_pay_fifty_delivered_photos_gone_and_the_receipt_there(
    start_product: Callable[..., Product], page: Page
) -> None:
    product = start_product(**SMALL)
    source = photos.obama_path()
    sign_up(page, product)
    with DiskWatch(product.data, source.read_bytes()) as watch:
        address = upload(page, source)
        wait_for(page, lambda: shown_headshots(page) == 4, 60, "four free headshots")

        page.get_by_role("link", name="Choose looks").click()
        expect(page.locator(".test-banner")).to_contain_text("TEST")
        expect(page.locator("input[name=styles]:checked")).to_have_count(5)
        page.get_by_label("City").check()
        page.get_by_role("button", name="Pay $19").click()
        page.wait_for_url("**/test-checkout/**")
        expect(page.get_by_role("heading", name=f"{COUNT} headshots")).to_be_visible()
        page.get_by_role("button", name="Use a declined card").click()
        expect(page.get_by_role("alert")).to_contain_text("declined")
        page.get_by_role("button", name="Pay with a TEST card").click()
        page.wait_for_url(address)
        expect(page.get_by_text("Thank you. You paid $19")).to_be_visible()

        wait_for(page, lambda: _delivered(page, address), 300, "the pack")
        wait_for(page, lambda: status(page, address)["status"] == "purged", 60, "the photos' end")

    assert product.query("select count(*) from vault_blob where ring = 'source'") == [(0,)]
    assert product.query("select count(*) from shoots_photo") == [(0,)]
    assert not watch.found
    page.goto(address)
    expect(page.get_by_text("Your photos have been deleted")).to_be_visible()
    with page.expect_download() as download:
        page.locator("a[href*='download.zip']").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        sizes = [
            Image.open(io.BytesIO(archive.read(name))).size for name in archive.namelist() if name.endswith(".jpg")
        ]
    assert sizes.count((LONG_EDGE * 4 // 5, LONG_EDGE)) >= COUNT

    page.goto(f"{product.url}/payments/")
    page.locator("ul.shoots a").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.locator("main")).to_contain_text("$19")
    ledger = product.query("select kind, amount, mode from payments_ledgerentry")
    assert ledger == [("charge", 1900, "local")]
    assert product.query("select state from payments_credit") == [("used",)]
    assert "Traceback" not in "".join(product.output)


def _delivered(page: Page, address: str) -> bool:
    packs = status(page, address)["packs"]
    assert isinstance(packs, list)
    assert not any(pack["status"] == "failed" for pack in packs)
    return any(pack["kind"] == "premium" and pack["status"] == "delivered" for pack in packs)


def _is_for_everybody(page: Page) -> bool:
    """Nothing for axe to find and nothing beyond the edge, on a desk and on a telephone."""
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert has_no_faults(page)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return True


def test_the_pages_of_money_are_open_to_everybody(start_product: Callable[..., Product], page: Page) -> None:
    product = start_product(HEADSHOTS_PREMIUM_COUNT="6", HEADSHOTS_PREMIUM_LONG_EDGE="480")
    sign_up(page, product)
    address = upload(page, photos.astronaut_path())
    wait_for(page, lambda: shown_headshots(page) == 4, 60, "four free headshots")

    for path in (f"{address}order/", f"{product.url}/pricing/", f"{product.url}/payments/"):
        page.goto(path)
        assert _is_for_everybody(page)
    page.goto(f"{address}order/")
    page.get_by_role("button", name="Pay $19").click()
    page.wait_for_url("**/test-checkout/**")
    assert _is_for_everybody(page)
    page.get_by_role("button", name="Pay with a TEST card").click()
    wait_for(page, lambda: _delivered(page, address), 120, "the pack")
    page.goto(f"{product.url}/payments/")
    page.locator("ul.shoots a").click()
    assert _is_for_everybody(page)
    page.get_by_role("link", name="Not happy with this pack?").click()
    assert _is_for_everybody(page)
    page.get_by_role("button", name="Start free redo").click()
    page.goto(f"{product.url}/payments/")
    expect(page.get_by_role("heading", name="Your free redo")).to_be_visible()
    assert _is_for_everybody(page)
