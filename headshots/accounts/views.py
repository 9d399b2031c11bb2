from allauth.account.views import LogoutView
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.views import ActivateTOTPView
from django.http import HttpRequest, HttpResponse


class ForgetfulLogout(LogoutView):
    """Asks, ends the session by POST, and has the browser drop what it kept of the person's pages."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        response["Clear-Site-Data"] = '"cache", "cookies", "storage"'
        return response


class ActivateSecondFactor(ActivateTOTPView):
    """Sets it up. Whoever has just given its first code, after their password, is not asked for another one."""

    def form_valid(self, form: ActivateTOTPForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        made = Authenticator.objects.get(user=self.request.user, type=Authenticator.Type.TOTP)
        post_authentication(self.request, made, reauthenticated=True)
        return response


logout = ForgetfulLogout.as_view()
activate_second_factor = ActivateSecondFactor.as_view()
