"""Several processes delete the same shoot, the same account, at the same moment: all end well, with one certificate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.helpers.processes import environment_for


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_deleted_by_several_processes_at_once_it_is_deleted_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.deletions"],
        cwd=settings.BASE_DIR, env=environment_for(database, tmp_path, request), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"shoots": 4, "accounts": 4}
