"""The main job in a real browser, with real workers: sign up, upload, four headshots, ZIP, gone."""

import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from PIL import Image, UnidentifiedImageError
from playwright.sync_api import Browser, Page, Route, expect

from tests.helpers import photos
from tests.helpers.product import Product

PASSWORD = "a long enough pass phrase"
TIMEOUT_MS = 90_000


def sign_up(page: Page, product: Product) -> str:
    """Return an email address that no other account has."""
    email = f"grace.{uuid4().hex[:12]}@example.org"
    page.goto(f"{product.url}/accounts/signup/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password1]", PASSWORD)
    page.locator("form:has(input[name=password1]) button[type=submit]").click()
    page.wait_for_url("**/shoots/new/")
    return email


def upload(page: Page, path: Path | Sequence[Path]) -> str:
    """The address of the new shoot."""
    page.set_input_files("input[name=photos]", path)
    page.check("input[name=consent]")
    page.check("input[name=is_me]")
    page.locator("form:has(input[name=photos]) button[type=submit]").click()
    page.wait_for_url(lambda url: "/shoots/" in url and not url.endswith("/new/"), timeout=TIMEOUT_MS)
    return page.url


def shoot_id(address: str) -> str:
    """The id of a shoot, as the database writes it, by the address of its page."""
    return UUID(address.rstrip("/").rpartition("/")[2]).hex


def shown_headshots(page: Page) -> int:
    """How many headshots the page shows that really are pictures."""
    return page.locator("img[src*='/headshots/']").evaluate_all(
        "images => images.filter(image => image.complete && image.naturalWidth > 500).length"
    )


def headshot_ids(page: Page) -> list[str]:
    ids: list[str] = page.locator("li[id^='headshot-']").evaluate_all("items => items.map(item => item.id)")
    return ids


def turn_around(route: Route) -> None:
    """Answer with the page's headshots in the opposite order."""
    response = route.fetch()
    items = re.findall(r'<li id="headshot-.*?</li>', response.text(), re.S)
    backwards = iter(items[::-1])
    route.fulfill(
        response=response,
        body=re.sub(r'<li id="headshot-.*?</li>', lambda _: next(backwards), response.text(), flags=re.S),
    )


def wait_for(page: Page, condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait, while the page goes on, until the condition holds."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"waited {seconds} s for {what}")
        page.wait_for_timeout(100)


class DiskWatch:
    """Looks at every file below the data folder, again and again, for pictures and for the upload's bytes."""

    def __init__(self, folder: Path, upload: bytes) -> None:
        self._folder = folder
        self._upload = upload
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._known: set[tuple[Path, int, int]] = set()
        self.looks = 0
        self.found: list[str] = []

    def __enter__(self) -> "DiskWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            for file in self._folder.rglob("*"):
                self._look_at(file)
            self.looks += 1

    def _look_at(self, file: Path) -> None:
        try:
            state = file.stat()
            # What has not changed since it was read is not read again.
            if (known := (file, state.st_mtime_ns, state.st_size)) in self._known:
                return
            data = file.read_bytes()
        except OSError:
            return  # a folder, a socket, or gone meanwhile
        # Not what was just written: more could come at the same time by the file system's clock.
        if time.time() - state.st_mtime > 1:
            self._known.add(known)
        if any(piece in data for piece in (self._upload[1000:1064], self._upload[-1064:-1000])):
            self.found.append(f"{file.name} holds bytes of the upload")
        try:
            with Image.open(io.BytesIO(data)) as image:
                self.found.append(f"{file.name} decodes as {image.format}")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            return


def test_from_sign_up_to_zip(shared_product: Product, page: Page) -> None:
    product, lines_before = shared_product, len(shared_product.output)
    source = photos.obama_path()
    email = sign_up(page, product)

    with DiskWatch(product.data, source.read_bytes()) as watch:
        begun = time.monotonic()
        address = upload(page, source)
        wait_for(page, lambda: shown_headshots(page) == 4, 60, "four headshots")
        seconds = time.monotonic() - begun
    print(f"upload to four headshots: {seconds:.1f} s")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("This is my own photo.")

    with page.expect_download() as download:
        page.locator("a[href$='download.zip']").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        pictures = [name for name in archive.namelist() if name.endswith(".jpg")]
        sizes = [Image.open(io.BytesIO(archive.read(name))).size for name in pictures]
    assert sizes == [(896, 1120)] * 4
    body = json.loads(page.request.get(f"{address}status.json").text())
    assert body["packs"][0]["status"] == "delivered"
    assert watch.looks > 3
    assert not watch.found
    printed = "".join(product.output[lines_before:])
    assert email not in printed
    assert "Traceback" not in printed


def test_the_page_works_when_the_live_channel_is_cut(shared_product: Product, page: Page) -> None:
    page.route("**/events/", lambda route: route.abort())
    sign_up(page, shared_product)

    upload(page, photos.astronaut_path())

    wait_for(page, lambda: shown_headshots(page) == 4, 60, "four headshots by polling")
    shown = headshot_ids(page)
    page.route("**/progress/", turn_around)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    # A delivered pack shows its best first: another order, and nothing twice.
    wait_for(page, lambda: headshot_ids(page) == shown[::-1], 10, "the other order")


def test_two_people_the_picker_and_deleting_everything(shared_product: Product, page: Page, tmp_path: Path) -> None:
    product = shared_product
    both = tmp_path / "both.jpg"
    both.write_bytes(photos.encode(photos.two_people()))
    sign_up(page, product)
    address = upload(page, both)

    page.locator("input[name^='face-']").first.wait_for(timeout=TIMEOUT_MS)
    page.locator("input[name^='face-']").nth(1).check(force=True)
    page.locator("form#question button[type=submit]").click()
    wait_for(page, lambda: shown_headshots(page) == 4, 60, "four headshots of the chosen face")
    # From now on the page exchanges nothing, not even under a click.
    expect(page.locator("#sentence")).to_have_text("Your headshots are ready.", timeout=20_000)
    shoot = shoot_id(address)
    ((pack,),) = product.query("select id from shoots_pack where shoot_id = ?", shoot)
    blobs = "select ring, kind from vault_blob where key_id in (?, ?)"
    assert product.query(blobs, shoot, pack).count(("result", "headshot")) == 4
    assert len(product.keys_of(shoot, str(pack))) == 2
    page.locator("a[href$='/delete/'], form[action$='/delete/'] button").first.click()
    page.locator("form[action$='/delete/'] button, main form button[type=submit]").first.click()

    wait_for(page, lambda: _status(page, address) == "purged", 30, "the purge")
    page.goto(address)
    expect(page.locator("img[src*='/headshots/']")).to_have_count(0)
    assert product.query(blobs, shoot, pack) == []
    assert product.keys_of(shoot, str(pack)) == []


def test_beat_alone_forgets_the_photo(start_product: Callable[..., Product], page: Page) -> None:
    # Long enough for a headshot on a busy machine, and short enough for beat to look every few seconds.
    product = start_product(HEADSHOTS_PHOTO_TTL_SECONDS="120", HEADSHOTS_PREVIEW_COUNT="1")
    page.clock.install()
    sign_up(page, product)
    address = upload(page, photos.astronaut_path())
    wait_for(page, lambda: shown_headshots(page) == 1, 60, "the headshot")
    blobs_with_photo = product.query("select count(*) from vault_blob where ring = 'source'")[0][0]

    # The time passes at once: the photos were to live until now.
    ((created, due),) = product.query("select created_at, delete_after from shoots_shoot")
    life = datetime.fromisoformat(str(due)) - datetime.fromisoformat(str(created))
    # Counted from when the request came in, a little before the row was made.
    assert timedelta(seconds=110) < life <= timedelta(seconds=120)
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    assert product.change("update shoots_shoot set delete_after = min(?, delete_after)", now) == 1
    wait_for(page, lambda: _status(page, address) == "purged", 60, "the purge by beat")

    keys = list(product.photo_keys.rglob("*.key*"))
    files = [file for file in (product.data / "blobs").rglob("*") if file.is_file()]
    assert product.query("select count(*) from shoots_photo") == [(0,)]
    assert product.query("select count(*) from vault_blob where ring = 'source'") == [(0,)]
    assert not keys
    assert len(files) == 1  # the headshot, which lives on under its own key
    assert blobs_with_photo in (0, 2)  # photo and faces, unless the purge was quicker than this look
    # The page that was left open says so by itself, within the twenty seconds after which it asks again.
    page.clock.fast_forward(20_000)
    expect(page.get_by_text("Your photos have been deleted")).to_be_visible(timeout=20_000)
    assert shown_headshots(page) == 1


def _status(page: Page, address: str) -> str:
    return str(json.loads(page.request.get(f"{address}status.json").text())["status"])


def test_the_upload_page_fits_a_telephone_without_scripts(shared_product: Product, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 900}, java_script_enabled=False)
    page = context.new_page()

    sign_up(page, shared_product)

    widths = page.locator("html").evaluate("page => [page.scrollWidth, page.clientWidth]")
    assert widths == [390, 390]
    page.set_input_files("input[name=photos]", photos.astronaut_path())
    assert page.locator("html").evaluate("page => page.scrollWidth") == 390
    context.close()
