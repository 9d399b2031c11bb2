from allauth.account.views import LogoutView
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm, DeactivateTOTPForm
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from headshots.accounts.sessions import end_other_sessions


class ForgetfulLogout(LogoutView):
    """Asks, ends the session by POST, and has the browser drop what it kept of the person's pages."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        response["Clear-Site-Data"] = '"cache", "cookies", "storage"'
        return response


class ActivateSecondFactor(ActivateTOTPView):
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


class DeactivateSecondFactor(DeactivateTOTPView):
    """Remove the second factor, after a code of it or a recovery code, and sign the account out everywhere else."""

    @transaction.atomic
    def form_valid(self, form: DeactivateTOTPForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        end_other_sessions(self.request)
        return response


logout = ForgetfulLogout.as_view()
activate_second_factor = ActivateSecondFactor.as_view()
deactivate_second_factor = DeactivateSecondFactor.as_view()
