"""The upload page in a real browser when something goes wrong: the photos stay chosen, and the page says what it is."""

import io
import re
from pathlib import Path
from uuid import uuid4

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.chaos.visitor import PASSWORD, Visitor
from tests.helpers import photos
from tests.helpers.accessibility import assert_accessible
from tests.helpers.product import Product

NEW = re.compile(r"/shoots/new/$")
SHOOT = re.compile(r"/shoots/[0-9a-f-]{36}/$")


@pytest.fixture(scope="module")
def product(shared_product: Product) -> Product:
    return shared_product


@pytest.fixture(scope="module")
def account(product: Product) -> str:
    """The e-mail address of an account."""
    email = f"ada.{uuid4().hex[:12]}@example.org"
    Visitor(product.url).sign_up(email)
    return email


@pytest.fixture
def form(page: Page, product: Product, account: str) -> Page:
    """The upload page of somebody who is signed in."""
    page.goto(f"{product.url}/accounts/login/?next=/shoots/new/")
    sign_in(page, account)
    expect(page).to_have_url(NEW)
    return page


def sign_in(page: Page, account: str) -> None:
    page.fill("input[name=login]", account)
    page.fill("input[name=password]", PASSWORD)
    page.locator("form:has(input[name=password]) button[type=submit]").click()


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("input[name=photos]", list(files))


def agree(page: Page) -> None:
    page.check("input[name=consent]")
    page.check("input[name=is_me]")


def button(page: Page) -> Locator:
    return page.locator("form[data-upload] button[type=submit]")


def words(page: Page) -> Locator:
    return page.locator("form[data-upload] .errorlist:visible").first


def tiles(page: Page) -> Locator:
    return page.locator("[data-previews] li")


def sent_files(page: Page) -> int:
    """How many files the form would send."""
    count: int = page.locator("input[name=photos]").evaluate("input => input.files.length")
    return count


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "IMG_0001"
    path.write_bytes(photos.astronaut_path().read_bytes())
    return path


class Line:
    """The way to the server, which a test can make slow or cut."""

    def __init__(self, page: Page) -> None:
        self.client = page.context.new_cdp_session(page)
        self.client.send("Network.enable")

    def set(self, *, bytes_per_second: int = -1, is_cut: bool = False) -> None:
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
        self.client.send("Network.emulateNetworkConditions", speed | {"offline": is_cut})


def test_a_photo_of_any_name_goes_to_the_server_and_back_leads_to_a_form_that_works(
    form: Page, photo: Path, tmp_path: Path
) -> None:
    camera = tmp_path / "DSC00123.HIF"
    pillow_heif.register_heif_opener()
    Image.open(io.BytesIO(photo.read_bytes())).save(camera, "HEIF")
    (tmp_path / "empty.jpg").touch()
    twins = [tmp_path / folder / "image.jpg" for folder in ("one", "two")]
    for number, twin in enumerate(twins):
        twin.parent.mkdir()
        twin.write_bytes(photo.read_bytes() + bytes(number))

    choose(form, camera, photo, tmp_path / "empty.jpg", *twins)
    expect(words(form)).to_have_text("“empty.jpg” is empty. This file wasn’t added.")
    expect(tiles(form)).to_have_count(4)
    choose(form, photo)
    expect(tiles(form)).to_have_count(4)
    agree(form)
    button(form).dblclick()
    expect(form).to_have_url(SHOOT, timeout=60_000)

    form.go_back()
    expect(form).to_have_url(NEW)
    expect(button(form)).to_be_enabled()
    expect(tiles(form)).to_have_count(sent_files(form))


def test_names_from_right_to_left_and_long_ones_fit_a_telephone(form: Page, photo: Path, tmp_path: Path) -> None:
    names = ["صورة شخصية.jpg", "photo\u202egpj.exe", "x" * 240 + ".heic"]
    for name in names:
        (tmp_path / name).write_bytes(b"not a photo" * len(name))
    form.set_viewport_size({"width": 390, "height": 844})

    choose(form, *(tmp_path / name for name in names), photo)
    expect(tiles(form)).to_have_count(4)

    assert form.locator("html").evaluate("page => page.scrollWidth") == 390
    (tmp_path / names[2]).unlink()
    agree(form)
    button(form).click()
    expect(words(form)).to_contain_text("was changed, moved or deleted after you chose it. Please choose it again.")
    expect(words(form).locator("bdi")).to_have_text(names[2])
    assert form.locator("html").evaluate("page => page.scrollWidth") == 390
    assert sent_files(form) == 3


def test_what_the_server_refuses_is_said_beside_the_photos_which_stay_chosen(
    form: Page, photo: Path, tmp_path: Path
) -> None:
    document = tmp_path / "notes.pdf"
    document.write_bytes(b"%PDF-1.4")
    choose(form, document, photo)
    agree(form)

    button(form).click()

    expect(words(form)).to_contain_text("We can't use photo 1")
    expect(tiles(form)).to_have_count(2)
    assert sent_files(form) == 2
    assert form.is_checked("input[name=consent]")
    assert_accessible(form)
    form.get_by_label("Remove notes.pdf").click()
    button(form).click()
    expect(form).to_have_url(SHOOT, timeout=60_000)


def test_an_upload_that_is_stopped_halfway_can_be_sent_again(form: Page, photo: Path) -> None:
    line = Line(form)
    with photo.open("ab") as file:
        file.write(bytes(2_000_000))
    choose(form, photo)
    agree(form)

    def send_slowly() -> None:
        line.set(bytes_per_second=20_000)
        button(form).click()
        expect(button(form)).to_be_disabled()

    def assert_usable(said: str) -> None:
        expect(words(form)).to_contain_text(said)
        expect(button(form)).to_be_enabled()
        assert sent_files(form) == 1

    send_slowly()
    form.get_by_role("button", name="Stop upload").click()
    assert_usable("Upload stopped.")

    send_slowly()
    # What the browser's own button does.
    line.client.send("Page.stopLoading")
    assert_usable("The upload was interrupted.")

    send_slowly()
    line.set(is_cut=True)
    assert_usable("The upload was interrupted.")

    line.set()
    before = form.input_value("input[name=submission]")
    form.route(NEW, lambda route: route.fulfill(status=502, body="Bad gateway", content_type="text/plain"))
    button(form).click()
    assert_usable("The upload was interrupted.")

    form.unroute(NEW)
    # The same upload again leads to the shoot that it may have made; other photos are another upload.
    assert form.input_value("input[name=submission]") == before
    form.get_by_label("Remove IMG_0001").click()
    choose(form, photo)
    assert form.input_value("input[name=submission]") != before
    button(form).click()
    expect(form).to_have_url(SHOOT, timeout=60_000)


def test_photos_stay_chosen_when_the_server_has_no_room_and_no_form_to_answer_with(form: Page, photo: Path) -> None:
    def refuse(route: Route) -> None:
        # What `headshots/web/unavailable.py` sends, without Django and its forms.
        page = "<title>We’re too busy right now</title><main>We’re too busy right now</main>"
        route.fulfill(status=503, content_type="text/html", headers={"Retry-After": "5"}, body=page)

    choose(form, photo)
    agree(form)
    form.route(NEW, refuse)
    button(form).click()

    expect(words(form)).to_contain_text("Your photos are still selected")
    expect(button(form)).to_be_enabled()
    form.unroute(NEW)
    button(form).click()
    expect(form).to_have_url(SHOOT, timeout=30_000)


def test_photos_outlive_another_session_and_a_drop_beside_the_field(
    form: Page, product: Product, account: str, photo: Path, tmp_path: Path
) -> None:
    crowd = [tmp_path / f"{number}.jpg" for number in range(7)]
    for path in crowd:
        path.write_bytes(photo.read_bytes())
    client = form.context.new_cdp_session(form)
    dropped = {"items": [], "files": [str(tmp_path), str(photo)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        client.send("Input.dispatchDragEvent", {"type": kind, "x": 20, "y": 500, "data": dropped})
    expect(words(form)).to_contain_text("If it’s a folder, please choose the photos in it. This file wasn’t added.")
    expect(tiles(form)).to_have_count(1)
    choose(form, *crowd)
    expect(words(form)).to_have_text("You can upload up to 5 photos. 3 weren’t added.")
    for _ in range(4):
        form.get_by_label(re.compile("Remove .*jpg")).first.click()
    agree(form)

    form.context.clear_cookies()
    other = form.context.new_page()
    other.goto(f"{product.url}/accounts/login/")
    sign_in(other, account)
    expect(other).to_have_url(NEW)
    button(form).click()

    expect(words(form)).to_contain_text("Your photos are still selected. Please upload them again.")
    assert sent_files(form) == 1
    button(form).click()
    expect(form).to_have_url(SHOOT, timeout=60_000)


@pytest.mark.parametrize("scripts", [True, False])
def test_after_the_session_ended_both_pages_say_that_nothing_was_kept(
    chromium: Browser, product: Product, account: str, photo: Path, scripts: bool
) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(f"{product.url}/accounts/login/?next=/shoots/new/")
    sign_in(page, account)
    # As large as photos are: the server does not take it in without a session.
    with photo.open("ab") as file:
        file.write(bytes(8_000_000))
    choose(page, photo)
    agree(page)
    before = product.query("select count(*) from shoots_shoot")
    context.clear_cookies()

    button(page).click()
    sentence = "Your upload wasn’t saved. You were signed out before it arrived."
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text(sentence)
    sign_in(page, account)

    expect(page).to_have_url(re.compile(r"/shoots/new/\?unsent=1$"))
    expect(page.get_by_role("status").filter(has_text=sentence)).to_be_visible()
    assert product.query("select count(*) from shoots_shoot") == before
    context.close()
