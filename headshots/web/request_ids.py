"""Every request has an id, which its log lines, the tasks that it wakes and its answer carry."""

import re
from collections.abc import Callable, Mapping, Sequence

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from headshots import log_context

HEADER = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
# Where the request keeps it, beside what the server says of it.
ID_KEY = "headshots.request_id"


class RequestIds(MiddlewareMixin):
    """First of all: whatever the others say of a request carries its id. A proxy of the operator's may name it."""

    def process_request(self, request: HttpRequest) -> None:
        given = request.headers.get(HEADER, "") if settings.HEADSHOTS_TRUSTED_PROXIES else ""
        request.META[ID_KEY] = given if _ID.fullmatch(given) else log_context.new_request_id()
        log_context.begin(request=request.META[ID_KEY])

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        arguments: Sequence[object],
        named: Mapping[str, object],
    ) -> None:
        log_context.about_arguments(named)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers[HEADER] = request.META[ID_KEY]
        return response
