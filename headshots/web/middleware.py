"""Middleware: request ids, privacy headers, the content security policy, static files."""

import re
from collections.abc import Callable, Mapping, Sequence

from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from headshots.runtime import log_context

_SENSORS = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb")
_NO_SENSORS = ", ".join(f"{sensor}=()" for sensor in _SENSORS)


class PrivacyHeadersMiddleware(MiddlewareMixin):
    """Nothing that a view makes is kept by a cache unless the view says so, and no page may ask for a sensor."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Permissions-Policy", _NO_SENSORS)
        return response


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """The policy on every response: the package leaves it out on errors in debug mode, for pages we do not have."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response = super().process_response(request, response)
        if "Content-Security-Policy" not in response.headers:
            parts = self.get_policy_parts(request=request, response=response)
            response.headers["Content-Security-Policy"] = build_policy(
                parts.config, parts.update, parts.replace, parts.nonce
            )
        return response


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Serves static files whole: whitenoise's own response is a file iterator, which Django warns of under ASGI."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        served = static_file.get_response(request.method, request.META)
        content = b""
        if served.file is not None:
            with served.file as file:
                content = file.read()
        return HttpResponse(content, status=int(served.status), headers=dict(served.headers))


HEADER = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
# Where the request keeps it, beside what the server says of it.
ID_KEY = "headshots.request_id"


class RequestIdMiddleware(MiddlewareMixin):
    """First of all: whatever the others say of a request carries its id. A proxy of the operator's may name it."""

    def process_request(self, request: HttpRequest) -> None:
        given = request.headers.get(HEADER, "") if settings.HEADSHOTS_TRUSTED_PROXIES else ""
        request.META[ID_KEY] = given if _ID.fullmatch(given) else log_context.new_request_id()
        log_context.reset(request=request.META[ID_KEY])

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        arguments: Sequence[object],
        named: Mapping[str, object],
    ) -> None:
        log_context.bind_arguments(named)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers[HEADER] = request.META[ID_KEY]
        return response
