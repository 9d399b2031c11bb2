"""A database with all tables, made once for each test process and copied for whatever starts with one of its own."""

import atexit
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def copy_migrated_database(data: Path) -> None:
    """Put a database without an account, a shoot or a look into a new data folder."""
    data.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(_template())) as template, closing(sqlite3.connect(data / "db.sqlite3")) as copy:
        template.backup(copy)


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hs-db-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")} | {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_DATA_DIR": str(folder / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(folder / "source-ring"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(folder / "result-ring"),
    }
    command = [sys.executable, "manage.py", "migrate", "-v0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "data" / "db.sqlite3"
