"""Several processes delete the same shoot, the same account, at the same moment: all end well, with one certificate."""

from pathlib import Path

import pytest

from tests.helpers.processes import environment_for, run_program


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("rounds", [2, 8])
def test_deleted_by_several_processes_at_once_it_is_deleted_once(
    database: str, rounds: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = ["--full"] if rounds > 2 else []

    seen = run_program("tests.chaos.deletions", environment_for(database, tmp_path, request), *options)

    assert seen == {"shoots": rounds, "accounts": rounds}
