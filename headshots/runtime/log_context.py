"""Context of log lines: the ids of request, task, shoot and pack, carried from web to workers.

Each request has an id. Tasks that the request sends carry that id in their messages, and so do the tasks that these
tasks send. `headshots/runtime/log_format.py` adds the ids to every log line, including those of libraries.
"""

import inspect
from collections.abc import Mapping, MutableMapping, Sequence
from logging.config import dictConfig
from uuid import uuid4

from celery import Task, signals
from django.conf import settings
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

# Header of a Celery message that carries the request's id.
_HEADER = "headshots_request"
# Arguments of views and tasks that identify the object of the work, with their names in log lines.
_ID_ARGUMENTS = {"shoot_id": "shoot", "pack_id": "pack", "photo_id": "photo", "payment_id": "payment"}


def reset(**ids: object) -> None:
    """Replace all ids of the current context: from now on every log line carries these ids only."""
    clear_contextvars()
    bind(**ids)


def bind(**ids: object) -> None:
    """Add ids to all further log lines of the current context. Ignores ids that are None."""
    bind_contextvars(**{name: str(value) for name, value in ids.items() if value is not None})


def bind_arguments(arguments: Mapping[str, object]) -> None:
    """Add the ids among the arguments of a view or a task to all further log lines."""
    bind(**{_ID_ARGUMENTS[name]: value for name, value in arguments.items() if name in _ID_ARGUMENTS})


def current_ids() -> dict[str, str]:
    """Return the ids that a log line would carry now."""
    return {name: str(value) for name, value in get_contextvars().items()}


def new_request_id() -> str:
    return uuid4().hex


def connect_signals() -> None:
    """Connect to Celery's signals.

    Messages then carry the request's id, tasks bind it, and Celery does not configure logging."""
    signals.setup_logging.connect(_configure_logging)
    signals.before_task_publish.connect(_add_request_id)
    signals.task_prerun.connect(_on_task_start)
    signals.task_postrun.connect(_on_task_end)


def _configure_logging(**_signal: object) -> None:
    """Configure logging from the settings, in place of Celery's own handlers and formats."""
    dictConfig(settings.LOGGING)


def _add_request_id(headers: MutableMapping[str, object], **_signal: object) -> None:
    request = current_ids().get("request")
    if request:
        headers[_HEADER] = request


def _on_task_start(task: Task, task_id: str, args: Sequence[object], kwargs: Mapping[str, object], **_: object) -> None:
    reset(request=task.request.get(_HEADER), task=task_id)
    named = inspect.signature(task.run).bind_partial(*args, **kwargs)
    bind_arguments(named.arguments)


def _on_task_end(**_signal: object) -> None:
    clear_contextvars()
