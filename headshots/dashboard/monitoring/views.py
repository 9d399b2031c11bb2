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
# What was wrong when this process was last asked: supervisors ask every few seconds, and only a change is worth a line.
_known_failures: frozenset[str] = frozenset()
_log_lock = threading.Lock()
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, else 503; with the age of each process' last heartbeat in seconds.

    database, broker: they answer. disk_space: an upload would fit. retention: nothing private is older than it may be,
    and beat has purged lately."""
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
    # Django writes a line for each answer of 500 and more unless one was written already: here it was, once.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _log_changes(wrong: frozenset[str]) -> None:
    """One line when something goes, one when it is back."""
    global _known_failures
    with _log_lock:
        gone, back, _known_failures = wrong - _known_failures, _known_failures - wrong, wrong
    if gone:
        log.error("health: not well any more: %s", ", ".join(sorted(gone)))
    if back:
        log.warning("health: well again: %s", ", ".join(sorted(back)))


def _is_database_up() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except DatabaseError:
        return False


def _is_broker_up() -> bool:
    """Cache and broker are one server, so what was written must come back."""
    as_decimal = uuid4().hex
    try:
        cache.set("healthz", as_decimal, timeout=60)
        return cache.get("healthz") is not None
    except (RedisError, OSError):
        return False


def _has_disk_space() -> bool:
    """On the disk of the data folder, where database, logs and perhaps blobs are written, and in the store of blobs."""
    needed = settings.HEADSHOTS_MAX_UPLOAD_BYTES
    return disk_usage(settings.HEADSHOTS_DATA_DIR).free >= needed and blob_store().has_room(needed)


def _is_retention_ok() -> bool:
    """By the audit, asked anew every ten seconds at most: anybody may ask for this page as often as they like."""
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
    """Since the process last touched its file; None when it never did."""
    heartbeat = settings.HEADSHOTS_RUN_DIR / f"{name}.heartbeat"
    try:
        return round(max(0.0, time.time() - heartbeat.stat().st_mtime), 1)
    except FileNotFoundError:
        return None


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures for Prometheus.

    With a token set, for whoever has it and else 401. Without one for staff who may see figures, and on a laptop
    (DEBUG) for this machine; everybody else gets 404."""
    token = settings.HEADSHOTS_METRICS_TOKEN
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"}, content_type="text/plain")
    elif not (_is_local_debug_request(request) or _may_view_stats(request)):
        raise Http404
    # Here: the web process needs the library for nothing else.
    from headshots.dashboard.monitoring.metrics import CONTENT_TYPE, exposition

    return HttpResponse(exposition(), content_type=CONTENT_TYPE)


def _is_local_debug_request(request: HttpRequest) -> bool:
    """A proxy on the same machine is on this machine too: whoever it speaks for is not."""
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    is_forwarded = is_forwarded or bool(settings.HEADSHOTS_TRUSTED_PROXIES)
    return settings.DEBUG and request.META.get("REMOTE_ADDR") in _LOOPBACK and not is_forwarded


def _may_view_stats(request: HttpRequest) -> bool:
    user = request.user
    allowed = user.is_active and user.is_staff and user.has_perm("dashboard.view_stats")
    return bool(allowed and not lacks_second_factor(request))
