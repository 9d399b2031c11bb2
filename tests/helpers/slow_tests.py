"""Read tests/slow_tests.toml: the tests that `run.py test` leaves out, and a faster one that shows the same."""

import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

LIST = Path(__file__).resolve().parents[1] / "slow_tests.toml"


@dataclass(frozen=True)
class SlowTest:
    """One entry of the list.

    `test` is the start of a node id: a file, a test, or a test with its first or all parameters. `level` is "full" for
    what `run.py test --full` adds, or "long" for what only `run.py test --long` runs."""

    test: str
    level: str
    reason: str
    shown_by: str

    def covers(self, nodeid: str) -> bool:
        return nodeid == self.test or nodeid.startswith(tuple(f"{self.test}{end}" for end in ("::", "[", "-", "]")))


def load() -> list[SlowTest]:
    levels = tomllib.loads(LIST.read_text())
    return [SlowTest(test, level, **entry) for level, entries in levels.items() for test, entry in entries.items()]


def level_of(nodeid: str, slow: list[SlowTest]) -> str:
    """Return "full" or "long" for a slow test, and an empty string for any other."""
    return next((each.level for each in slow if each.covers(nodeid)), "")


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow tests unless an option, or a test named by hand, asks for them."""
    if any("::" in argument for argument in config.args):
        return
    if config.getoption("--long"):
        wanted = {"long"}
    elif config.getoption("--full"):
        wanted = {"", "full"}
    else:
        wanted = {""}
    levels = _levels([item.nodeid for item in items])
    left = [item for item, level in zip(items, levels, strict=True) if level not in wanted]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item, level in zip(items, levels, strict=True) if level in wanted]


def _levels(nodeids: list[str]) -> list[str]:
    """Return the level of each test. Compares a test with the entries of its file only: there are thousands."""
    of_file: dict[str, list[SlowTest]] = defaultdict(list)
    for slow in load():
        of_file[slow.test.partition("::")[0]].append(slow)
    return [level_of(nodeid, of_file.get(nodeid.partition("::")[0], [])) for nodeid in nodeids]
