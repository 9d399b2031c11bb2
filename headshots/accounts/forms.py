"""allauth's forms with normalized email addresses, named in ACCOUNT_FORMS.

The sign-up form needs no subclass, because it uses `AccountAdapter.clean_email`.
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
        """Return the address in the stored spelling.

        An email to the typed spelling could be delivered to another domain."""
        return normalize_email(super().clean_email())


class AddEmailAddressForm(AddEmailForm):
    def clean_email(self) -> str:
        """Refuse an address of another account, as the sign-up form does. Raises ValidationError.

        Where addresses are confirmed by a link, allauth accepts the address and waits for the link. So strangers do not
        learn which addresses have accounts."""
        address: str = super().clean_email()
        is_confirmed = settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory"
        if not is_confirmed and any(other != self.user for other in filter_users_by_email(address)):
            raise get_adapter().validation_error("email_taken")
        return address
