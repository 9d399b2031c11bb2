"""What the public pages promise: the numbers that are in force, and who answers for them."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone

from headshots import engine
from headshots.pages.views import BUILT_IN_MAX_DISTANCE
from headshots.retention.orphans import MAIL_FILE_RETENTION
from headshots.runtime.operator import OperatorDetails
from headshots.urls import urlpatterns
from headshots.vault.models import Blob
from pipeline.identity.likeness import ACCEPT_DISTANCE
from pipeline.imaging.skin import MAX_DARKEN, MAX_LIGHTEN
from tests.helpers.factories import make_shoot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

PUBLIC = ["/retention/", "/privacy/", "/terms/", "/abuse/"]


def read(client: Client, address: str) -> str:
    """The words of a page, one blank between any two."""
    page = client.get(address).content.decode().split("<main", 1)[1].split("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def use_generative_engine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Serve this public page as an installation does whose engine creates new pictures."""
    patterns = [each for outer in urlpatterns for each in getattr(outer, "url_patterns", [outer])]
    (page,) = [each for each in patterns if getattr(each, "name", "") == name]
    assert page.default_args["is_generative"] is engine.uses_generative_engine
    monkeypatch.setitem(page.default_args, "is_generative", lambda: True)


def row(client: Client, start: str) -> str:
    """The row of the schedule that begins with these words."""
    page = client.get("/retention/").content.decode()
    rows = [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in page.split("<tr>")[1:]]
    (found,) = [one for one in rows if one.startswith(start)]
    return found


def test_every_public_page_is_in_the_footer(client: Client) -> None:
    footer = client.get("/").content.decode().split("<footer")[1]

    assert all(f'href="{address}"' in footer for address in PUBLIC)


def test_the_imprint_names_the_operator_and_is_linked_only_if_there_is_a_name(
    client: Client, settings: LazySettings
) -> None:
    settings.HEADSHOTS_SUPPORT_EMAIL = "support@example.org"
    settings.HEADSHOTS_OPERATOR_DETAILS = OperatorDetails(
        "1 Some Street, Sometown", "Norway", register="VAT ID NO123", disputes="We take part in no dispute resolution."
    )
    assert "/imprint/" not in client.get("/").content.decode()
    assert client.get("/imprint/").status_code == 404

    settings.HEADSHOTS_OPERATOR = "Example Ltd"

    assert 'href="/imprint/"' in client.get("/").content.decode().split("<footer")[1]
    words = read(client, "/imprint/")
    assert "Example Ltd 1 Some Street, Sometown Norway Email: support@example.org VAT ID NO123" in words
    assert "We take part in no dispute resolution." in words


# The schedule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "start", "words"),
    [
        ("HEADSHOTS_PHOTO_TTL_SECONDS", 7200, "Your photos, without", "2 hours"),
        ("HEADSHOTS_HEADSHOT_RETENTION_DAYS", 12, "Your finished headshots", "12 days"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "Your consent", "2 years"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "Events and their times", "2 years"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "Deletion certificates", "2 years"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "Your account", "2 years"),
        ("SESSION_COOKIE_AGE", 5 * 86_400, "Your sign-ins", "5 days"),
        ("HEADSHOTS_BACKUP_DAYS", 14, "Backups", "14 days"),
    ],
)
def test_the_schedule_says_what_the_settings_do(
    client: Client, settings: LazySettings, setting: str, value: int, start: str, words: str
) -> None:
    setattr(settings, setting, value)

    assert words in row(client, start)


def test_backups_of_keys_are_told_apart(client: Client, settings: LazySettings) -> None:
    assert "We don’t keep backups" in read(client, "/retention/")

    settings.HEADSHOTS_BACKUP_DAYS = 14
    assert "We don’t back up the keys of finished headshots either" in row(client, "Backups")

    settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS = 6
    assert "We back up the keys of finished headshots separately, for 6 days" in row(client, "Backups")


def test_mails_are_on_the_schedule_where_they_are_files(client: Client, settings: LazySettings) -> None:
    settings.EMAIL_FILE_PATH = "/somewhere"
    assert timedelta(hours=24) == MAIL_FILE_RETENTION
    assert "24 hours" in row(client, "Emails to you")


def test_the_schedule_tells_how_old_the_oldest_photo_is(client: Client) -> None:
    assert "there are no photos here" in read(client, "/retention/")

    make_shoot()
    assert "the oldest photo here is 1 minute old" in read(client, "/retention/")

    Blob.objects.update(created_at=timezone.now() - timedelta(hours=3, minutes=10))
    assert "the oldest photo here is 4 hours old" in read(client, "/retention/")

    Blob.objects.update(created_at=timezone.now() - timedelta(hours=25))
    late = read(client, "/retention/")
    assert "Something is wrong: the oldest photo here is 26 hours old. The limit is 24 hours." in late
    # Its key may live on, where the time was shortened after the upload.
    assert "Its key has expired" not in late


# Policies -----------------------------------------------------------------------------------------------------------


def test_the_privacy_page_names_who_answers_and_who_helps(client: Client, settings: LazySettings) -> None:
    assert "who hasn’t entered their name here yet" in read(client, "/privacy/")
    assert "No one. This site makes your pictures itself" in read(client, "/privacy/")

    settings.HEADSHOTS_OPERATOR = "Example Ltd, 1 Some Street, Sometown"
    settings.HEADSHOTS_ABUSE_EMAIL = "help@example.org"
    settings.HEADSHOTS_DATA_PROCESSORS = ["Hosting Inc (servers, in Norway)"]
    settings.HEADSHOTS_EMAIL_URL = "smtp://mail.example.org"
    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_1"
    settings.HEADSHOTS_S3_BUCKET = "pictures"

    page = read(client, "/privacy/")
    assert "A storage service stores the encrypted pictures" in page
    assert "Example Ltd, 1 Some Street, Sometown" in page
    assert "help@example.org" in page
    assert "Hosting Inc (servers, in Norway)" in page
    assert "An email service delivers our emails" in page
    assert "Stripe processes the payments" in page
    assert "amounts, times and Stripe’s payment IDs" in page


def test_the_privacy_page_tells_of_payments_wherever_packs_are_sold(client: Client, settings: LazySettings) -> None:
    assert "Payments:" not in read(client, "/privacy/")

    settings.DEBUG = settings.HEADSHOTS_TEST_CHECKOUT = True

    page = read(client, "/privacy/")
    assert "Payments: amounts, times and the test checkout’s payment IDs" in page
    assert "10 years, as tax law requires; without your email once your account is deleted" in page
    # That checkout is on this machine.
    assert "Stripe processes the payments" not in page
    assert "No one. This site makes your pictures itself" in page


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("HEADSHOTS_PHOTO_TTL_SECONDS", 7200, "Within 2 hours of the upload"),
        ("HEADSHOTS_HEADSHOT_RETENTION_DAYS", 12, "12 days, or until you delete them"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "2 years after the deletion"),
        ("HEADSHOTS_BACKUP_DAYS", 14, "We keep backups for 14 days"),
        ("SESSION_COOKIE_AGE", 5 * 86_400, "signed in for 5 days"),
    ],
)
def test_the_privacy_page_says_what_the_settings_do(
    client: Client, settings: LazySettings, setting: str, value: int, words: str
) -> None:
    setattr(settings, setting, value)

    assert words in read(client, "/privacy/")


def test_misuse_has_an_address_and_a_procedure(client: Client, settings: LazySettings) -> None:
    assert "hasn’t set an email address for reports yet" in read(client, "/abuse/")

    settings.HEADSHOTS_ABUSE_EMAIL = "help@example.org"

    page = client.get("/abuse/").content.decode()
    assert 'href="mailto:help@example.org' in page
    assert "What happens next" in page


def test_the_models_license_binds_only_where_a_model_draws(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OpenRAIL" not in read(client, "/terms/").replace(" ", "")

    use_generative_engine(monkeypatch, "terms")

    page = read(client, "/terms/")
    assert "CreativeML Open RAIL++-M" in page
    assert "minors" in page
    assert "medical advice" in page


UNCHANGED = ("Change your clothes", "It still looks like you", "Keep your face", "in seconds", "about a minute")


def test_home_promises_an_unchanged_face_and_clothes_only_where_pixels_stay(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = read(client, "/")
    assert [words for words in UNCHANGED if words not in page] == []
    assert "Made with this product" in page

    use_generative_engine(monkeypatch, "home")

    page = read(client, "/")
    assert [words for words in UNCHANGED if words in page] == []
    assert "Create new pictures of you. You choose the outfit." in page
    assert "reject every one that doesn’t look like you" in page
    # The example shows what the studio engine makes.
    assert "Made with this product" not in page
    assert "This example was made in a different mode" in page
    assert "your headshots will look different" in page


def test_how_it_works_describes_the_engine_that_runs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ("Your face keeps its own pixels", "Your clothes, hairstyle and expression stay as they are", "place a new")
    page = read(client, "/how-it-works/")
    assert [words for words in kept if words not in page] == []

    use_generative_engine(monkeypatch, "how")

    page = read(client, "/how-it-works/")
    assert [words for words in kept if words in page] == []
    assert "We create new pictures of you with an AI model" in page
    assert "Your clothes come from the outfit you choose" in page


def test_how_it_works_states_the_limits_in_force(client: Client, settings: LazySettings) -> None:
    settings.HEADSHOTS_PHOTO_TTL_SECONDS = 7200
    settings.HEADSHOTS_MAX_PHOTOS, settings.HEADSHOTS_MAX_PHOTO_BYTES = 3, 10 * 1024 * 1024

    page = read(client, "/how-it-works/")

    assert "We destroy that key no later than 2 hours after the upload" in page
    assert "Up to 3 photos, 10 MB and 60 megapixels each" in page


def test_the_guide_to_likeness_follows_the_operators_own_limit_and_calibration(
    client: Client, settings: LazySettings, tmp_path: Path
) -> None:
    assert BUILT_IN_MAX_DISTANCE == ACCEPT_DISTANCE
    assert f"distance to your photos is below {ACCEPT_DISTANCE}" in read(client, "/likeness/")

    settings.HEADSHOTS_LIKENESS_MAX_DISTANCE = 0.48
    settings.HEADSHOTS_LIKENESS_CALIBRATION = tmp_path / "mine.toml"

    page = read(client, "/likeness/")
    assert "distance to your photos is below 0.48" in page
    assert "4,851 pairs" not in page
    assert "their own calibration data" in page


def test_the_guide_states_the_limits_of_the_engine_that_is_used(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "two real photos" not in read(client, "/likeness/")

    use_generative_engine(monkeypatch, "likeness")

    page = read(client, "/likeness/")
    assert MAX_LIGHTEN == MAX_DARKEN
    assert f"at most {MAX_LIGHTEN:.0f} steps (of 100) lighter or darker" in page
    assert "8 steps of lightness" not in page


def test_terms_name_payments_only_where_there_are_some(client: Client, settings: LazySettings) -> None:
    assert "Paying" not in read(client, "/terms/")

    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_1"

    assert "Paying" in read(client, "/terms/")


def test_an_installation_for_strangers_is_told_that_nobody_answers(settings: LazySettings) -> None:
    assert not settings.DEBUG
    missing = [message.msg for message in run_checks() if message.id == "pages.W001"]
    assert missing == ["HEADSHOTS_OPERATOR is not set.", "HEADSHOTS_ABUSE_EMAIL is not set."]

    settings.HEADSHOTS_OPERATOR, settings.HEADSHOTS_ABUSE_EMAIL = "Example Ltd", "help@example.org"

    assert "pages.W001" not in {message.id for message in run_checks()}
