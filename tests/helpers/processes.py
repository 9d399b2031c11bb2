"""The surroundings of programs that tests start beside themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.conftest import VALKEY_SOCKET
from tests.helpers.fake_stripe import KEY, SECRET
from tests.helpers.migrated import copy_migrated_database


def environment_for(database: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Own folders, an own database (`sqlite` or `postgresql`), the tests' valkey, and keys of a Stripe in test mode."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HEADSHOTS_", "DJANGO_"))}
    address = request.getfixturevalue("new_postgresql")() if database == "postgresql" else ""
    if not address and not (folder / "data").exists():
        copy_migrated_database(folder / "data")
    return (
        inherited
        | {
            "DJANGO_SETTINGS_MODULE": "headshots.settings",
            "HEADSHOTS_DEBUG": "1",
            "HEADSHOTS_SECRET_KEY": "a key for tests, long enough to keep the checks of Django quiet: 0123456789",
            "HEADSHOTS_DATA_DIR": str(folder / "data"),
            "HEADSHOTS_PHOTO_KEYS_DIR": str(folder / "source-ring"),
            "HEADSHOTS_HEADSHOT_KEYS_DIR": str(folder / "result-ring"),
            "HEADSHOTS_REDIS_URL": f"unix://{VALKEY_SOCKET}",
            "HEADSHOTS_STRIPE_SECRET_KEY": KEY,
            "HEADSHOTS_STRIPE_WEBHOOK_SECRET": SECRET,
            "HEADSHOTS_LOG_LEVEL": "ERROR",
        }
        | ({"HEADSHOTS_DATABASE_URL": address} if address else {})
    )


def run_program(program: str, environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What a program of the tests printed in its last line, as JSON."""
    command = [sys.executable, "-m", program, *arguments]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(found)
    return found
