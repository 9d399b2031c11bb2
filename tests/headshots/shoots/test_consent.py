"""The texts a person agrees to: never edited, asked again when they change, and stored in the version that was read."""

import hashlib
import io
from pathlib import Path

import pytest
from django.test import Client

from headshots.accounts.models import User
from headshots.shoots import consent
from headshots.shoots.consent import TEXTS, changes_since, current
from headshots.shoots.models import Consent, Shoot
from tests.helpers import photos
from tests.helpers.factories import make_shoot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

# A text that somebody may have agreed to is never edited: a new one gets a new file and a new line here.
RELEASED = {
    "begin_now.2026-12-01.txt": "9124cddb48b6535a",
    "consent.2026-11-21.txt": "fe0440d8ea944557",
    "consent.2026-11-25.txt": "8383b6c2fe48fb46",
    "consent.2026-11-30.txt": "bd2cd5c94a5195e1",
    "is_me.2026-11-21.txt": "b60b766e2563a4b2",
}


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


def upload(browser: Client, **form: str) -> "object":
    file = io.BytesIO(photos.astronaut_path().read_bytes())
    file.name = "IMG_1.jpg"
    return browser.post("/shoots/new/", {"photos": file, "consent": "on", "is_me": "on", **form})


def versions() -> dict[str, str]:
    return {"consent": current("consent").version, "is_me": current("is_me").version}


def test_a_released_text_is_never_edited() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in TEXTS.glob("*.txt")}

    assert found == RELEASED


def test_the_attestation_is_about_the_person_and_their_age() -> None:
    text = current("is_me").text

    assert "This is me" in text
    assert "18 or older" in text


def test_the_boxes_carry_the_versions_of_the_texts_beside_them(browser: Client) -> None:
    page = browser.get("/shoots/new/").content.decode()

    for name, version in versions().items():
        assert f'name="{name}" id="id_{name}" value="{version}"' in page


def test_what_is_stored_is_the_version_that_was_read(browser: Client) -> None:
    assert upload(browser, **versions()).status_code == 302

    given = Consent.objects.get()
    assert {"consent": given.consent_version, "is_me": given.is_me_version} == versions()


@pytest.mark.parametrize("name", ["consent", "is_me"])
def test_a_box_ticked_beside_an_older_text_is_refused_and_asks_to_read_again(browser: Client, name: str) -> None:
    response = upload(browser, **{**versions(), name: "2026-01-01"})

    page = response.content.decode()
    assert response.status_code == 422
    assert "This text has changed since you opened the page" in page
    assert not Shoot.objects.exists()
    # To be ticked anew.
    box = page.split(f'name="{name}"')[1].split(">")[0]
    assert "checked" not in box


@pytest.mark.parametrize("nothing", ["", "false"])
def test_an_empty_box_is_no_consent(browser: Client, nothing: str) -> None:
    assert upload(browser, consent=nothing).status_code == 422
    assert not Shoot.objects.exists()


def test_the_consent_names_biometric_data_one_purpose_the_end_and_the_way_out() -> None:
    text = current("consent").text

    for words in (
        "face embedding, which is biometric data",
        "only purpose is to make headshots of me and to check that they look like me",
        "Embeddings of other people exist only in memory",
        "permanently deleted within 24 hours of the upload",
        "never used for training and never shared",
        "withdraw this consent at any time",
    ):
        assert words in text


@pytest.mark.parametrize("version", ["2026-11-21", "2026-11-25"])
def test_who_agreed_to_an_older_text_is_shown_what_is_new(browser: Client, person: User, version: str) -> None:
    make_shoot(person)
    Consent.objects.update(consent_version=version)

    page = browser.get("/shoots/new/").content.decode()

    assert "Our consent text has changed" in page
    assert "<li>If I pick my face first, embeddings of other people are not computed at all.</li>" in page


def test_who_agreed_to_todays_text_is_told_of_no_change(browser: Client, person: User) -> None:
    assert "has changed" not in browser.get("/shoots/new/").content.decode()

    make_shoot(person)

    assert "has changed" not in browser.get("/shoots/new/").content.decode()


def test_a_new_file_is_all_that_a_new_text_takes(
    browser: Client, person: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shoot(person)
    for path in TEXTS.glob("*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "consent.2027-01-02.txt").write_text("I agree to something else.\n")
    monkeypatch.setattr(consent, "TEXTS", tmp_path)
    current.cache_clear()
    try:
        page = browser.get("/shoots/new/").content.decode()
    finally:
        current.cache_clear()

    assert "I agree to something else." in page
    assert "Our consent text has changed" in page


def test_changes_are_told_by_the_sentence() -> None:
    changes = changes_since("consent", "2026-11-21")

    assert changes
    assert any("Embeddings of other people" in sentence for sentence in changes.added)
    assert any("Other faces in my photos are looked at only" in sentence for sentence in changes.removed)
    assert changes_since("consent", current("consent").version) is None
