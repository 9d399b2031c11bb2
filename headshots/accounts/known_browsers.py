"""Remember the browsers that an account has signed in from, so that strangers cannot lock its owner out.

Each browser keeps a signed cookie with a random id and the ids of its accounts.
"""

import secrets
from datetime import timedelta

from allauth.account.internal.userkit import filter_users_by_email
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

_COOKIE = "known_browser"
_SALT = "headshots.known_browser"
_COOKIE_LIFETIME = timedelta(days=365)
_MAX_ACCOUNTS = 5


def remember_browser(request: HttpRequest, response: HttpResponse, *, account_id: int) -> None:
    """Add an account to the cookie of this browser.

    Call only after the visitor has proved to own the account."""
    browser, accounts = _read(request)
    others = [number for number in accounts if number != account_id]
    value = signing.dumps([browser or secrets.token_urlsafe(12), [account_id, *others][:_MAX_ACCOUNTS]], salt=_SALT)
    response.set_cookie(
        _COOKIE, value, max_age=_COOKIE_LIFETIME, path="/accounts/", secure=settings.SESSION_COOKIE_SECURE,
        httponly=True, samesite="Lax",
    )  # fmt: skip


def known_browser(request: HttpRequest, *, address: str) -> str | None:
    """Return the id of this browser if the account with this address has signed in from this browser.

    Returns None otherwise."""
    browser, accounts = _read(request)
    if browser is None or not any(user.pk in accounts for user in filter_users_by_email(address)):
        return None
    return browser


def _read(request: HttpRequest) -> tuple[str | None, list[int]]:
    try:
        browser, accounts = signing.loads(request.COOKIES.get(_COOKIE, ""), salt=_SALT, max_age=_COOKIE_LIFETIME)
    except signing.BadSignature:
        return None, []
    return browser, accounts
