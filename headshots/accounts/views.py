"""allauth's views with our rules: sign out, reset a password, set up a second factor."""

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
    """Ask, end the session by POST, and have the browser drop what it kept of the person's pages.

    Not its cookies: the session's is void and deleted, and the one of `known_browsers` has to outlive it."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        response["Clear-Site-Data"] = '"cache", "storage"'
        return response


class PasswordResetFromMailView(PasswordResetFromKeyView):
    """Choose a new password with the link of a mail. From then on the account knows this browser: that is the way in
    for its owner while others use up the attempts of unknown browsers."""

    def form_valid(self, form: ResetPasswordKeyForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        remember_browser(self.request, response, account_id=self.reset_user.pk)
        return response


class EmailAddressesView(EmailView):
    """The addresses of an account."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        chosen = User.objects.filter(email=normalize_email(request.POST.get("email", "")))
        # Rows may be older than the rule that refuses such addresses (AddEmailAddressForm).
        if "action_primary" in request.POST and chosen.exclude(pk=authenticated_user(request).pk).exists():
            messages.error(request, AccountAdapter.error_messages["email_taken"])
            return redirect("account_email")
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response


class ActivateSecondFactorView(ActivateTOTPView):
    """Set the second factor up. A browser that has just sent its first code is not asked for another one."""

    @transaction.atomic
    def form_valid(self, form: ActivateTOTPForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        made = Authenticator.objects.get(user=self.request.user, type=Authenticator.Type.TOTP)
        # Checks the code again for its side effect: allauth remembers it as used, so it signs no other browser in.
        made.wrap().validate_code(form.cleaned_data["code"])
        # Sessions that began with the password alone must not outlive the moment from which that is not enough.
        end_other_sessions(self.request)
        post_authentication(self.request, made, reauthenticated=True)
        return response


class DeactivateSecondFactorView(DeactivateTOTPView):
    """Remove the second factor, after a code of it or a recovery code, and sign the account out everywhere else."""

    def form_valid(self, form: DeactivateTOTPForm) -> HttpResponse:
        # First, and not in one transaction: allauth sends its mail at once.
        end_other_sessions(self.request)
        response: HttpResponse = super().form_valid(form)
        return response


email_addresses = EmailAddressesView.as_view()
reset_password_from_mail = PasswordResetFromMailView.as_view()
logout = ClearSiteDataLogoutView.as_view()
activate_second_factor = ActivateSecondFactorView.as_view()
deactivate_second_factor = DeactivateSecondFactorView.as_view()
