from allauth.account.adapter import DefaultAccountAdapter
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

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, str]]:
        """Return the ways to confirm a sensitive change: only the second factor once the account has one.

        allauth would accept the password as well, and with it show the recovery codes or remove the factor."""
        methods: list[dict[str, str]] = super().get_reauthentication_methods(user)
        by_factor = [method for method in methods if method["id"].startswith("mfa_reauthenticate")]
        return by_factor or methods
