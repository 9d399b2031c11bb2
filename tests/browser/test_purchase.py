"""From the free preview over the order and the test checkout to the pack, in a real browser with real workers."""

import io
import json
import zipfile
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import DiskWatch, shoot_id, shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.product import SHARED, Product

# Rows that belong to one account.
LEDGER = """
    select entry.kind, entry.amount, entry.mode from payments_ledgerentry entry
    join payments_payment payment on payment.id = entry.payment_id
    join accounts_user user on user.id = payment.owner_id where user.email = ? order by entry.id
"""
CREDITS = """
    select credit.state from payments_credit credit join accounts_user user on user.id = credit.owner_id
    where user.email = ?
"""


def status(page: Page, address: str) -> dict[str, object]:
    return dict(json.loads(page.request.get(f"{address}status.json").text()))


def has_no_faults(page: Page) -> bool:
    """By axe's rules for accessibility, those about colors included."""
    found = Axe().run(page).response["violations"]
    assert not found, json.dumps(found, indent=1)[:3000]
    return True


def test_preview_order_pay_delivered_photos_gone_and_the_receipt_there(shared_product: Product, page: Page) -> None:
    count, long_edge = int(SHARED["HEADSHOTS_PREMIUM_COUNT"]), int(SHARED["HEADSHOTS_PREMIUM_LONG_EDGE"])
    buy_a_pack(page, shared_product, count, long_edge)


# Slow: fifty pictures show what ten in the same looks do (the test above), but take minutes.
def test_so_it_is_with_a_pack_of_fifty(start_product: Callable[..., Product], page: Page) -> None:
    product = start_product(HEADSHOTS_PREMIUM_COUNT="50", HEADSHOTS_PREMIUM_LONG_EDGE="480")
    buy_a_pack(page, product, 50, 480)


def buy_a_pack(page: Page, product: Product, count: int, long_edge: int) -> None:
    """The whole way: the free preview, an order with a declined card first, the pack, the photos' end, the receipt."""
    source, lines_before = photos.obama_path(), len(product.output)
    email = sign_up(page, product)
    with DiskWatch(product.data, source.read_bytes()) as watch:
        address = upload(page, source)
        wait_for(page, lambda: shown_headshots(page) == 4, 60, "four free headshots")
        held = product.query("select kind from vault_blob where key_id = ? order by kind", shoot_id(address))
        assert held == [("faces",), ("photo",)]

        page.get_by_role("link", name="Choose looks").click()
        expect(page.locator(".test-banner")).to_contain_text("TEST")
        expect(page.locator("input[name=styles]:checked")).to_have_count(5)
        page.get_by_label("City").check()
        page.get_by_role("button", name="Pay $19").click()
        page.wait_for_url("**/test-checkout/**")
        expect(page.get_by_role("heading", name=f"{count} headshots")).to_be_visible()
        page.get_by_role("button", name="Use a declined card").click()
        expect(page.get_by_role("alert")).to_contain_text("declined")
        page.get_by_role("button", name="Pay with a TEST card").click()
        page.wait_for_url(address)
        expect(page.get_by_text("Thank you. You paid $19")).to_be_visible()

        wait_for(page, lambda: _delivered(page, address), 300, "the pack")
        wait_for(page, lambda: status(page, address)["status"] == "purged", 60, "the photos' end")

    shoot = shoot_id(address)
    assert product.query("select id from vault_blob where key_id = ?", shoot) == []
    assert product.query("select id from shoots_photo where shoot_id = ?", shoot) == []
    assert product.keys_of(shoot) == []
    assert not watch.found
    page.goto(address)
    expect(page.get_by_text("Your photos have been deleted")).to_be_visible()
    with page.expect_download() as download:
        page.locator("a[href*='download.zip']").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        sizes = [
            Image.open(io.BytesIO(archive.read(name))).size for name in archive.namelist() if name.endswith(".jpg")
        ]
    assert sizes.count((long_edge * 4 // 5, long_edge)) >= count

    page.goto(f"{product.url}/payments/")
    page.locator("ul.shoots a").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.locator("main")).to_contain_text("$19")
    assert product.query(LEDGER, email) == [("charge", 1900, "local")]
    assert product.query(CREDITS, email) == [("used",)]
    assert "Traceback" not in "".join(product.output[lines_before:])


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


def test_the_pages_of_money_are_open_to_everybody(shared_product: Product, page: Page) -> None:
    product = shared_product
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
