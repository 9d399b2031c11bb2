"""allauth's forms with normalized email addresses, named in ACCOUNT_FORMS.

The form for signing up asks the adapter for that spelling itself.
"""

from allauth.account.adapter import get_adapter
from allauth.account.forms import AddEmailForm, LoginForm, ResetPasswordForm
from allauth.account.internal.userkit import filter_users_by_email
from django.conf import settings

from headshots.accounts.email_addresses import normalize_email


class SignInForm(LoginForm):
    def clean_login(self) -> str:
        return normalize_email(super().clean_login())


class PasswordResetRequestForm(ResetPasswordForm):
    def clean_email(self) -> str:
        """Return the address that the account has: a mail to what was typed could go to somebody else's domain."""
        return normalize_email(super().clean_email())


class AddEmailAddressForm(AddEmailForm):
    def clean_email(self) -> str:
        """Refuse an address of another account, as signing up does. Where links confirm addresses allauth says nothing
        to strangers and waits for the link."""
        address: str = super().clean_email()
        is_confirmed = settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory"
        if not is_confirmed and any(other != self.user for other in filter_users_by_email(address)):
            raise get_adapter().validation_error("email_taken")
        return address
