"""The operator's admin in a real browser: in with a second factor, a look edited, tried, published and taken back."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.headshots.accounts.test_second_factor import code
from tests.helpers import photos
from tests.helpers.accessibility import assert_accessible
from tests.helpers.product import Product

StartProduct = Callable[..., Product]
STAFF, PASSPHRASE = "ada@example.org", "quite another long pass phrase"
VERSIONS = """
    select style.name, version.number, version.title from shoots_headshot headshot
    join shoots_style style on style.id = headshot.style_id
    left join shoots_styleversion version on version.id = headshot.version_id
    join shoots_pack pack on pack.id = headshot.pack_id
    where pack.kind = 'preview' and style.name = 'corporate' order by pack.created_at
"""


@pytest.fixture
def customer(chromium: Browser) -> Page:
    """Somebody else's browser."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def sign_in(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/admin/")
    page.fill("input[name=login]", STAFF)
    page.fill("input[name=password]", PASSPHRASE)
    page.locator("form:has(input[name=login]) button[type=submit]").click()


def set_up_second_factor(page: Page) -> str:
    """One of the recovery codes."""
    page.fill("input[name=password]", PASSPHRASE)
    page.locator("main form button[type=submit]").last.click()
    expect(page.get_by_role("heading", name="Set up two-factor authentication")).to_be_visible()
    assert_accessible(page)
    page.fill("input[name=code]", code(page.locator("p.help code").inner_text()))
    page.get_by_role("button", name="Turn on").click()
    page.wait_for_url(re.compile("/recovery-codes/|/admin/"))
    page.goto(re.sub("(//[^/]+).*", r"\1/accounts/2fa/recovery-codes/", page.url))
    assert_accessible(page)
    return page.locator("ul.codes code").first.inner_text()


def answer(page: Page, button: str) -> None:
    """Say why, on the page that asks before something is done."""
    page.fill("input[name=reason]", "a trial run")
    page.get_by_role("button", name=button).click()
    expect(page.locator(".messagelist .success")).to_be_visible()


def seen_trial(page: Page) -> int:
    return page.locator("#trial img").evaluate_all(
        "images => images.filter(image => image.complete && image.naturalWidth > 500).length"
    )


def test_a_look_is_edited_tried_published_used_and_taken_back(
    start_product: StartProduct, page: Page, customer: Page
) -> None:
    product = start_product(HEADSHOTS_STAFF_TWO_FACTOR="1")
    product.hire(STAFF, PASSPHRASE, "owner")

    # In: the password alone opens nothing, and the second time a code is asked for.
    sign_in(page, product)
    recovery = set_up_second_factor(page)
    page.goto(f"{product.url}/admin/")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.goto(f"{product.url}/accounts/logout/")
    page.locator("main form button[type=submit]").click()
    sign_in(page, product)
    expect(page.get_by_role("heading", name="Two-factor authentication")).to_be_visible()
    assert_accessible(page)
    page.fill("input[name=code]", recovery)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{product.url}/admin/")

    # Edited and tried.
    page.get_by_role("link", name="Looks", exact=True).click()
    page.get_by_role("link", name="Corporate").click()
    page.fill("input[name=title]", "Company")
    page.fill("input[name=key]", "0.3")
    page.get_by_role("button", name="Save and run trial").click()
    wait_for(page, lambda: seen_trial(page) == 2, 60, "both pictures of the sample")
    assert_accessible(page)
    drafts = product.query("select number, published_at is null from shoots_styleversion where published_at is null")
    assert drafts == [(2, 1)]

    # Published, and in a new person's pack.
    page.get_by_role("link", name="Publish").click()
    assert_accessible(page)
    answer(page, "Publish")
    sign_up(customer, product)
    upload(customer, photos.astronaut_path())
    wait_for(customer, lambda: shown_headshots(customer) == 4, 60, "four headshots in the new look")
    expect(customer.get_by_text("Company").first).to_be_visible()

    # Taken back: the next pack is as it was built in.
    page.get_by_role("link", name="Restore").last.click()
    answer(page, "Restore")
    customer.goto(f"{product.url}/shoots/new/")
    upload(customer, photos.astronaut_path())
    wait_for(customer, lambda: shown_headshots(customer) == 4, 60, "four headshots as before")

    assert product.query(VERSIONS) == [("corporate", 2, "Company"), ("corporate", 3, "Corporate")]
    recipes = product.query(
        "select version.recipe from shoots_styleversion version join shoots_style style on style.id = version.style_id "
        "where style.name = 'corporate' and version.number in (1, 3)"
    )
    assert recipes[0] == recipes[1]
    entries = product.query("select action, reason from dashboard_auditlogentry order by id")
    assert entries == [("edit", ""), ("publish-look", "a trial run"), ("restore-look", "a trial run")]
    assert "Traceback" not in "".join(product.output)


def test_every_page_of_the_office_is_open_to_everybody(start_product: StartProduct, page: Page, customer: Page) -> None:
    product = start_product(HEADSHOTS_PREMIUM_COUNT="6", HEADSHOTS_PREMIUM_LONG_EDGE="480")
    product.hire(STAFF, PASSPHRASE, "owner")
    sign_up(customer, product)
    shoot = upload(customer, photos.astronaut_path()).rstrip("/").rpartition("/")[2]
    wait_for(customer, lambda: shown_headshots(customer) == 4, 60, "four headshots")
    sign_in(page, product)
    page.wait_for_url(f"{product.url}/admin/")

    found = {"/admin/", "/admin/?days=30", f"/admin/support/{shoot}/", "/admin/shoots/style/import/"}
    page.locator("details.records summary").click()
    found |= set(page.locator("details.records a").evaluate_all("links => links.map(link => link.pathname)"))
    looked_at: set[str] = set()
    while found:
        address = min(found)
        found.remove(address)
        looked_at.add(address)
        page.goto(f"{product.url}{address}")
        assert_accessible(page)
        assert fits(page), address
        # From each list to one row, from there to what can be done to it.
        rows = page.locator("#result_list tbody th a").evaluate_all("links => links.slice(0, 1).map(a => a.pathname)")
        entries = page.locator("main a[href*='/admin/actions/']").evaluate_all("links => links.map(a => a.pathname)")
        found |= {*rows, *entries} - looked_at

    asked = {address.split("/")[3] for address in looked_at if address.startswith("/admin/actions/")}
    assert asked >= {"pause", "purge-photos", "purge-everything", "block-account", "grant-credits", "grant-pack"}
    assert {"/admin/shoots/pack/", "/admin/accounts/user/", "/admin/payments/payment/"} <= looked_at


def fits(page: Page) -> bool:
    """Whether nothing sticks out of the page, wide and on a phone, nor out of the boxes that are laid out for both."""
    usual = page.viewport_size
    wide = []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        boxes = page.locator("html, .scroll.cards, .model-style.change-list .results")
        wide += boxes.evaluate_all("boxes => boxes.map(box => box.scrollWidth - box.clientWidth)")
    if usual:
        page.set_viewport_size(usual)
    return not any(wide)
