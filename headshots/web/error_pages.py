"""Error pages without local variables, settings or request data, even in debug mode."""

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.common import CommonMiddleware
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse
from django.utils.deprecation import MiddlewareMixin
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

from headshots.web.bodies import REFUSED, SIGNED_OUT
from headshots.web.middleware import ID_KEY

ADMIN_PREFIX = "/admin/"
_TOO_MUCH = (RequestDataTooBig, TooManyFilesSent)


def error_page(status: int, request: HttpRequest, *, broken: bool = False) -> HttpResponse:
    """Render the page for status 400, 403, 404, 413 or 500; allauth renders 429. The admin has a page of its own.

    broken: True for an invalid request or a server error. Only the path and the request's id are read then."""
    return HttpResponse(_page(status, request, broken=broken), status=status)


def _page(status: int, request: HttpRequest | None, *, broken: bool) -> SafeString:
    readable = None if broken else request
    if request is None or not _is_admin(status, request):
        return render_to_string(f"{status}.html", request=readable)
    user = getattr(readable, "user", None)
    words = {
        "status": status,
        "request_id": request.META.get(ID_KEY, ""),
        "has_permission": user is not None and user.is_staff,
    }
    return render_to_string("dashboard/error.html", words, request=readable)


def _is_admin(status: int, request: HttpRequest) -> bool:
    """Return True if the error belongs on the admin's own page.

    Visitors who are not staff get the public page for 403 and 404."""
    if not request.path.startswith(ADMIN_PREFIX):
        return False
    user = getattr(request, "user", None)
    return status not in (403, 404) or (user is not None and user.is_staff)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a bad request (handler400). Returns 413 for a form that is too long or has too many files."""
    return error_page(413 if isinstance(exception, _TOO_MUCH) else 400, request, broken=True)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a forbidden request (handler403)."""
    return error_page(403, request)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after a server error (handler500)."""
    return error_page(500, request, broken=True)


class RefusedBodyMiddleware(MiddlewareMixin):
    """A middleware that answers requests whose body `BodyLimit` refused, so that no view sees the empty body.

    Answers 413 for a body that is too large. Redirects a signed-out visitor to the sign-in page."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        refused = getattr(request, "scope", {}).get(REFUSED)
        if refused == SIGNED_OUT:
            back = urlencode({"next": f"{request.path}?unsent=1"})
            return HttpResponse(status=303, headers={"Location": f"{reverse(settings.LOGIN_URL)}?{back}"})
        return error_page(413, request) if refused else None


class AppendSlashMiddleware(CommonMiddleware):
    """A middleware that adds a missing slash, for GET and HEAD only.

    A redirected form would lose its body, and Django's own middleware raises in debug mode."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return request.method in {"GET", "HEAD"} and super().should_redirect_with_slash(request)


class ErrorPageMiddleware(MiddlewareMixin):
    """A middleware that answers 404 before Django's debug page can.

    The debug page lists all URLs and settings."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        try:
            resolve(request.path_info)
        except Resolver404:
            return error_page(404, request)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return error_page(404, request) if isinstance(exception, Http404) else None


class SilentExceptionReporter(ExceptionReporter):
    """An exception reporter that shows our error page and no data of the request.

    Replaces the page of debug mode and the text of error emails."""

    def get_traceback_html(self) -> SafeString:
        bad = isinstance(self.exc_value, (BadRequest, SuspiciousOperation))
        status = 413 if isinstance(self.exc_value, _TOO_MUCH) else 400 if bad else 500
        return _page(status, self.request, broken=True)

    def get_traceback_text(self) -> SafeString:
        return SafeString("Something went wrong.\n")

    def get_traceback_data(self) -> dict[str, object]:
        return {}
