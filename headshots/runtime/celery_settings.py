"""The broker's URL and beat's schedule, for the settings.

A lost message loses no work: a task of this schedule finds the unfinished work later.
"""

from django.core.exceptions import ImproperlyConfigured


def beat_schedule(*, photo_ttl_seconds: int) -> dict[str, dict[str, object]]:
    """Return Celery's beat schedule for photos that are kept for `photo_ttl_seconds`."""
    purge_seconds = min(60.0, max(1.0, photo_ttl_seconds / 20))
    return {
        "requeue stalled work": _every(10.0, "shoots.requeue_stalled", expires=30),
        "purge what is due": _every(purge_seconds, "retention.purge_due", expires=300),
        "sweep orphans": _every(3600.0, "retention.sweep_orphans", expires=3600),
        "reconcile payments": _every(60.0, "payments.reconcile", expires=300),
        "replay missed events": _every(3600.0, "payments.replay_events", expires=3600),
        "rewrite account tables": _every(3600.0, "retention.rewrite_account_tables", expires=3600),
        "email certificates": _every(600.0, "retention.mail_certificates", expires=600),
        "delete expired certificates": _every(86_400.0, "retention.delete_expired_certificates", expires=86_400),
        "finish deleting accounts": _every(60.0, "data_rights.finish_account_deletion", expires=60),
        "clear sessions": _every(86_400.0, "accounts.clear_sessions", expires=86_400),
        "flush visit counters": _every(60.0, "dashboard.flush_visit_counters", expires=60),
        "aggregate days": _every(900.0, "dashboard.aggregate_days", expires=900),
        # Hourly, because the task checks for Monday itself: after an outage, the report is late but not skipped.
        "email report": _every(3600.0, "dashboard.mail_report", expires=3600),
    }


def _every(seconds: float, task: str, *, expires: int) -> dict[str, object]:
    # `expires`: copies of one task must not pile up in a queue while no worker consumes it.
    return {"task": task, "schedule": seconds, "options": {"expires": expires}}


def broker_url(redis_url: str) -> str:
    """Return the broker URL in Celery's spelling, `memory://` without a server.

    Raises ImproperlyConfigured for an unknown scheme."""
    if redis_url and not redis_url.startswith(("unix://", "redis://", "rediss://")):
        raise ImproperlyConfigured("HEADSHOTS_REDIS_URL must begin with redis://, rediss:// or unix://.")
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return redis_url or "memory://"
