"""Crash reports to Sentry: error types and code positions, without personal data.

By default, Sentry's library sends local variables, messages, requests and earlier log lines. Here its integrations for
requests and tasks are off, and our signal handlers pass it the exceptions. Each event is then rebuilt from the few
fields that cannot contain personal data: types, positions in the code, and the ids that log lines carry as well.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from celery import signals
from django.conf import settings
from django.core.signals import got_request_exception

from headshots.runtime import log_context

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_SAFE_FIELDS = ("event_id", "timestamp", "level", "platform", "environment", "release")
_SAFE_FRAME_FIELDS = ("filename", "module", "function", "lineno", "in_app")
_SAFE_MECHANISM_FIELDS = ("type", "handled", "exception_id", "parent_id", "is_exception_group")


def start() -> None:
    """Report the crashes of this process, if HEADSHOTS_SENTRY_DSN is set."""
    if not settings.HEADSHOTS_SENTRY_DSN:
        return
    # Imported here, so that nothing is loaded without a DSN.
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration

    sentry_sdk.init(
        dsn=settings.HEADSHOTS_SENTRY_DSN,
        environment="development" if settings.DEBUG else "production",
        # Without a release, the library runs git.
        release="headshots",
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[ExcepthookIntegration(), AtexitIntegration(callback=lambda pending, timeout: None)],
        before_send=scrub_event,
        before_breadcrumb=lambda breadcrumb, hint: None,
        max_breadcrumbs=0,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        propagate_traces=False,
        auto_session_tracking=False,
        send_client_reports=False,
        enable_metrics=False,
        # Without this, an environment variable of the library could turn it on.
        spotlight=False,
    )
    got_request_exception.connect(_report_request)
    signals.task_failure.connect(_report_task)


def scrub_event(event: "Event", hint: "Hint") -> "Event | None":
    """Return the event with safe fields only, None if the event is about no exception."""
    exception = event.get("exception")
    errors = exception.get("values", []) if isinstance(exception, Mapping) else []
    if not errors:
        return None
    kept: Event = {name: event[name] for name in _SAFE_FIELDS if name in event}  # type: ignore[literal-required, assignment]
    kept["exception"] = {"values": [_scrub_exception(error) for error in errors]}
    kept["tags"] = dict(log_context.current_ids())
    return kept


def _scrub_exception(error: Mapping[str, object]) -> dict[str, object]:
    """Return the safe fields of one exception of a chain.

    Drops the message: a database error quotes the row that the database refused."""
    stack = error.get("stacktrace")
    frames = stack.get("frames", []) if isinstance(stack, Mapping) else []
    return {
        "type": error.get("type"),
        "module": error.get("module"),
        "mechanism": _pick(_SAFE_MECHANISM_FIELDS, error.get("mechanism")),
        "stacktrace": {"frames": [_pick(_SAFE_FRAME_FIELDS, frame) for frame in frames]},
    }


def _pick(names: tuple[str, ...], items: object) -> dict[str, object]:
    return {name: items[name] for name in names if name in items} if isinstance(items, Mapping) else {}


def _report_request(**_signal: object) -> None:
    _report(sys.exc_info()[1])


def _report_task(exception: BaseException, **_signal: object) -> None:
    _report(exception)


def _report(error: BaseException | None) -> None:
    import sentry_sdk

    sentry_sdk.capture_exception(error)
