"""The account whose rights are tested, and what is asked of its page."""

from uuid import uuid4

from django.test import Client

from headshots.accounts.models import User
from tests.helpers.factories import PASSWORD

EMAIL = "ada.lovelace@example.org"


def staff() -> User:
    return User.objects.create_superuser("staff@example.org", PASSWORD)


def away(**_: object) -> None:
    raise OSError("the store is away")


def delete_account(browser: Client, password: str = PASSWORD, certificate: str = "") -> "object":
    return browser.post("/account/delete/", {"password": password, "certificate": certificate or str(uuid4())})
