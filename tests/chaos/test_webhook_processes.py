"""The webhook's handler, killed between any two statements and raced by itself, on both databases."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.processes import environment_for

Run = Callable[..., dict[str, Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A function that runs tests/chaos/webhook_processes.py on one of the databases and returns what it saw."""
    environment = environment_for(request.param, tmp_path, request)

    def start(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.chaos.webhook_processes", *arguments]
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(found)
        return found

    return start


def test_a_process_that_dies_between_two_statements_loses_nothing_and_many_at_once_do_everything_once(
    run: Run,
) -> None:
    seen = run()

    # Killed before every statement of the purchase of a pack: so many there are.
    assert seen["crash"]["paid"] > 20
    assert (seen["race"]["rounds"], seen["race"]["failed"]) == (3, 0)


@pytest.mark.slow
def test_so_it_is_for_every_kind_of_event_and_in_many_races(run: Run) -> None:
    seen = run("--full")

    assert set(seen["crash"]) == {"paid", "paid after its refund", "expired", "refunded", "disputed"}
    assert (seen["race"]["rounds"], seen["race"]["failed"]) == (12, 0)
    assert len(seen["race"]["winners"]) == 8
