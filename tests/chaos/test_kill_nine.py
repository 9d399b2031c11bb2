"""kill -9 at every step of an upload and of a purge: nothing orphaned, nothing lost, every state right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("what", "least"), [("uploads", 30), ("purges", 35)])
def test_killed_at_every_step(tmp_path: Path, what: str, least: int) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")} | {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_LOG_LEVEL": "CRITICAL",
        "HEADSHOTS_DATA_DIR": str(tmp_path / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(tmp_path / "source"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(tmp_path / "result"),
        "PYTHONPATH": str(ROOT),
    }
    (tmp_path / "data").mkdir()

    result = subprocess.run(
        [sys.executable, "-m", "tests.chaos.killed", what],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
    # Each of its steps was its last, and there were many.
    assert json.loads(result.stdout) > least
