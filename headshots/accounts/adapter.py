from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser


class AccountAdapter(DefaultAccountAdapter):
    """Adapt allauth to this product: its words, and what it asks before sensitive changes."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_taken": "There is an account with this address already. Sign in, or reset the password.",
        "email_password_mismatch": "The address or the password is not right. Please try again.",
        "too_many_login_attempts": "That was too often. Please wait five minutes, then try again.",
    }

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail whose links begin with HEADSHOTS_SITE_URL: a request can name any host as its own."""
        urls = {name: _at_site(value) for name, value in context.items() if name.endswith("_url")}
        super().send_mail(template_prefix, email, context | urls)

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, str]]:
        """Return the ways to confirm a sensitive change: only the second factor once the account has one.

        allauth would accept the password as well, and with it show the recovery codes or remove the factor."""
        methods: list[dict[str, str]] = super().get_reauthentication_methods(user)
        by_factor = [method for method in methods if method["id"].startswith("mfa_reauthenticate")]
        return by_factor or methods


def _at_site(url: str) -> str:
    """Return the same page at the site's own address. On a laptop that was started by hand there is none to prefer."""
    path = urlsplit(url)._replace(scheme="", netloc="").geturl()
    return f"{settings.HEADSHOTS_SITE_URL}{path}" if settings.HEADSHOTS_SITE_URL else url
