"""The webhook's handler, killed between any two statements and raced by itself, and orders raced by a person with many
tabs, on both databases."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import environment_for, run_program

Run = Callable[..., dict[str, Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A function that runs tests/chaos/webhook_processes.py on one of the databases and returns what it saw."""
    return partial(run_program, "tests.chaos.webhook_processes", environment_for(request.param, tmp_path, request))


@pytest.fixture(params=["sqlite", "postgresql"])
def order(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """The same with tests/chaos/order_processes.py."""
    return partial(run_program, "tests.chaos.order_processes", environment_for(request.param, tmp_path, request))


def test_a_process_that_dies_between_two_statements_loses_nothing_and_many_at_once_do_everything_once(
    run: Run,
) -> None:
    seen = run()

    # Killed before every statement of the purchase of a pack: so many there are.
    assert seen["crash"]["paid"] > 12
    assert (seen["race"]["rounds"], seen["race"]["failed"]) == (3, 0)
    # What was heard of while its payment was being written down is left to beat.
    assert seen["race"]["unseen"] in {"cannot be", "waiting"}


def test_so_it_is_for_every_kind_of_event_and_in_many_races(run: Run) -> None:
    seen = run("--full")

    assert set(seen["crash"]) == {"paid", "paid after its refund", "expired", "refunded", "disputed"}
    assert (seen["race"]["rounds"], seen["race"]["failed"]) == (12, 0)
    assert len(seen["race"]["winners"]) == 8


def test_eight_tabs_that_order_at_once_make_one_charge_or_use_one_credit(order: Run) -> None:
    seen = order()

    assert {name: len(rounds) for name, rounds in seen.items()} == dict.fromkeys(seen, 1)
    assert len(seen) == 6


def test_so_it_is_in_many_storms(order: Run) -> None:
    seen = order("--full")

    assert [len(rounds) for rounds in seen.values()] == [10] * 6
