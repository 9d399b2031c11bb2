"""Divide the test files between processes so that all finish at about the same time.

Each file runs in one process, because module fixtures are expensive. The long files start first, in order of their
measured duration. The others follow in the random order of pytest-randomly. Tests with a browser are one group: each
uses the whole product, and two products at the same time would be too slow on two cores. So are the tests that use the
S3 server. `run.py test --measure` updates the durations in tests/durations.json.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

DURATIONS = Path(__file__).resolve().parents[1] / "durations.json"
BROWSER = "tests/browser/"
# Files that use the S3 server, which one process starts.
S3 = ("tests/headshots/test_outages.py", "tests/headshots/vault/test_stores.py")
# Seconds assumed for a file that has not been measured.
UNKNOWN = 10.0
# Seconds from which a file is long: it must not be the last that one process begins.
LONG = 15.0


class LongestFirstScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Assign whole files, and the browser tests as one group, in the order in which the tests were collected."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False  # Otherwise the files with the most tests come first.
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Return the name of the group of tests that must run in one process."""
    file = nodeid.partition("::")[0]
    if file in S3:
        return S3[0]
    return BROWSER if file.startswith(BROWSER) else file


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Sort tests by the measured duration of their group. Tests of one group, and short groups, keep their order."""
    durations: Counter[str] = Counter()
    measured = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
    for file in dict.fromkeys(item.nodeid.partition("::")[0] for item in items):
        durations[group_of(file)] += measured.get(file, UNKNOWN)
    long = {group: (-seconds, group) for group, seconds in durations.items() if seconds >= LONG}
    items.sort(key=lambda item: long.get(group_of(item.nodeid), (0.0, "")))


class Stopwatch:
    """Pytest plugin that writes the duration of each file at the end of a run without failures."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK:
            rounded = {file: round(seconds, 1) for file, seconds in sorted(self.seconds.items())}
            DURATIONS.write_text(json.dumps(rounded, indent=1) + "\n")
