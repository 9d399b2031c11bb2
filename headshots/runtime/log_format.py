"""Format log lines without personal data: as text for people, as JSON for machines.

Everything goes through the standard library's `logging`, our modules' lines and those of the libraries alike; structlog
makes the lines. Each carries the ids of the work at hand (`headshots/runtime/log_context.py`).
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

# Email addresses, names of pictures, and the keys in links of mails. The first two look only at the start of a word:
# without that, a word of n letters is read from each of them, and n letters cost n squared.
_MASKED = (
    (re.compile(r"(?<![^\s@<>\"'(=])[^\s@<>\"'(=]++@[^\s@<>\"')]+\.[a-zA-Z]{2,}"), "[address]"),
    (
        re.compile(
            r"(?<![^\s/<>\"'(=])[^\s/<>\"'(=]+\.(?:jpe?g|jfif|png|webp|hei[cf]|hif|avif|gif|bmp|tiff?)\b",
            re.IGNORECASE,
        ),
        "[picture]",
    ),
    (re.compile(r"(/accounts/(?:password/reset/key|confirm-email)/)[^\s/]+"), r"\1[key]"),
)
# A line is for reading, and the sender of a request chooses how long its headers are.
MAX_TEXT_LENGTH = 2000
# The longest address that mail servers take: as much of a word at the cut may be the start of one.
MAX_ADDRESS_LENGTH = 254
MAX_FRAMES, MAX_CAUSES = 20, 5
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
    """Return at most 2,000 characters of the text without addresses, names of pictures and keys to accounts.

    A word at the cut is left out: half an address would not be recognized as one."""
    if len(text) > MAX_TEXT_LENGTH:
        text = _without_last_word(text[:MAX_TEXT_LENGTH]) + " [cut]"
    for pattern, instead in _MASKED:
        text = pattern.sub(instead, text)
    return text


def _without_last_word(text: str) -> str:
    space = max(text.rfind(space) for space in " \t\n")
    return text[: max(space, len(text) - MAX_ADDRESS_LENGTH)].rstrip()


def traceback_lines(error: BaseException | None) -> list[str]:
    """Return the types of an exception and of its causes, each with the last lines that it went through."""
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
    """What the line says, and nothing else that the record may carry."""
    record: logging.LogRecord = event["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    # The level first: whoever started this process tells warnings by it.
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
