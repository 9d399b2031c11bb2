"""The dashboard on both databases: right, quick, and with as many queries for a year as for a day."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
MAX_MS = 400


def measure(tmp_path: Path, shoots: int, repeats: int, **settings: str) -> dict[str, object]:
    """What tests/headshots/dashboard/stats/dashboard_at_scale.py says of a fresh database."""
    folders = {name: str(tmp_path / name) for name in ("data", "source-ring", "result-ring")}
    environment = os.environ | {
        "HEADSHOTS_DATA_DIR": folders["data"],
        "HEADSHOTS_PHOTO_KEYS_DIR": folders["source-ring"],
        "HEADSHOTS_HEADSHOT_KEYS_DIR": folders["result-ring"],
        "HEADSHOTS_HTTPS": "0",
        **settings,
    }
    command = [sys.executable, "-m", "tests.headshots.dashboard.stats.dashboard_at_scale", str(shoots), str(repeats)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    measured = json.loads(result.stdout.strip().splitlines()[-1])
    print(json.dumps(measured, indent=1))
    assert measured["differences"] == []
    assert len(set(measured["queries"])) == 1
    return measured


def test_figures_are_right_on_postgresql(tmp_path: Path, new_postgresql: Callable[[], str]) -> None:
    measured = measure(tmp_path, 250, 1, HEADSHOTS_DATABASE_URL=new_postgresql())

    assert measured["database"] == "postgresql"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_year_of_a_hundred_thousand_shoots_answers_at_once(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    settings = {}
    if database == "postgresql":
        settings = {"HEADSHOTS_DATABASE_URL": request.getfixturevalue("new_postgresql")()}

    measured = measure(tmp_path, 100_000, 5, **settings)

    assert measured["database"] == database
    assert measured["rows"]["Shoot"] == 100_000
    assert measured["rows"]["Headshot"] > 1_950_000
    assert {address: times for address, times in measured["page_ms"].items() if times[0] >= MAX_MS} == {}
