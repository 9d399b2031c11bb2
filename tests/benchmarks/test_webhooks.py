"""A hundred webhooks a second on two cores, on both databases. Needs a machine that does nothing else."""

import pytest

from tests.helpers.processes import environment_for, run_program


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_hundred_webhooks_a_second(
    database: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    # As in production: with DEBUG on Django writes down every query, and reads it back from SQLite for that.
    production = {"HEADSHOTS_DEBUG": "0", "HEADSHOTS_ALLOWED_HOSTS": "127.0.0.1", "HEADSHOTS_HTTPS": "0"}
    environment = environment_for(database, tmp_path_factory.mktemp("webhooks"), request) | production

    found = run_program("tests.benchmarks.webhooks", environment)

    assert found["a_second"] >= 100
