from allauth.account.adapter import DefaultAccountAdapter


class AccountAdapter(DefaultAccountAdapter):
    """allauth's behaviour in this product's words."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_taken": "There is an account with this address already. Sign in, or reset the password.",
        "email_password_mismatch": "The address or the password is not right. Please try again.",
        "too_many_login_attempts": "That was too often. Please wait five minutes, then try again.",
    }
