"""Durations and sizes in words, for the pages that promise them."""

_UNITS = (
    (365 * 86_400, "year", 1),
    (86_400, "day", 2 * 86_400),
    (3600, "hour", 1),
    (60, "minute", 1),
    (1, "second", 0),
)


def humanize_duration(seconds: int) -> str:
    """A time as people say it, in the largest unit that it is a whole number of, hours up to two days: "24 hours"."""
    for size, unit, least in _UNITS:
        if seconds >= least and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("any number of seconds is a whole number of seconds")


def humanize_days(days: int) -> str:
    return humanize_duration(days * 86_400)


# Ultra HD's long edge: from here on it is 4K.
FOUR_K_PX = 3840


def humanize_size(long_edge_px: int) -> str:
    """ "4K", or the pixels of the long edge where they are fewer: "1,600 pixels"."""
    return "4K" if long_edge_px >= FOUR_K_PX else f"{long_edge_px:,} pixels"
