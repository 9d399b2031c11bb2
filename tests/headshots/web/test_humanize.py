"""Durations and sizes in words: exact where they are settings, rounded up where they were measured."""

from datetime import timedelta

import pytest

from headshots.web.humanize import humanize_bytes, humanize_days, humanize_duration, humanize_size, humanize_timedelta

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 seconds"),
        (0, "0 seconds"),
        (1, "1 second"),
        (11.2, "12 seconds"),
        (59.5, "1 minute"),
        (MINUTE, "1 minute"),
        (100, "1 minute 40 seconds"),
        (90 * MINUTE, "1 hour 30 minutes"),
        (HOUR, "1 hour"),
        (HOUR + 1, "1 hour 1 minute"),
        (DAY, "24 hours"),
        (DAY - 1, "24 hours"),
        (36 * HOUR, "36 hours"),
        (2 * DAY - 1, "2 days"),
        (2 * DAY, "2 days"),
        (2 * DAY + 1, "2 days 1 hour"),
        (30 * DAY, "30 days"),
        (365 * DAY - 1, "1 year"),
        (400 * DAY, "1 year 35 days"),
        (10 * 365 * DAY, "10 years"),
    ],
)
def test_a_duration_has_its_two_largest_units_and_is_never_understated(seconds: float, words: str) -> None:
    assert humanize_duration(seconds) == words


def test_days_and_time_differences_read_the_same() -> None:
    assert humanize_days(30) == humanize_timedelta(timedelta(days=30)) == "30 days"


def test_a_size_is_4k_or_its_pixels() -> None:
    assert [humanize_size(3840), humanize_size(1600)] == ["4K", "1,600 pixels"]


def test_bytes_are_whole_megabytes_that_are_accepted() -> None:
    assert humanize_bytes(25 * 1024 * 1024) == "25 MB"
    assert humanize_bytes(2 * 1024 * 1024 - 1) == "1 MB"
