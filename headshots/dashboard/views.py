import time
from uuid import uuid4

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

PROCESSES = ("render", "default", "retention", "beat")


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when database and broker answer, else 503; with the age of each process' last heartbeat in seconds."""
    answers = {"database": _database_answers(), "broker": _broker_answers()}
    return JsonResponse(
        {
            "status": "ok" if all(answers.values()) else "failing",
            **answers,
            "heartbeat_seconds": {name: _heartbeat_seconds(name) for name in PROCESSES},
        },
        status=200 if all(answers.values()) else 503,
    )


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except DatabaseError:
        return False


def _broker_answers() -> bool:
    """Cache and broker are one server, so what was written must come back."""
    written = uuid4().hex
    try:
        cache.set("healthz", written, timeout=60)
        return cache.get("healthz") is not None
    except (RedisError, OSError):
        return False


def _heartbeat_seconds(name: str) -> float | None:
    """Since the process last touched its file; None when it never did."""
    heart = settings.HEADSHOTS_RUN_DIR / f"{name}.heart"
    try:
        return round(max(0.0, time.time() - heart.stat().st_mtime), 1)
    except FileNotFoundError:
        return None
