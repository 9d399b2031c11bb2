"""What the browser is told with every response."""

from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

_SENSORS = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb")
_NO_SENSORS = ", ".join(f"{sensor}=()" for sensor in _SENSORS)


class PrivacyHeaders(MiddlewareMixin):
    """Nothing that a view makes is kept by a cache unless the view says so, and no page may ask for a sensor."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Permissions-Policy", _NO_SENSORS)
        return response


class ContentSecurityPolicy(CSPMiddleware):
    """The policy on every response: the package leaves it out on errors in debug mode, for pages we do not have."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response = super().process_response(request, response)
        if "Content-Security-Policy" not in response.headers:
            parts = self.get_policy_parts(request=request, response=response)
            response.headers["Content-Security-Policy"] = build_policy(
                parts.config, parts.update, parts.replace, parts.nonce
            )
        return response
