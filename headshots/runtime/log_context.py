"""Context of log lines: the ids of request, task, shoot and pack, carried from web to workers.

A request has an id from its beginning on; a task that it wakes carries that id in its message, and so do the tasks that
this one wakes. The ids are added to every line by `headshots/runtime/log_format.py`, whoever writes it.
"""

import inspect
from collections.abc import Mapping, MutableMapping, Sequence
from logging.config import dictConfig
from uuid import uuid4

from celery import Task, signals
from django.conf import settings
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

# In the headers of a message.
_HEADER = "headshots_request"
# Arguments, of views and of tasks, that say what is worked on.
_ID_ARGUMENTS = {"shoot_id": "shoot", "pack_id": "pack", "photo_id": "photo", "payment_id": "payment"}


def reset(**ids: object) -> None:
    """Forget whatever this process worked on before: from here on every line carries these ids."""
    clear_contextvars()
    bind(**ids)


def bind(**ids: object) -> None:
    """From here on every line carries these ids as well. None is no id."""
    bind_contextvars(**{name: str(value) for name, value in ids.items() if value is not None})


def bind_arguments(arguments: Mapping[str, object]) -> None:
    """The ids among the arguments of a view or a task."""
    bind(**{_ID_ARGUMENTS[name]: value for name, value in arguments.items() if name in _ID_ARGUMENTS})


def current_ids() -> dict[str, str]:
    """Those that a line would carry now."""
    return {name: str(value) for name, value in get_contextvars().items()}


def new_request_id() -> str:
    return uuid4().hex


def connect_signals() -> None:
    """Wire it into Celery: messages carry the request's id, tasks begin with it, and the log is ours alone."""
    signals.setup_logging.connect(_configure_logging)
    signals.before_task_publish.connect(_add_request_id)
    signals.task_prerun.connect(_on_task_start)
    signals.task_postrun.connect(_on_task_end)


def _configure_logging(**_signal: object) -> None:
    """Instead of Celery's own handlers and formats."""
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
