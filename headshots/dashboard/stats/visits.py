"""Count page visits without cookies and without personal data: one number per day and page.

A view is a page that a browser was sent to by somebody; a visit is a view that did not come from one of our own
pages. Both are counted in Redis and carried to the database by beat.
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

# A fresh one every day, carried away once a minute; a lost Redis loses a minute.
_KEY = "headshots:visits"
_TTL_SECONDS = 7 * 86_400
_ROBOT = re.compile(r"bot|crawl|spider|slurp|preview|curl|wget|python|headless", re.IGNORECASE)
_UNCOUNTED = ("admin:", "healthz", "metrics")
# No page waits for a Redis that did not answer a moment ago.
_RETRY_SECONDS = 30
_skip_until = 0.0


class VisitCounterMiddleware(MiddlewareMixin):
    """Counts whole pages that people open. Staff, robots, fragments and pictures are not counted."""

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
    except ValueError:  # no address: anyone can send any header
        return False


def count_view(page: str, *, is_visit: bool) -> None:
    """Count one view. Without Redis, or with one that is away, it is not counted: a page matters more."""
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
    """Move what was counted into the database; how many rows that were.

    After a crash it goes on with what it had taken. (One between the commit and the last line counts it twice.)"""
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
    """Day -> (views, visits)."""
    rows = Visit.objects.filter(day__range=(days.first, days.last)).values_list("day")
    return {day: (views, visits) for day, views, visits in rows.annotate(Sum("views"), Sum("visits"))}


@cache
def _client() -> redis.Redis:
    url = settings.HEADSHOTS_REDIS_URL
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, decode_responses=True)
