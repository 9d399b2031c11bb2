"""Views for load balancers and Prometheus: /healthz and /metrics."""

import hmac
import logging
import threading
import time
from contextlib import suppress
from shutil import disk_usage
from uuid import uuid4

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from headshots.dashboard.roles import lacks_second_factor
from headshots.retention.audit import audit
from headshots.vault.services import blob_store

log = logging.getLogger(__name__)

PROCESSES = ("render", "default", "retention", "beat")
_LOOPBACK = ("127.0.0.1", "::1")
# The failures at the last check by this process. Only changes are logged, because supervisors ask every few seconds.
_known_failures: frozenset[str] = frozenset()
_log_lock = threading.Lock()
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if all checks pass and 503 otherwise, with the age of each process' last heartbeat in seconds.

    database, broker: true if they answer. disk_space: true if an upload would fit.
    retention: true if no private data is older than allowed and no purge is overdue."""
    answers = {
        "database": _is_database_up(),
        "broker": _is_broker_up(),
        "disk_space": _has_disk_space(),
        "retention": _is_retention_ok(),
    }
    _log_changes(frozenset(name for name, is_well in answers.items() if not is_well))
    response = JsonResponse(
        {
            "status": "ok" if all(answers.values()) else "failing",
            **answers,
            "heartbeat_seconds": {name: _heartbeat_seconds(name) for name in PROCESSES},
        },
        status=200 if all(answers.values()) else 503,
    )
    # Keep Django from logging every response of 500 and above: the change was logged above.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _log_changes(wrong: frozenset[str]) -> None:
    """Log the checks that started to fail and the checks that passed again since the last call."""
    global _known_failures
    with _log_lock:
        gone, back, _known_failures = wrong - _known_failures, _known_failures - wrong, wrong
    if gone:
        log.error("health checks failing: %s", ", ".join(sorted(gone)))
    if back:
        log.warning("health checks passing again: %s", ", ".join(sorted(back)))


def _is_database_up() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except DatabaseError:
        return False


def _is_broker_up() -> bool:
    """Return True if a value can be written and read back. Cache and broker are the same server."""
    as_decimal = uuid4().hex
    try:
        cache.set("healthz", as_decimal, timeout=60)
        return cache.get("healthz") is not None
    except (RedisError, OSError):
        return False


def _has_disk_space() -> bool:
    """Return True if the largest allowed upload fits on the disk of the data folder and in the blob store.

    Database and logs are written to the data folder even if the blobs are stored elsewhere."""
    needed = settings.HEADSHOTS_MAX_UPLOAD_BYTES
    return disk_usage(settings.HEADSHOTS_DATA_DIR).free >= needed and blob_store().has_room(needed)


def _is_retention_ok() -> bool:
    """Return True if the retention audit passes.

    The result is cached for ten seconds, because anyone can request this page as often as they like."""
    known: bool | None = None
    with suppress(RedisError, OSError):
        known = cache.get("retention-ok")
    if known is None:
        try:
            known = audit().ok
        except DatabaseError:
            return False
        with suppress(RedisError, OSError):
            cache.set("retention-ok", known, timeout=10)
    return known


def _heartbeat_seconds(name: str) -> float | None:
    """Return the seconds since the process last touched its heartbeat file. Returns None if it has no file."""
    heartbeat = settings.HEADSHOTS_RUN_DIR / f"{name}.heartbeat"
    try:
        return round(max(0.0, time.time() - heartbeat.stat().st_mtime), 1)
    except FileNotFoundError:
        return None


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the metrics for Prometheus.

    If a token is configured, requests without it get 401.
    Otherwise only staff who may see statistics, and with DEBUG this machine, have access. Others get 404."""
    token = settings.HEADSHOTS_METRICS_TOKEN
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"}, content_type="text/plain")
    elif not (_is_local_debug_request(request) or _may_view_stats(request)):
        raise Http404
    # Imported here because the web process needs the Prometheus library for nothing else.
    from headshots.dashboard.monitoring.metrics import CONTENT_TYPE, exposition

    return HttpResponse(exposition(), content_type=CONTENT_TYPE)


def _is_local_debug_request(request: HttpRequest) -> bool:
    """Return True if DEBUG is on and the request comes from this machine without a proxy.

    A proxy on this machine also connects from loopback, but its clients are elsewhere."""
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    is_forwarded = is_forwarded or bool(settings.HEADSHOTS_TRUSTED_PROXIES)
    return settings.DEBUG and request.META.get("REMOTE_ADDR") in _LOOPBACK and not is_forwarded


def _may_view_stats(request: HttpRequest) -> bool:
    user = request.user
    allowed = user.is_active and user.is_staff and user.has_perm("dashboard.view_stats")
    return bool(allowed and not lacks_second_factor(request))
