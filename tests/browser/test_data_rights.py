"""A person's rights in a real browser: see, take along, withdraw, be forgotten; every page for everybody to use."""

import io
import json
import zipfile
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import PASSWORD, shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.accessibility import assert_accessible
from tests.helpers.product import Product

StartProduct = Callable[..., Product]


@pytest.fixture
def product(start_product: StartProduct) -> Product:
    return start_product(
        HEADSHOTS_ABUSE_EMAIL="help@example.org",
        HEADSHOTS_OPERATOR="Example Ltd, 1 Some Street, Sometown",
        HEADSHOTS_BACKUP_DAYS="14",
        HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS="5",
    )


def shoot(page: Page, product: Product) -> str:
    page.goto(f"{product.url}/shoots/new/")
    address = upload(page, photos.astronaut_path())
    wait_for(page, lambda: shown_headshots(page) == 4, 60, "four headshots")
    return address


def mails(product: Product) -> list[str]:
    return [path.read_text() for path in sorted((product.data / "mail").glob("*.log"))]


def test_a_person_sees_takes_along_withdraws_and_is_forgotten(product: Product, page: Page) -> None:
    for address in ("retention", "privacy", "terms", "abuse"):
        page.goto(f"{product.url}/{address}/")
        assert_accessible(page)
    email = sign_up(page, product)
    first = shoot(page, product)
    second = shoot(page, product)
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_text(email)).to_be_visible()
    assert_accessible(page)

    # Take along.
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        told = json.loads(archive.read("account.json"))
        pictures = [name for name in archive.namelist() if name.endswith(".jpg")]
        sizes = {Image.open(io.BytesIO(archive.read(name))).size for name in pictures}
    assert told["account"]["email"] == email
    assert len(pictures) == 10
    assert (896, 1120) in sizes

    # Withdraw one of two.
    page.locator(f"a[href*='{second.rstrip('/').rpartition('/')[2]}/withdraw/']").click()
    assert_accessible(page)
    page.get_by_role("button", name="Withdraw and delete").click()
    expect(page.get_by_text("You’ve withdrawn your consent")).to_be_visible()
    expect(page.get_by_text("Your photos and headshots have been deleted")).to_be_visible()
    assert product.query("select count(*) from vault_blob where ring = 'result'") == [(4,)]
    page.goto(second)
    page.get_by_role("link", name="Deletion certificate").click()
    expect(page.get_by_text("4 finished headshots")).to_be_visible()
    assert_accessible(page)
    wait_for(page, lambda: len(mails(product)) == 1, 20, "the mailed certificate")

    # Be forgotten: a wrong password first, then the right one, clicked twice.
    page.goto(f"{product.url}/account/delete/")
    assert_accessible(page)
    page.fill("input[name=password]", "not it")
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_text("That password is incorrect")).to_be_visible()
    assert_accessible(page)
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Delete my account").dblclick(no_wait_after=True)
    page.wait_for_url("**/retention/certificates/**")
    wait_for(page, lambda: page.reload() is not None and "been deleted" in page.inner_text("h1"), 90, "the end")
    assert_accessible(page)

    # What is left of it.
    for table in ("accounts_user", "accounts_session", "account_emailaddress", "vault_blob", "shoots_photo"):
        assert product.query(f"select count(*) from {table}") == [(0,)], table  # noqa: S608
    keys = [path for ring in (product.photo_keys, product.headshot_keys) for path in ring.rglob("*.key")]
    blobs = [path for path in (product.data / "blobs").rglob("*") if path.is_file()]
    assert (keys, blobs) == ([], [])
    database = b"".join(path.read_bytes() for path in product.data.glob("db.sqlite3*"))
    assert email.encode() not in database
    withdrawn, deleted = mails(product)
    assert "Your account has been deleted" in deleted
    assert "Your photos and headshots have been deleted" in withdrawn
    assert not page.context.cookies()
    page.goto(first)
    expect(page.get_by_text("Page not found")).to_be_visible()
    everything_printed = "".join(product.output)
    assert email not in everything_printed
    assert "Traceback" not in everything_printed
