"""Count page visits without cookies and without personal data: one number per day and page.

A view is one page opened in a browser. A visit is a view that did not start from one of our own pages. Both are
counted in Redis, and a task moves the counts into the database every minute.
"""

import re
import time
from datetime import date
from functools import cache
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from headshots.dashboard.models import Visit
from headshots.dashboard.stats.daily_stats import Range

# One hash for all counts. A task moves it into the database every minute, so a lost Redis loses one minute.
_KEY = "headshots:visits"
_TTL_SECONDS = 7 * 86_400
_ROBOT = re.compile(r"bot|crawl|spider|slurp|preview|curl|wget|python|headless", re.IGNORECASE)
_UNCOUNTED = ("admin:", "healthz", "metrics")
# After a Redis error, count nothing for this long, so that pages do not wait for timeouts.
_RETRY_SECONDS = 30
_skip_until = 0.0


class VisitCounterMiddleware(MiddlewareMixin):
    """Middleware that counts pages opened by people. Leaves out staff, robots, page fragments and pictures."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        page = _page_of(request, response)
        if page:
            count_view(page, is_visit=not _is_internal(request))
        return response


def _page_of(request: HttpRequest, response: HttpResponseBase) -> str | None:
    match = request.resolver_match
    if request.method != "GET" or response.status_code != 200 or match is None:
        return None
    if not response.get("Content-Type", "").startswith("text/html") or match.view_name.startswith(_UNCOUNTED):
        return None
    headers = request.headers
    if headers.get("Sec-Fetch-Dest", "document") != "document" or "prefetch" in headers.get("Sec-Purpose", ""):
        return None
    if _ROBOT.search(headers.get("User-Agent", "bot")) or request.user.is_staff:
        return None
    return str(match.view_name)


def _is_internal(request: HttpRequest) -> bool:
    try:
        return urlsplit(request.headers.get("Referer", "")).netloc == request.get_host()
    except ValueError:  # The header is not a valid URL: clients can send anything.
        return False


def count_view(page: str, *, is_visit: bool) -> None:
    """Count one view. Skips the count if Redis is not configured or not reachable, so that the page still loads."""
    global _skip_until
    if not settings.HEADSHOTS_REDIS_URL or time.monotonic() < _skip_until:
        return
    today = timezone.now().date().isoformat()
    try:
        with _client().pipeline(transaction=False) as pipe:
            pipe.hincrby(_KEY, f"{today}|{page}|views", 1)
            if is_visit:
                pipe.hincrby(_KEY, f"{today}|{page}|visits", 1)
            pipe.expire(_KEY, _TTL_SECONDS)
            pipe.execute()
    except (redis.RedisError, OSError):
        _skip_until = time.monotonic() + _RETRY_SECONDS


def flush_counters() -> int:
    """Move the counts from Redis into the database. Returns the number of rows changed.

    Resumes counts that an earlier call took but did not store before it crashed.
    A crash between commit and deletion, or two calls at the same time, store the same counts twice."""
    client, taken = _client(), f"{_KEY}:taken"
    if not client.exists(taken):
        if not client.exists(_KEY):
            return 0
        client.rename(_KEY, taken)
    counted = {str(field): int(number) for field, number in client.hgetall(taken).items()}
    rows = set()
    with transaction.atomic():
        for field, number in counted.items():
            day, page, what = field.split("|")
            row, _ = Visit.objects.get_or_create(day=date.fromisoformat(day), page=page[:60])
            Visit.objects.filter(pk=row.pk).update(**{what: F(what) + number})
            rows.add(row.pk)
    client.delete(taken)
    return len(rows)


def visits_by_day(days: Range) -> dict[date, tuple[int, int]]:
    """Return (views, visits) for each day of the range that has any."""
    rows = Visit.objects.filter(day__range=(days.first, days.last)).values_list("day")
    return {day: (views, visits) for day, views, visits in rows.annotate(Sum("views"), Sum("visits"))}


@cache
def _client() -> redis.Redis:
    url = settings.HEADSHOTS_REDIS_URL
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, decode_responses=True)
