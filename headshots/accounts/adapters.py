"""Adapters for allauth: normalized email addresses, rate limits per network, encrypted two-factor secrets."""

import base64
import hashlib
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse

from headshots.accounts.email_addresses import normalize_email
from headshots.accounts.known_browsers import known_browser, remember_browser
from headshots.runtime.networks import visitor_network


class AccountAdapter(DefaultAccountAdapter):
    """An allauth account adapter with this product's messages, rate limits and checks."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_taken": "An account with this email already exists. Sign in, or reset your password.",
        "email_password_mismatch": "The email or password is incorrect. Please try again.",
        "too_many_login_attempts": (
            "Too many attempts. Please wait a few minutes and try again, or reset your password."
        ),
    }

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the visitor's network, for rate limits by IP address.

        A visitor with IPv6 can use any address of a whole network."""
        return visitor_network(super().get_client_ip(request))

    def clean_email(self, email: str) -> str:
        return normalize_email(super().clean_email(email))

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count a sign-in attempt, or refuse the attempt after too many wrong passwords.

        Attempts are counted per IP address and per account. A browser that the account has signed in from has a
        separate count, so that strangers cannot lock the owner out. Raises ValidationError."""
        address = credentials.get("email", "")
        browser = known_browser(request, address=address)
        if browser is None:
            super().pre_authenticate(request, **credentials)
            return
        key = f"{address}:{browser}"
        # After a correct password, allauth rolls this count back, as it does with its own count.
        self._login_failed_rl_usage = ratelimit.consume(
            request, app="allauth.account", action="login_failed_in_known_browser", key=key
        )
        if not self._login_failed_rl_usage:
            raise self.validation_error("too_many_login_attempts")

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # allauth's key begins with the host, so each further host of the site would allow as many attempts again.
        return str(credentials.get("email", ""))

    def post_login(self, request: HttpRequest, user: AbstractBaseUser, **login: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **login)
        remember_browser(request, response, account_id=user.pk)
        return response

    def is_safe_url(self, url: str) -> bool:
        """Return True for a page of this site.

        Returns False for an invalid URL too, such as `http://[`."""
        try:
            return bool(super().is_safe_url(url))
        except ValueError:
            return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send an email whose links begin with HEADSHOTS_SITE_URL.

        The host of the request is not used, because a client can send any host."""
        urls = {name: _with_site_url(value) for name, value in context.items() if name.endswith("_url")}
        super().send_mail(template_prefix, email, context | urls)

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, str]]:
        """Return the ways to confirm a sensitive change.

        An account with a second factor must use that factor. allauth would accept the password as well, and then show
        the recovery codes or remove the factor."""
        methods: list[dict[str, str]] = super().get_reauthentication_methods(user)
        by_factor = [method for method in methods if method["id"].startswith("mfa_reauthenticate")]
        return by_factor or methods


def _with_site_url(url: str) -> str:
    """Return a URL with the scheme and host of HEADSHOTS_SITE_URL.

    Returns the URL unchanged if HEADSHOTS_SITE_URL is not set, as in some development setups."""
    path = urlsplit(url)._replace(scheme="", netloc="").geturl()
    return f"{settings.HEADSHOTS_SITE_URL}{path}" if settings.HEADSHOTS_SITE_URL else url


class MFAAdapter(DefaultMFAAdapter):
    """An allauth adapter that encrypts the secrets of two-factor authentication.

    The encryption key is derived from HEADSHOTS_SECRET_KEY. After that setting has changed, all accounts must set up
    two-factor authentication again."""

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt the secret of a second factor.

        Raises InvalidToken if the key has changed. An empty secret instead would make some code valid."""
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> Fernet:
    key = hashlib.sha256(b"headshots second factor " + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
