"""Log lines without anything of a person in them: as text for people to read, as JSON for machines.

Everything goes through the standard library's `logging`, our modules' lines and those of the libraries alike; structlog
makes the lines. Each carries the ids of the work at hand (`headshots/log_context.py`).
"""

import json
import logging
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

from structlog.contextvars import merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict

# What people call themselves and their pictures, and the links that let them in.
_MASKED = (
    (re.compile(r"[^\s@<>\"'(=]+@[^\s@<>\"')]+\.[a-zA-Z]{2,}"), "[address]"),
    (re.compile(r"[^\s/<>\"'(=]+\.(?:jpe?g|jfif|png|webp|hei[cf]|avif|gif|bmp|tiff?)\b", re.IGNORECASE), "[picture]"),
    (re.compile(r"(/accounts/(?:password/reset/key|confirm-email)/)[^\s/]+"), r"\1[key]"),
)
_IDS = ("request", "task", "shoot", "pack", "photo", "payment")


def logging_settings(*, level: str, as_json: bool) -> dict[str, object]:
    """Django's LOGGING: every line to the standard error of its process, in our format."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": LineFormatter, "as_json": as_json}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
            # A page that is not there, a form that is not complete: the person's concern, not the operator's.
            "django.request": {"level": "ERROR"},
            # Through our formatter as well; the access log would hold the links of password mails.
            "uvicorn": {"handlers": ["console"], "level": "INFO", "propagate": False},
            "uvicorn.access": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
        },
    }


class LineFormatter(ProcessorFormatter):
    """Time, level, logger, text and ids; of an exception its types and where they were raised.

    Not its message: a database's would quote the row that it refused, address included."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__(
            foreign_pre_chain=[merge_contextvars],
            processors=[_describe, _as_json if as_json else _as_text],
        )

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[0] if record.exc_info else None
        if error and isinstance(record.args, Mapping) and "exc" in record.args:
            # Celery writes a failed task's exception into its line, message and all.
            words = dict(record.args) | {"exc": error.__qualname__}
            record = logging.makeLogRecord(record.__dict__ | {"args": words})
        return super().format(record)


def mask(text: str) -> str:
    """The text without addresses, names of pictures and keys to accounts."""
    for pattern, instead in _MASKED:
        text = pattern.sub(instead, text)
    return text


def places(error: BaseException | None) -> list[str]:
    """The types of an exception and of what caused it, each with the lines that it went through."""
    lines: list[str] = []
    while error is not None:
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        lines += [
            f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if error is not None:
            lines.append("caused by")
    return lines


def _describe(logger: object, method: str, event: EventDict) -> EventDict:
    """What the line says, and nothing else that the record may carry."""
    record: logging.LogRecord = event["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    # The level first: whoever started this process tells warnings by it.
    line: EventDict = {"level": record.levelname, "at": at, "logger": record.name, "event": mask(str(event["event"]))}
    line.update({name: event[name] for name in _IDS if name in event})
    if event.get("exc_info"):
        line["exception"] = places(event["exc_info"][1])
    return line


def _as_json(logger: object, method: str, line: EventDict) -> str:
    return json.dumps(line, ensure_ascii=False)


def _as_text(logger: object, method: str, line: EventDict) -> str:
    ids = "".join(f" {name}={line[name]}" for name in _IDS if name in line)
    first = f"{line['at'].replace('T', ' ')} {line['level']} {line['logger']}: {line['event']}{ids}"
    return "\n".join([first, *line.get("exception", [])])
