"""Log lines without anything of a person in them."""

import logging
import re
import traceback
from types import TracebackType

_ADDRESS = re.compile(r"[^\s@<>\"'(=]+@[^\s@<>\"')]+\.[a-zA-Z]{2,}")

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class PlainFormatter(logging.Formatter):
    """Time, level, logger, text; of an exception its type and where it was raised.

    Not its message: a database's would quote the row that it refused, address included.
    """

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        # A copy: another handler may want the exception's text that the base class caches on the record.
        own = logging.makeLogRecord(record.__dict__)
        own.exc_text = None
        return _ADDRESS.sub("[address]", super().format(own))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802
        lines = []
        error: BaseException | None = ei[1]
        while error is not None:
            lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
            lines += [
                f"  {frame.filename}:{frame.lineno} in {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
            if error is not None:
                lines.append("caused by")
        return "\n".join(lines)
