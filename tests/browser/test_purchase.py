"""From the free preview over the order and the test checkout to the pack, in a real browser with real workers."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from uuid import UUID

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_main_job import DiskWatch, shoot_id, shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.accessibility import OPTIONS, assert_accessible
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


def test_from_the_preview_to_the_receipt_and_the_free_redo_on_pages_for_everybody(
    shared_product: Product, page: Page
) -> None:
    count, long_edge = int(SHARED["HEADSHOTS_PREMIUM_COUNT"]), int(SHARED["HEADSHOTS_PREMIUM_LONG_EDGE"])
    buy_a_pack(page, shared_product, count, long_edge)


def test_so_it_is_with_a_pack_of_fifty(start_product: Callable[..., Product], page: Page) -> None:
    product = start_product(HEADSHOTS_PREMIUM_COUNT="50", HEADSHOTS_PREMIUM_LONG_EDGE="480")
    buy_a_pack(page, product, 50, 480)


def buy_a_pack(page: Page, product: Product, count: int, long_edge: int) -> None:
    """The whole way: the free preview, an order with a declined card first, the pack, the photos' end, the receipt,
    and a free redo; every page of it for everybody to use."""
    source, lines_before = photos.obama_path(), len(product.output)
    email = sign_up(page, product)
    with DiskWatch(product.data, source.read_bytes()) as watch:
        address = upload(page, source)
        wait_for(page, lambda: shown_headshots(page) == 4, 60, "four free headshots")
        held = product.query("select kind from vault_blob where key_id = ? order by kind", shoot_id(address))
        assert held == [("faces",), ("photo",)]

        for path in ("pricing", "payments"):
            page.goto(f"{product.url}/{path}/")
            assert _is_for_everybody(page)
        page.goto(address)
        page.get_by_role("link", name="Choose looks").click()
        expect(page.locator(".test-banner")).to_contain_text("TEST")
        expect(page.locator("input[name=styles]:checked")).to_have_count(5)
        assert _is_for_everybody(page)
        page.get_by_role("checkbox", name="City Downtown").check()
        page.get_by_role("checkbox", name="Please start making my headshots").check()
        page.get_by_role("button", name="Order and pay").click()
        page.wait_for_url("**/test-checkout/**")
        expect(page.get_by_role("heading", name=f"{count} headshots")).to_be_visible()
        assert _is_for_everybody(page)
        page.get_by_role("button", name="Use a declined card").click()
        expect(page.get_by_role("alert")).to_contain_text("declined")
        page.get_by_role("button", name="Pay with a TEST card").click()
        page.wait_for_url(address)
        expect(page.get_by_text("Thank you. You paid $19")).to_be_visible()

        pack = _arrives_picture_by_picture(page, product, shoot_id(address), count, min(400, long_edge * 4 // 5))
        wait_for(page, lambda: _delivered(page, address), 300, "the pack")
        wait_for(page, lambda: status(page, address)["status"] == "purged", 60, "the photos' end")

    shoot = shoot_id(address)
    assert product.query("select id from vault_blob where key_id = ?", shoot) == []
    assert product.query("select id from shoots_photo where shoot_id = ?", shoot) == []
    assert product.keys_of(shoot) == []
    assert not watch.found
    page.goto(address)
    expect(page.get_by_text("Your photos have been deleted")).to_be_visible()
    section = page.locator(f"#pack-{pack}")
    _look_through(page, section, count)
    with page.expect_download() as download:
        section.get_by_role("link", name="Download all (ZIP)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 3 * count + 1
        full = [name for name in archive.namelist() if name.startswith("full/headshot-")]
        sizes = [Image.open(io.BytesIO(archive.read(name))).size for name in full]
    assert sizes == [(long_edge * 4 // 5, long_edge)] * count
    with page.expect_download() as download:
        section.get_by_role("link", name="Profile").first.click()
    # Which headshot comes first depends on the pictures.
    assert re.fullmatch(r"headshot-\d\d-[a-z]+-profile\.jpg", download.value.suggested_filename)

    page.goto(f"{product.url}/payments/")
    page.locator("ul.shoots a").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.locator("main")).to_contain_text("$19")
    assert product.query(LEDGER, email) == [("charge", 1900, "local")]
    assert product.query(CREDITS, email) == [("used",)]
    assert _is_for_everybody(page)
    page.get_by_role("link", name="Not happy with this pack?").click()
    assert _is_for_everybody(page)
    page.get_by_role("button", name="Start free redo").click()
    page.goto(f"{product.url}/payments/")
    expect(page.get_by_role("heading", name="Your free redo")).to_be_visible()
    assert _is_for_everybody(page)
    assert "Traceback" not in "".join(product.output[lines_before:])


def _look_through(page: Page, section: Locator, count: int) -> None:
    """By keyboard: one stop for all pictures, the lightbox, the next picture, full size, one look only."""
    box, frames = page.locator("#lightbox"), section.locator("a.frame")
    assert frames.evaluate_all("all => all.filter(frame => frame.tabIndex === 0).length") == 1
    frames.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(box.locator(".lightbox-name")).to_contain_text(f"2 of {count}")
    # Past the first picture and back: the focus stays where the arrow keys work.
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(box.locator(".lightbox-name")).to_contain_text(f"3 of {count}")
    expect(box.locator("img")).to_have_attribute("src", re.compile("/web.jpg$"))
    assert_accessible(page)
    box.get_by_role("button", name="Favorite").click()
    expect(section.get_by_role("link", name="Download 1 favorite (ZIP)", include_hidden=True)).to_be_attached()
    box.get_by_role("button", name="100%").click()
    expect(box.locator("img")).to_have_attribute("src", re.compile(r"/[0-9a-f-]{36}\.jpg$"))
    assert box.locator("a[download]").count() == 3
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    page.keyboard.press("ArrowRight")
    assert frames.evaluate_all("all => all.filter(frame => frame.tabIndex === 0).length") == 1
    filters = section.locator(".looks-filter button")
    filters.nth(1).click()
    shown = section.locator("a.frame:visible").count()
    assert filters.nth(1).inner_text().endswith(f"({shown})")
    assert 0 < shown < count
    filters.first.click()
    assert section.locator("a.frame:visible").count() == count


def _arrives_picture_by_picture(page: Page, product: Product, shoot: str, count: int, width: int) -> UUID:
    """The id of the pack, whose pictures come while the page says how long it takes, none of them in full size."""
    ((found,),) = product.query("select id from shoots_pack where shoot_id = ? and kind = 'premium'", shoot)
    pack = UUID(str(found))
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    expect(page.locator(f"#pack-{pack}").get_by_text("left.")).to_be_visible(timeout=30_000)
    assert_accessible(page)
    wait_for(page, lambda: _shown(page, pack, width) == count, 300, "all headshots of the pack")
    assert_accessible(page)
    assert not [url for url in loaded if url.endswith(".jpg") and "/headshots/" in url and _is_full(url, pack, page)]
    return pack


def _shown(page: Page, pack: UUID, width: int) -> int:
    """How many pictures of the pack have come, at least so wide; those below the fold are looked at first."""
    pictures = page.locator(f"#pack-{pack} img")
    if pictures.count():
        pictures.last.scroll_into_view_if_needed()
    return int(
        pictures.evaluate_all(
            "(images, width) => images.filter(image => image.complete && image.naturalWidth >= width).length", width
        )
    )


def _is_full(url: str, pack: UUID, page: Page) -> bool:
    """Whether the address is that of a full size file of this pack."""
    headshot = url.rsplit("/", 1)[-1].removesuffix(".jpg")
    return page.locator(f"#pack-{pack} #headshot-{headshot}").count() > 0


def _delivered(page: Page, address: str) -> bool:
    packs = status(page, address)["packs"]
    assert isinstance(packs, list)
    assert not any(pack["status"] == "failed" for pack in packs)
    return any(pack["kind"] == "premium" and pack["status"] == "delivered" for pack in packs)


def _is_for_everybody(page: Page) -> bool:
    """Nothing for axe to find and nothing beyond the edge, on a telephone and on a desk."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        # By axe's rules for accessibility, those about colors included.
        found = Axe().run(page, options=OPTIONS).response["violations"]
        assert not found, json.dumps(found, indent=1)[:3000]
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return True
