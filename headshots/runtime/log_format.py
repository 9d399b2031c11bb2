"""Format log lines without personal data, as text or as JSON.

All log lines, including those of libraries, go through the standard library's `logging`. structlog formats them. Each
line carries the ids of the current work (`headshots/runtime/log_context.py`).
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

# Email addresses, file names of pictures, and the keys in links of emails. The first two patterns match at the start of
# a word only. Otherwise matching would start at each letter, and take quadratic time for a long word.
_MASKED = (
    (re.compile(r"(?<![^\s@<>\"'(=])[^\s@<>\"'(=]++@[^\s@<>\"')]+\.[a-zA-Z]{2,}"), "[email]"),
    (
        re.compile(
            r"(?<![^\s/<>\"'(=])[^\s/<>\"'(=]+\.(?:jpe?g|jfif|png|webp|hei[cf]|hif|avif|gif|bmp|tiff?)\b",
            re.IGNORECASE,
        ),
        "[picture]",
    ),
    (re.compile(r"(/accounts/(?:password/reset/key|confirm-email)/)[^\s/]+"), r"\1[key]"),
)
# Log lines quote request headers, whose length the client chooses.
MAX_TEXT_LENGTH = 2000
# The longest address that mail servers accept. The start of one at the cut is no longer than this.
MAX_ADDRESS_LENGTH = 254
MAX_FRAMES, MAX_CAUSES = 20, 5
_IDS = ("request", "task", "shoot", "pack", "photo", "payment")


def logging_settings(*, level: str, as_json: bool) -> dict[str, object]:
    """Return Django's LOGGING setting: every line goes to standard error, in our format."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": LineFormatter, "as_json": as_json}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
            # Missing pages and incomplete forms are faults of the request, not of the product.
            "django.request": {"level": "ERROR"},
            # Our formatter masks these lines too. The access log would contain the links of password emails.
            "uvicorn": {"handlers": ["console"], "level": "INFO", "propagate": False},
            "uvicorn.access": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
        },
    }


class LineFormatter(ProcessorFormatter):
    """A formatter that writes time, level, logger, text and ids, plus types and positions of an exception.

    Omits the exception's message: a database error quotes the row that the database refused, with email addresses."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__(
            foreign_pre_chain=[merge_contextvars],
            processors=[_describe, _as_json if as_json else _as_text],
        )

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[0] if record.exc_info else None
        if error and isinstance(record.args, Mapping) and "exc" in record.args:
            # Celery writes the exception of a failed task into the line, including its message.
            words = dict(record.args) | {"exc": error.__qualname__}
            record = logging.makeLogRecord(record.__dict__ | {"args": words})
        return super().format(record)


def mask(text: str) -> str:
    """Return the text without email addresses, file names of pictures and keys to accounts.

    Cuts the text at MAX_TEXT_LENGTH characters.
    Drops the last word before the cut, because half an address would not be recognized."""
    if len(text) > MAX_TEXT_LENGTH:
        text = _without_last_word(text[:MAX_TEXT_LENGTH]) + " [cut]"
    for pattern, instead in _MASKED:
        text = pattern.sub(instead, text)
    return text


def _without_last_word(text: str) -> str:
    space = max(text.rfind(space) for space in " \t\n")
    return text[: max(space, len(text) - MAX_ADDRESS_LENGTH)].rstrip()


def traceback_lines(error: BaseException | None) -> list[str]:
    """Return the types of an exception and of its causes, each with its last stack frames.

    Returns at most MAX_CAUSES exceptions with MAX_FRAMES frames each, and no messages."""
    lines: list[str] = []
    for _ in range(MAX_CAUSES):
        if error is None:
            break
        if lines:
            lines.append("caused by")
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def _describe(logger: object, method: str, event: EventDict) -> EventDict:
    """Return the fields of the log line, dropping everything else in the record."""
    record: logging.LogRecord = event["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    # The level comes first, so that run.py can recognize warnings at the start of a JSON line.
    line: EventDict = {"level": record.levelname, "at": at, "logger": record.name, "event": mask(str(event["event"]))}
    line.update({name: event[name] for name in _IDS if name in event})
    if event.get("exc_info"):
        line["exception"] = traceback_lines(event["exc_info"][1])
    return line


def _as_json(logger: object, method: str, line: EventDict) -> str:
    return json.dumps(line, ensure_ascii=False)


def _as_text(logger: object, method: str, line: EventDict) -> str:
    ids = "".join(f" {name}={line[name]}" for name in _IDS if name in line)
    first = f"{line['at'].replace('T', ' ')} {line['level']} {line['logger']}: {line['event']}{ids}"
    return "\n".join([first, *line.get("exception", [])])
