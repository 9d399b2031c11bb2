"""A person's rights in a real browser: see, take along, withdraw, be forgotten; every page for everybody to use."""

import io
import json
import zipfile
from uuid import UUID

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import PASSWORD, shoot_id, shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.accessibility import assert_accessible
from tests.helpers.product import Product

PACKS = "select id from shoots_pack where shoot_id = ?"
BLOBS = "select id from vault_blob where key_id = ?"


def mails(product: Product, email: str) -> list[str]:
    """What was written to this address, in order."""
    written = [path.read_text() for path in sorted((product.data / "mail").glob("*.log"))]
    return [mail for mail in written if email in mail]


def test_a_person_sees_takes_along_withdraws_and_is_forgotten(shared_product: Product, page: Page) -> None:
    product, lines_before = shared_product, len(shared_product.output)
    for address in ("retention", "privacy", "terms", "abuse"):
        page.goto(f"{product.url}/{address}/")
        assert_accessible(page)
    email = sign_up(page, product)
    addresses = []
    for _ in range(2):
        page.goto(f"{product.url}/shoots/new/")
        addresses.append(upload(page, photos.astronaut_path()))
    for address in addresses:
        page.goto(address)
        wait_for(page, lambda: shown_headshots(page) == 4, 60, "four headshots")
    first, second = addresses
    shoots = [shoot_id(address) for address in addresses]
    packs = [str(pack) for shoot in shoots for (pack,) in product.query(PACKS, shoot)]
    ((account,),) = product.query("select id from accounts_user where email = ?", email)
    results = "select id from vault_blob where ring = 'result' and key_id in (?, ?)"
    names = {str(UUID(str(blob))) for key in shoots + packs for (blob,) in product.query(BLOBS, key)}
    assert len(packs) == 2
    assert len(names) == 12  # two photos with their faces, and eight headshots
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
    assert len(product.query(results, *packs)) == 4
    page.goto(second)
    page.get_by_role("link", name="Deletion certificate").click()
    expect(page.get_by_text("4 finished headshots")).to_be_visible()
    assert_accessible(page)
    wait_for(page, lambda: len(mails(product, email)) == 1, 20, "the mailed certificate")

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
    for table, column in (("user", "id"), ("session", "account_id")):
        assert product.query(f"select * from accounts_{table} where {column} = ?", account) == [], table  # noqa: S608
    assert product.query("select * from account_emailaddress where email = ?", email) == []
    for key in shoots + packs:
        assert product.query(BLOBS, key) == product.query("select id from shoots_photo where shoot_id = ?", key) == []
    assert product.keys_of(*shoots, *packs) == []
    assert not [path for path in (product.data / "blobs").rglob("*") if path.name.startswith(tuple(names))]
    database = b"".join(path.read_bytes() for path in product.data.glob("db.sqlite3*"))
    assert email.encode() not in database
    withdrawn, deleted = mails(product, email)
    assert "Your account has been deleted" in deleted
    assert "Your photos and headshots have been deleted" in withdrawn
    assert not page.context.cookies()
    page.goto(first)
    expect(page.get_by_text("Page not found")).to_be_visible()
    everything_printed = "".join(product.output[lines_before:])
    assert email not in everything_printed
    assert "Traceback" not in everything_printed
