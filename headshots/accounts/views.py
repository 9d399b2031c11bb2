"""Changed allauth views: sign out, reset a password, set up two-factor authentication."""

from allauth.account.forms import ResetPasswordKeyForm
from allauth.account.views import EmailView, LogoutView, PasswordResetFromKeyView
from allauth.core.internal.httpkit import authenticated_user
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm, DeactivateTOTPForm
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from headshots.accounts.adapters import AccountAdapter
from headshots.accounts.email_addresses import normalize_email
from headshots.accounts.known_browsers import remember_browser
from headshots.accounts.models import User
from headshots.accounts.sessions import end_other_sessions


class ClearSiteDataLogoutView(LogoutView):
    """A sign-out page that makes the browser delete its cached pages and storage.

    Cookies are kept. The session's cookie is deleted anyway, and the cookie of `known_browsers` must outlive the
    session."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        response["Clear-Site-Data"] = '"cache", "storage"'
        return response


class PasswordResetFromMailView(PasswordResetFromKeyView):
    """A page to choose a new password with the link of an email.

    Remembers the browser for the account. So the owner can sign in even if strangers use up the attempts of unknown
    browsers."""

    def form_valid(self, form: ResetPasswordKeyForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        remember_browser(self.request, response, account_id=self.reset_user.pk)
        return response


class EmailAddressesView(EmailView):
    """A page to manage the email addresses of an account."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        chosen = User.objects.filter(email=normalize_email(request.POST.get("email", "")))
        # The address may have been stored before AddEmailAddressForm refused addresses of other accounts.
        if "action_primary" in request.POST and chosen.exclude(pk=authenticated_user(request).pk).exists():
            messages.error(request, AccountAdapter.error_messages["email_taken"])
            return redirect("account_email")
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response


class ActivateSecondFactorView(ActivateTOTPView):
    """A page to set up two-factor authentication.

    The browser that sent the first code is not asked for another code."""

    @transaction.atomic
    def form_valid(self, form: ActivateTOTPForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        made = Authenticator.objects.get(user=self.request.user, type=Authenticator.Type.TOTP)
        # Validate the code again for the side effect. allauth marks the code as used, so no other browser can use it.
        made.wrap().validate_code(form.cleaned_data["code"])
        # Sessions that began with the password alone must end, because the password alone is not enough now.
        end_other_sessions(self.request)
        post_authentication(self.request, made, reauthenticated=True)
        return response


class DeactivateSecondFactorView(DeactivateTOTPView):
    """A page to turn off two-factor authentication. Requires a current code or a recovery code.

    Signs the account out in all other browsers."""

    def form_valid(self, form: DeactivateTOTPForm) -> HttpResponse:
        # First, and not in one transaction, because allauth sends its email immediately.
        end_other_sessions(self.request)
        response: HttpResponse = super().form_valid(form)
        return response


email_addresses = EmailAddressesView.as_view()
reset_password_from_mail = PasswordResetFromMailView.as_view()
logout = ClearSiteDataLogoutView.as_view()
activate_second_factor = ActivateSecondFactorView.as_view()
deactivate_second_factor = DeactivateSecondFactorView.as_view()
