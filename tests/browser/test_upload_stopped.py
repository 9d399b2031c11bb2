"""The script of the upload form, before a server that only exists in the test and does not answer as it should."""

from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from headshots.payments.models import Credit
from headshots.payments.templatetags import purchase
from headshots.shoots.consent import current
from headshots.shoots.uploads.forms import NewShootForm
from tests.browser.test_upload import agree, button, choose, sent_files, words

STATIC = Path(__file__).resolve().parents[2] / "static"
SITE = "http://upload.test/shoots/new/"


@pytest.fixture
def uploads(page: Page, monkeypatch: pytest.MonkeyPatch) -> list[Route]:
    """Opens the form. The uploads that the page has sent, which nobody has answered yet."""
    monkeypatch.setattr(purchase, "open_credits", lambda user: Credit.objects.none())
    context = {
        "form": NewShootForm(initial={"submission": uuid4()}),
        "previews_left": 1,
        "max_photos": 5,
        "max_photo_bytes": 1_000_000,
        "consent_text": current("consent"),
        "is_me_text": current("is_me"),
        "request": SimpleNamespace(user=None),
    }
    html = render_to_string("shoots/new.html", context)
    sent: list[Route] = []

    def answer(route: Route) -> None:
        name = Path(urlsplit(route.request.url).path).name
        if route.request.method == "POST":
            sent.append(route)
        elif name.endswith(".js"):
            route.fulfill(path=STATIC / name)
        elif route.request.url == SITE:
            route.fulfill(content_type="text/html", body=html)
        else:
            route.fulfill(status=204)

    page.route("http://upload.test/**", answer)
    page.goto(SITE)
    return sent


def test_an_upload_that_does_not_arrive_can_be_sent_again(page: Page, uploads: list[Route], tmp_path: Path) -> None:
    photo = tmp_path / "IMG_0001"
    photo.write_bytes(b"a photo")
    choose(page, photo)
    agree(page)
    submission = page.input_value("input[name=submission]")

    def send() -> Route:
        button(page).click()
        expect(button(page)).to_be_disabled()
        while not uploads:
            page.wait_for_timeout(10)
        return uploads.pop()

    def assert_usable(said: str) -> None:
        expect(words(page)).to_contain_text(f"{said} Your photos are still selected.")
        expect(button(page)).to_be_enabled()
        assert sent_files(page) == 1
        # The same upload again leads to the shoot that it may have made.
        assert page.input_value("input[name=submission]") == submission

    send()
    page.get_by_role("button", name="Stop upload").click()
    assert_usable("Upload stopped.")

    send()
    # What the browser's own button does.
    page.context.new_cdp_session(page).send("Page.stopLoading")
    assert_usable("The upload was interrupted.")

    send().abort("connectionreset")
    assert_usable("The upload was interrupted.")

    send().fulfill(status=502, body="Bad gateway", content_type="text/plain")
    assert_usable("The upload was interrupted.")

    send().fulfill(
        status=503, body="<main>We’re too busy</main>", content_type="text/html", headers={"Retry-After": "5"}
    )
    assert_usable("We’re too busy right now.")

    # Other photos are another upload.
    page.get_by_label("Remove IMG_0001").click()
    choose(page, photo)
    assert page.input_value("input[name=submission]") != submission
