from allauth.account.views import LogoutView
from django.http import HttpRequest, HttpResponse


class ForgetfulLogout(LogoutView):
    """Asks, ends the session by POST, and has the browser drop what it kept of the person's pages."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        response["Clear-Site-Data"] = '"cache", "cookies", "storage"'
        return response


logout = ForgetfulLogout.as_view()
