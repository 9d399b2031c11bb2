"""Customers are told which pictures AI modified and which it generated: on the page, in the ZIP and in the email."""

import io
import zipfile

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.mail import EmailMessage
from django.test import AsyncClient, Client

from headshots.accounts.models import User
from headshots.engine import DigitalSource, Provenance
from headshots.shoots.delivery.disclosure import DISCLOSURES, disclosure_of, zip_readme
from headshots.shoots.delivery.mails import send_delivery_mail
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack
from tests.helpers.factories import make_delivered, make_preview

MODIFIED = ("AI modified", "Your face, hair and clothes are from your own photo.", "This is my own photo.")
GENERATED = ("AI generated", "An AI model drew these pictures", "generated with AI from my own photo")
BY_ENGINE = pytest.mark.parametrize(
    ("engine", "words", "others"), [("studio", MODIFIED, GENERATED), ("instantid", GENERATED, MODIFIED)]
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


def make_pack(owner: User, engine: str) -> Pack:
    """A delivered pack of this engine."""
    pack = make_delivered(owner)
    Pack.objects.filter(pk=pack.pk).update(engine=engine, mail_due=True)
    pack.refresh_from_db()
    return pack


@BY_ENGINE
def test_the_page_says_what_ai_did_and_offers_words_for_a_profile(
    person: User, client: Client, engine: str, words: tuple[str, ...], others: tuple[str, ...]
) -> None:
    pack = make_pack(person, engine)
    client.force_login(person)

    page = client.get(pack.shoot.get_absolute_url()).content.decode()

    assert all(each in page for each in words)
    assert not any(each in page for each in others)
    assert page.index(words[0]) < page.index('<ul id="pack-')
    assert f'id="pack-{pack.pk}-profile-words">{disclosure_of(engine).profile}</span>' in page


def test_nothing_is_said_about_pictures_that_are_not_shown(person: User, client: Client) -> None:
    pack = make_preview(person)
    advance(pack, Pack.State.CANCELED)
    client.force_login(person)

    assert "AI modified" not in client.get(pack.shoot.get_absolute_url()).content.decode()


@BY_ENGINE
def test_the_email_says_it_too(
    person: User, mailoutbox: list[EmailMessage], engine: str, words: tuple[str, ...], others: tuple[str, ...]
) -> None:
    assert send_delivery_mail(pack=make_pack(person, engine))

    (mail,) = mailoutbox
    assert all(each in mail.body for each in words)
    assert not any(each in mail.body for each in others)
    assert "&" not in mail.body


async def _download(person: User, pack: Pack) -> bytes:
    browser = AsyncClient()
    await browser.aforce_login(person)
    response = await browser.get(f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip")
    return b"".join([chunk async for chunk in response.streaming_content])


@BY_ENGINE
def test_the_zip_explains_its_pictures(
    person: User, settings: LazySettings, engine: str, words: tuple[str, ...], others: tuple[str, ...]
) -> None:
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"
    pack = make_pack(person, engine)

    with zipfile.ZipFile(io.BytesIO(async_to_sync(_download)(person, pack))) as files:
        text = files.read("README.txt").decode()

    assert all(each in text for each in words[1:])
    assert not any(each in text for each in others[1:])
    assert max(map(len, text.splitlines())) <= 76
    assert text.startswith(f"YOUR HEADSHOTS: {words[0].upper()}")
    assert "https://headshots.example.org/verify/" in text
    assert ("\ntrainedAlgorithmicMedia." in text) == (engine == "instantid")
    assert "full/" not in text
    assert "&" not in text


def test_the_readme_of_a_paid_pack_explains_its_folders(person: User) -> None:
    text = zip_readme(make_pack(person, "studio"), has_versions=True)

    assert all(f"\n{folder}/" in text for folder in ("full", "web", "profile"))
    assert "files in full/ are signed" in text


def test_every_digital_source_type_has_words() -> None:
    assert set(DISCLOSURES) == set(DigitalSource)
    assert {words.label for words in DISCLOSURES.values()} == {"AI generated", "AI modified"}


@pytest.mark.parametrize(
    ("provenance", "words"),
    [
        (Provenance("trainedAlgorithmicMedia", None, None), "<strong>AI generated.</strong>"),
        (Provenance("composite", None, None), "<strong>AI modified.</strong>"),
        (Provenance("digitalCapture", None, None), "“digitalCapture” in IPTC"),
        (Provenance(None, None, "instantid"), "was made here and is AI generated"),
        (Provenance(None, None, "studio"), "was made here and is AI modified"),
    ],
)
def test_verification_uses_the_same_labels(
    client: Client, monkeypatch: pytest.MonkeyPatch, provenance: Provenance, words: str
) -> None:
    monkeypatch.setattr("headshots.engine.read_provenance", lambda data: provenance)

    response = client.post("/verify/", {"picture": SimpleUploadedFile("picture.jpg", b"read by the test")})

    assert words in " ".join(response.content.decode().split())
