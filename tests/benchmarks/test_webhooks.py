"""Webhooks that come twice, and at once to two web processes, are booked once, on both databases.

How fast is a figure of docs/benchmarks.md: `python -m tests.benchmarks.webhooks` measures it on a quiet machine."""

import pytest

from tests.helpers.processes import environment_for, run_program

PACKS = 60


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_webhooks_sent_twice_to_two_processes_are_booked_once(
    database: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    # As in production: with DEBUG on Django writes down every query, and reads it back from SQLite for that.
    production = {"HEADSHOTS_DEBUG": "0", "HEADSHOTS_ALLOWED_HOSTS": "127.0.0.1", "HEADSHOTS_HTTPS": "0"}
    environment = environment_for(database, tmp_path_factory.mktemp("webhooks"), request) | production

    # The program itself compares the ledger, the events, the credits and the packs with what must be true.
    found = run_program("tests.benchmarks.webhooks", environment, str(PACKS))

    assert found["webhooks"] > 2 * PACKS
    assert found["sent_again"] == 0
