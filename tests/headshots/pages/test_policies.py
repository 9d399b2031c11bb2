"""What the public pages promise: the numbers that are in force, and who answers for them."""

import re
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone

from headshots import engine
from headshots.retention.orphans import MAIL_LIFE
from headshots.vault.models import Blob
from tests.helpers.factories import make_shoot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

PUBLIC = ["/retention/", "/privacy/", "/terms/", "/abuse/"]


def read(client: Client, address: str) -> str:
    """The words of a page, one blank between any two."""
    page = client.get(address).content.decode().split("<main", 1)[1].split("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def row(client: Client, start: str) -> str:
    """The row of the schedule that begins with these words."""
    page = client.get("/retention/").content.decode()
    rows = [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in page.split("<tr>")[1:]]
    (found,) = [one for one in rows if one.startswith(start)]
    return found


def test_every_public_page_is_in_the_footer(client: Client) -> None:
    footer = client.get("/").content.decode().split("<footer")[1]

    assert all(f'href="{address}"' in footer for address in PUBLIC)


# The schedule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "start", "words"),
    [
        ("HEADSHOTS_PHOTO_TTL_SECONDS", 7200, "Your photos, without", "2 hours"),
        ("HEADSHOTS_HEADSHOT_RETENTION_DAYS", 12, "Your finished headshots", "12 days"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "Your consent", "2 years"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "What happened when", "2 years"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "Receipts", "2 years"),
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
    assert "There are no backups" in read(client, "/retention/")

    settings.HEADSHOTS_BACKUP_DAYS = 14
    assert "Keys of finished headshots are in none either" in row(client, "Backups")

    settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS = 6
    assert "Keys of finished headshots are backed up apart, for 6 days" in row(client, "Backups")


def test_mails_are_on_the_schedule_where_they_are_files(client: Client, settings: LazySettings) -> None:
    settings.EMAIL_FILE_PATH = "/somewhere"
    assert timedelta(hours=24) == MAIL_LIFE
    assert "24 hours" in row(client, "Messages to you")


def test_the_schedule_tells_how_old_the_oldest_photo_is(client: Client) -> None:
    assert "there is no photo here at all" in read(client, "/retention/")

    make_shoot()
    assert "the oldest photo here is 1 minute old" in read(client, "/retention/")

    Blob.objects.update(created_at=timezone.now() - timedelta(hours=3, minutes=10))
    assert "the oldest photo here is 4 hours old" in read(client, "/retention/")

    Blob.objects.update(created_at=timezone.now() - timedelta(hours=25))
    late = read(client, "/retention/")
    assert "Something is wrong here: the oldest photo is 26 hours old, and 24 hours are allowed." in late
    # Its key may live on, where the time was shortened after the upload.
    assert "Its key has expired" not in late


# Policies -----------------------------------------------------------------------------------------------------------


def test_the_privacy_page_names_who_answers_and_who_helps(client: Client, settings: LazySettings) -> None:
    assert "They have not put their name here yet" in read(client, "/privacy/")
    assert "Nobody: pictures are made on the machine" in read(client, "/privacy/")

    settings.HEADSHOTS_OPERATOR = "Example Ltd, 1 Some Street, Sometown"
    settings.HEADSHOTS_ABUSE_EMAIL = "help@example.org"
    settings.HEADSHOTS_DATA_PROCESSORS = ["Hosting Inc (servers, in Norway)"]
    settings.HEADSHOTS_EMAIL_URL = "smtp://mail.example.org"
    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_1"

    page = read(client, "/privacy/")
    assert "Example Ltd, 1 Some Street, Sometown" in page
    assert "help@example.org" in page
    assert "Hosting Inc (servers, in Norway)" in page
    assert "A mail service carries our mails" in page
    assert "Stripe takes the payments" in page
    assert "amounts, times and Stripe’s numbers for them" in page


def test_the_privacy_page_tells_of_payments_wherever_packs_are_sold(client: Client, settings: LazySettings) -> None:
    assert "Payments:" not in read(client, "/privacy/")

    settings.DEBUG = settings.HEADSHOTS_TEST_CHECKOUT = True

    page = read(client, "/privacy/")
    assert "Payments: amounts, times and the TEST checkout’s numbers for them" in page
    assert "10 years, as tax law asks; without your address once your account is gone" in page
    # That checkout is on this machine.
    assert "Stripe takes the payments" not in page
    assert "Nobody: pictures are made on the machine" in page


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("HEADSHOTS_PHOTO_TTL_SECONDS", 7200, "within 2 hours of the upload"),
        ("HEADSHOTS_HEADSHOT_RETENTION_DAYS", 12, "12 days, or until you delete them"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 730, "2 years after the deletion"),
        ("HEADSHOTS_BACKUP_DAYS", 14, "Backups are kept for 14 days"),
        ("SESSION_COOKIE_AGE", 5 * 86_400, "signed in for 5 days"),
    ],
)
def test_the_privacy_page_says_what_the_settings_do(
    client: Client, settings: LazySettings, setting: str, value: int, words: str
) -> None:
    setattr(settings, setting, value)

    assert words in read(client, "/privacy/")


def test_misuse_has_an_address_and_a_procedure(client: Client, settings: LazySettings) -> None:
    assert "has not named an address for reports yet" in read(client, "/abuse/")

    settings.HEADSHOTS_ABUSE_EMAIL = "help@example.org"

    page = client.get("/abuse/").content.decode()
    assert 'href="mailto:help@example.org' in page
    assert "What happens then" in page


def test_the_models_licence_binds_only_where_a_model_draws(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OpenRAIL" not in read(client, "/terms/").replace(" ", "")

    from headshots.urls import urlpatterns

    (terms,) = [pattern for pattern in urlpatterns if getattr(pattern, "name", "") == "terms"]
    assert terms.default_args["draws"] is engine.draws_new_pictures
    monkeypatch.setitem(terms.default_args, "draws", lambda: True)

    page = read(client, "/terms/")
    assert "CreativeML Open RAIL++-M" in page
    assert "minors" in page
    assert "medical advice" in page


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
