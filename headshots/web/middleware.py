"""Middleware: request ids, compression, privacy headers, the content security policy, static files."""

import re
from collections.abc import Callable, Mapping, Sequence

from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from headshots.runtime import log_context

_SENSORS = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb")
_NO_SENSORS = ", ".join(f"{sensor}=()" for sensor in _SENSORS)


class CompressionMiddleware(GZipMiddleware):
    """A middleware that compresses pages.

    Pictures and ZIP files would not become smaller, and live updates must not wait in a buffer. Django pads compressed
    pages by a random length and masks form tokens, so that lengths of responses reveal neither (BREACH)."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming or not response.headers.get("Content-Type", "").startswith(("text/", "application/json")):
            return response
        return super().process_response(request, response)


class PrivacyHeadersMiddleware(MiddlewareMixin):
    """A middleware that forbids caching and sensors.

    A view can allow caching with a Cache-Control header of its own."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Permissions-Policy", _NO_SENSORS)
        return response


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """A middleware that sets the content security policy on every response.

    The package omits the policy on errors in debug mode, for Django's debug pages. This product does not show them."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response = super().process_response(request, response)
        if "Content-Security-Policy" not in response.headers:
            parts = self.get_policy_parts(request=request, response=response)
            response.headers["Content-Security-Policy"] = build_policy(
                parts.config, parts.update, parts.replace, parts.nonce
            )
        return response


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """A middleware that serves each static file as one response body.

    WhiteNoise's own response is a synchronous file iterator, and Django warns about those under ASGI."""

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
# Key in `request.META` for the id of the request.
ID_KEY = "headshots.request_id"


class RequestIdMiddleware(MiddlewareMixin):
    """A middleware that gives each request an id. It comes first, so that all log lines carry the id.

    Uses the id in the header X-Request-ID if a trusted proxy is configured."""

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
