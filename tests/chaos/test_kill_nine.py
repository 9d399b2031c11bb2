"""kill -9 at every step of an upload and of a purge: nothing orphaned, nothing lost, every state right."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.migrated import copy_migrated_database

ROOT = Path(__file__).resolve().parents[2]


def test_killed_at_every_step(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")} | {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_LOG_LEVEL": "CRITICAL",
        "HEADSHOTS_DATA_DIR": str(tmp_path / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(tmp_path / "source"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(tmp_path / "result"),
        "PYTHONPATH": str(ROOT),
    }
    copy_migrated_database(tmp_path / "data")

    result = subprocess.run(
        [sys.executable, "-m", "tests.chaos.killed"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
    steps = json.loads(result.stdout)
    # Each of their steps was the last, and there were many.
    assert steps["uploads"] > 30
    assert steps["purges"] > 35
