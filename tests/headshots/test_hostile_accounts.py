"""Attacks on accounts: forged hosts, guessed passwords, addresses of other people, headers without sense."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from allauth.account.models import EmailAddress
from django.conf import LazySettings
from django.core import mail
from django.test import Client

from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db

SITE = "https://shots.example.org"
FORGED = {"HTTP_HOST": "evil.example.net"}


@pytest.fixture
def site(settings: LazySettings) -> None:
    """Answer to any host and send mail, as an installation behind a careless proxy does."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.HEADSHOTS_SITE_URL = SITE
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_NOTIFICATIONS = True


def links() -> Iterator[str]:
    for message in mail.outbox:
        text = f"{message.subject}\n{message.body}"
        assert "evil" not in text, text
        yield from re.findall(r"https?://\S+", text)


@pytest.mark.usefixtures("site")
def test_links_in_mails_lead_to_the_site_whatever_host_a_request_names() -> None:
    known = make_user()
    EmailAddress.objects.create(user=known, email=known.email, primary=True, verified=True)
    stranger, another, owner = Client(**FORGED), Client(**FORGED), Client(**FORGED)
    owner.force_login(known)

    stranger.post("/accounts/password/reset/", {"email": known.email})
    stranger.post("/accounts/signup/", {"email": known.email, "password1": PASSWORD})
    another.post("/accounts/signup/", {"email": "new@example.org", "password1": PASSWORD})
    owner.post("/accounts/email/", {"action_add": "", "email": "second@example.org"})
    changed = {"oldpassword": PASSWORD, "password1": "another fine phrase", "password2": "another fine phrase"}
    owner.post("/accounts/password/change/", changed)

    found = list(links())
    assert len(mail.outbox) == 5
    assert len(found) == 4, "one each, and none in the notice of a new password"
    assert all(link.startswith(f"{SITE}/accounts/") for link in found)
    path = found[0].removeprefix(SITE)
    assert stranger.get(path, follow=True).status_code == 200


def test_a_referer_that_is_no_address_is_no_error() -> None:
    for referer in ("http://[", "http://[::1", "//[", "\udcff"):
        answer = Client(HTTP_USER_AGENT="Mozilla/5.0 Firefox/140.0").get("/", headers={"referer": referer})
        assert answer.status_code == 200


def test_secrets_of_an_installation_are_ignored_by_git_and_stay_out_of_images() -> None:
    root = Path(__file__).parents[2]

    assert ".env" in (root / ".gitignore").read_text().splitlines()
    assert "**/.env" in (root / ".dockerignore").read_text().splitlines()


def test_the_broker_keeps_no_address_and_no_plain_hash_of_one(valkey: redis.Redis) -> None:
    known = make_user()
    client = Client(REMOTE_ADDR="203.0.113.7")

    client.post("/accounts/login/", {"login": known.email, "password": "wrong"})
    client.post("/accounts/password/reset/", {"email": known.email})

    names = b" ".join(valkey.keys()).decode()
    assert names, "attempts are counted in the shared cache"
    assert "203.0.113.7" not in names
    for text in (known.email, f"testserver:{known.email}", "203.0.113.7"):
        assert hashlib.sha256(text.encode()).hexdigest() not in names
