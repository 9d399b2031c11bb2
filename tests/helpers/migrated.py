"""A database with all tables, made once for all test processes and copied for whatever starts with one of its own."""

import atexit
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED_FOLDER = "TESTS_MIGRATED_DATABASE_DIR"
"""Name of the variable that names the folder of the database, if several test processes share one."""


def copy_migrated_database(data: Path) -> None:
    """Put a database without an account, a shoot or a look into a new data folder."""
    data.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(_template())) as template, closing(sqlite3.connect(data / "db.sqlite3")) as copy:
        template.backup(copy)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """Copy that database for the tests of this process as well, where pytest-django would migrate an empty one."""
    from django.core.management.commands.migrate import Command
    from django.db import connections

    with pytest.MonkeyPatch.context() as patch:

        def copy(command: Command, *arguments: str, **options: str) -> None:
            patch.undo()  # Only once: tests that migrate do so.
            connection = connections[options["database"]]
            connection.ensure_connection()
            with closing(sqlite3.connect(_template())) as template:
                template.backup(connection.connection)

        patch.setattr(Command, "handle", copy)
        yield


@cache
def _template() -> Path:
    folder = Path(os.environ.get(SHARED_FOLDER) or tempfile.mkdtemp(prefix="hs-db-", dir="/tmp"))
    if SHARED_FOLDER not in os.environ:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    done = folder / "done"
    with (folder / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not done.exists():
            _migrate(folder)
            done.touch()
    return folder / "data" / "db.sqlite3"


def _migrate(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")} | {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_DATA_DIR": str(folder / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(folder / "source-ring"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(folder / "result-ring"),
    }
    command = [sys.executable, "manage.py", "migrate", "-v0"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
