"""Durations and sizes in words, for pages and emails."""

import math
from datetime import timedelta

# Seconds, name, and the smallest duration in seconds that uses the unit. Days start at two, so that 24 hours and
# 36 hours are shown in hours.
_UNITS = (
    (365 * 86_400, "year", 365 * 86_400),
    (86_400, "day", 2 * 86_400),
    (3600, "hour", 3600),
    (60, "minute", 60),
    (1, "second", 0),
)
# The long edge of Ultra HD, the smallest size that is called 4K.
FOUR_K_PX = 3840


def humanize_duration(seconds: float) -> str:
    """Return a duration in words, in its largest unit and the next smaller one: "24 hours", "1 hour 30 minutes".

    Rounds up, because pages promise these times."""
    whole = max(0, math.ceil(seconds))
    index = next(index for index, (_, _, least) in enumerate(_UNITS) if whole >= least)
    units = _UNITS[index : index + 2]
    step = units[-1][0]
    if whole % step:
        # The rounded duration can belong to a larger unit.
        return humanize_duration(whole + step - whole % step)
    parts = []
    for size, name, _ in units:
        count, whole = divmod(whole, size)
        parts.append((count, name))
    words = [f"{count} {name}" if count == 1 else f"{count} {name}s" for count, name in parts if count]
    return " ".join(words) or "0 seconds"


def humanize_timedelta(duration: timedelta) -> str:
    """Return a duration in words, as `humanize_duration` does."""
    return humanize_duration(duration.total_seconds())


def humanize_days(days: int) -> str:
    """Return a number of days in words: "30 days", "1 year"."""
    return humanize_duration(days * 86_400)


def humanize_bytes(size: int) -> str:
    """Return a size in whole megabytes, rounded down, because pages promise that files of this size are accepted."""
    return f"{size // (1024 * 1024):,} MB"


def humanize_size(long_edge_px: int) -> str:
    """Return "4K", or the pixels of a smaller long edge: "1,600 pixels"."""
    return "4K" if long_edge_px >= FOUR_K_PX else f"{long_edge_px:,} pixels"
