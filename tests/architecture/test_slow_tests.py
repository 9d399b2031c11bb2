"""Each test that `run.py test` leaves out says why, and names a faster test that shows the same."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.slow_tests import LIST, SlowTest, level_of, load

ROOT = LIST.parents[1]
SLOW = load()
LEVELS = ["", "full", "long"]


@cache
def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def exists(test: str) -> bool:
    """Whether a file of tests, or a test in one, exists. Parameters in brackets are not compared."""
    file, _, name = test.partition("[")[0].partition("::")
    return (ROOT / file).is_file() and (not name or name in names_in(ROOT / file))


@pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.test.partition("/")[2])
def test_a_slow_test_has_a_reason_and_a_faster_one(slow: SlowTest) -> None:
    assert slow.level in LEVELS
    assert slow.reason.endswith(".")
    assert exists(slow.test)
    assert exists(slow.shown_by)
    assert LEVELS.index(level_of(slow.shown_by, SLOW)) < LEVELS.index(slow.level)


def test_a_test_is_slow_as_a_whole_or_with_some_parameters() -> None:
    slow = [SlowTest("tests/a.py", "full", "", ""), SlowTest("tests/b.py::test_b[2]", "long", "", "")]

    assert level_of("tests/a.py::test_a", slow) == "full"
    assert level_of("tests/b.py::test_b[2]", slow) == "long"
    assert level_of("tests/b.py::test_b[1]", slow) == ""
    assert level_of("tests/a.py.other::test_a", slow) == ""
