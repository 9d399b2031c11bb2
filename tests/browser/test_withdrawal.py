"""Withdrawing from an order in a real browser: as a guest by the link in an email, and by account after delivery."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.accessibility import assert_accessible
from tests.helpers.product import Product

LEDGER = """
    select entry.kind, entry.amount from payments_ledgerentry entry
    join payments_payment payment on payment.id = entry.payment_id
    join accounts_user user on user.id = payment.owner_id where user.email = ? order by entry.id
"""


def buy_without_photos(page: Page, product: Product) -> str:
    """Buy a pack on the pricing page. Returns the order number."""
    page.goto(f"{product.url}/pricing/")
    page.get_by_role("button", name="Order and pay").click()
    page.locator("button[name=card][value=good]").click()
    page.goto(f"{product.url}/payments/")
    page.locator("ul.shoots a").first.click()
    return page.locator("dd.mono").inner_text()


def test_a_guest_withdraws_by_a_link_and_a_customer_after_delivery(
    shared_product: Product, page: Page, chromium: Browser
) -> None:
    product = shared_product
    email = sign_up(page, product)
    number = buy_without_photos(page, product)

    guest = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False).new_page()
    guest.goto(product.url)
    guest.get_by_role("link", name="Withdraw from a contract").click()
    guest.get_by_label("Order number").fill(number)
    guest.get_by_label("Email").fill(email)
    guest.get_by_role("button", name="Withdraw from contract here").click()
    expect(guest.get_by_role("heading", level=1)).to_have_text("Check your email")
    letters: list[str] = []

    def has_come() -> bool:
        letters[:] = [
            path.read_text()
            for path in (product.data / "mail").glob("*")
            if "Confirm your withdrawal" in path.read_text()
        ]
        return any(number in letter for letter in letters)

    wait_for(page, has_come, 20, "the link")
    # Long lines of an email are wrapped with "=" at their end.
    letter = next(letter for letter in letters if number in letter).replace("=\n", "").replace("=3D", "=")
    link = re.search(r"/withdraw/[^\s]+", letter)
    assert link is not None
    guest.goto(product.url + link[0])
    guest.get_by_role("button", name="Confirm withdrawal").click()
    expect(guest.get_by_role("heading", level=1)).to_have_text("We’ve received your withdrawal")
    guest.context.close()
    wait_for(page, lambda: product.query(LEDGER, email) == [("charge", 1900), ("refund", -1900)], 30, "the refund")

    page.goto(f"{product.url}/shoots/new/")
    address = upload(page, photos.obama_path())
    wait_for(page, lambda: shown_headshots(page) == 4, 60, "four free headshots")
    page.goto(f"{address}order/")
    page.locator("input[name=begin_now]").check()
    page.get_by_role("button", name="Order and pay").click()
    page.locator("button[name=card][value=good]").click()
    wait_for(
        page,
        lambda: "delivered" in page.request.get(f"{address}status.json").text().split("premium")[-1],
        180,
        "a pack",
    )
    page.goto(f"{product.url}/withdraw/")
    assert_accessible(page)
    page.get_by_role("link", name="Withdraw from contract here").first.click()
    page.get_by_role("button", name="Confirm withdrawal").click()
    expect(page.get_by_role("status")).to_contain_text("the right of withdrawal had ended")
    assert product.query(LEDGER, email) == [("charge", 1900), ("refund", -1900), ("charge", 1900)]
