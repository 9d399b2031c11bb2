"""Crashes to Sentry, where the operator names one: what broke and where, never what it was working on.

Left to itself its library sends local variables, messages, requests and the lines of log before a crash. Here it has no
part in requests and tasks; they hand it their exceptions. What it makes of one is written anew from the few fields that
can hold nothing of a person: types, places in our code, and the ids that log lines carry too.
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

_KEPT = ("event_id", "timestamp", "level", "platform", "environment", "release")
_KEPT_OF_FRAME = ("filename", "module", "function", "lineno", "in_app")
_KEPT_OF_MECHANISM = ("type", "handled", "exception_id", "parent_id", "is_exception_group")


def start() -> None:
    """Report the crashes of this process, if the operator has named a Sentry."""
    if not settings.HEADSHOTS_SENTRY_DSN:
        return
    # Here: without a Sentry nothing of it is loaded.
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration

    sentry_sdk.init(
        dsn=settings.HEADSHOTS_SENTRY_DSN,
        environment="development" if settings.DEBUG else "production",
        # Else it asks git.
        release="headshots",
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[ExcepthookIntegration(), AtexitIntegration(callback=lambda pending, timeout: None)],
        before_send=only_what_is_safe,
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
        # It would also listen to a variable of its own.
        spotlight=False,
    )
    got_request_exception.connect(_report_request)
    signals.task_failure.connect(_report_task)


def only_what_is_safe(event: "Event", hint: "Hint") -> "Event | None":
    """The event as it may leave; None for one that is about no exception."""
    told = event.get("exception")
    errors = told.get("values", []) if isinstance(told, Mapping) else []
    if not errors:
        return None
    kept: Event = {name: event[name] for name in _KEPT if name in event}  # type: ignore[literal-required, assignment]
    kept["exception"] = {"values": [_only_types_and_places(error) for error in errors]}
    kept["tags"] = dict(log_context.ids())
    return kept


def _only_types_and_places(error: Mapping[str, object]) -> dict[str, object]:
    """One exception of a chain. Its message goes: a database's would quote the row that it refused."""
    stack = error.get("stacktrace")
    frames = stack.get("frames", []) if isinstance(stack, Mapping) else []
    return {
        "type": error.get("type"),
        "module": error.get("module"),
        "mechanism": _only(_KEPT_OF_MECHANISM, error.get("mechanism")),
        "stacktrace": {"frames": [_only(_KEPT_OF_FRAME, frame) for frame in frames]},
    }


def _only(names: tuple[str, ...], items: object) -> dict[str, object]:
    return {name: items[name] for name in names if name in items} if isinstance(items, Mapping) else {}


def _report_request(**_signal: object) -> None:
    _report(sys.exc_info()[1])


def _report_task(exception: BaseException, **_signal: object) -> None:
    _report(exception)


def _report(error: BaseException | None) -> None:
    import sentry_sdk

    sentry_sdk.capture_exception(error)
