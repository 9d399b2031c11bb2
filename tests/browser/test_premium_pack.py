"""A premium pack in a real browser: progress and time, the grid, what is saved, and what a reader of screens meets."""

import io
import zipfile

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.accessibility import assert_accessible
from tests.helpers.product import SHARED, Product

COUNT = int(SHARED["HEADSHOTS_PREMIUM_COUNT"])


def test_a_pack_arrives_picture_by_picture_and_is_taken_home(shared_product: Product, page: Page) -> None:
    product = shared_product
    sign_up(page, product)
    upload(page, photos.astronaut_path())
    wait_for(page, lambda: shown_headshots(page) == 4, 60, "the free preview")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))

    pack = product.order_premium()
    page.reload()
    section = page.locator(f"#pack-{pack}")
    expect(section.get_by_text("left.")).to_be_visible(timeout=30_000)
    assert_accessible(page)
    wait_for(page, lambda: _shown(page, pack) == COUNT, 90, "all headshots of the pack")

    assert_accessible(page)
    assert not [url for url in loaded if url.endswith(".jpg") and "/headshots/" in url and _is_full(url, pack, page)]
    with page.expect_download() as download:
        section.get_by_role("link", name="Download all (ZIP)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 3 * COUNT
        assert Image.open(io.BytesIO(archive.read("full/headshot-10-office.jpg"))).size == (640, 800)
    with page.expect_download() as download:
        section.get_by_role("link", name="Profile").first.click()
    assert download.value.suggested_filename == "headshot-01-corporate-profile.jpg"


def _shown(page: Page, pack: str) -> int:
    """How many pictures of the pack have come; those below the fold are looked at first."""
    pictures = page.locator(f"#pack-{pack} img")
    if pictures.count():
        pictures.last.scroll_into_view_if_needed()
    return int(
        pictures.evaluate_all("images => images.filter(image => image.complete && image.naturalWidth > 500).length")
    )


def _is_full(url: str, pack: str, page: Page) -> bool:
    """Whether the address is that of a full size file of this pack."""
    headshot = url.rsplit("/", 1)[-1].removesuffix(".jpg")
    return page.locator(f"#pack-{pack} #headshot-{headshot}").count() > 0
