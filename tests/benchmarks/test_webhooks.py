"""A hundred webhooks a second on two cores, on both databases. Needs a machine that does nothing else."""

import json
import subprocess
import sys

import pytest
from django.conf import settings

from tests.processes import environment_for


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_hundred_webhooks_a_second(
    database: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    environment = environment_for(database, tmp_path_factory.mktemp("webhooks"), request)
    command = [sys.executable, "-m", "tests.benchmarks.webhooks"]

    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["a_second"] >= 100
