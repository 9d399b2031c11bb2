"""An attacker with the files of the PostgreSQL server: no measurement of a face is ever in them, and no address once
the account tables were rewritten after a deletion. The write-ahead log holds it longer, as docs/privacy.md says."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import environment_for, run_program

PROGRAM = "tests.chaos.postgresql_life"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("life")
    report = run_program(PROGRAM, environment_for("postgresql", folder, request))
    if report.get("unreadable"):
        pytest.skip("the server's files belong to another user, who does not let this one read them")
    return report


def test_no_measurement_of_a_face_is_in_the_heap_or_in_the_log_at_any_time(found: dict[str, Any]) -> None:
    assert found["measurements"] == {"row": True, "base": False, "pg_wal": False}


def test_a_measurement_in_the_heap_would_be_found(found: dict[str, Any]) -> None:
    assert found["control"]


def test_an_address_is_out_of_heap_indexes_and_statistics_once_the_tables_were_rewritten(
    found: dict[str, Any],
) -> None:
    assert found["before"]["base"]
    # The attack works: the row is gone, a VACUUM has run, and the address is there.
    assert found["deleted"]["base"]
    assert found["left"] == []
    assert not found["rewritten"]["base"]
    assert found["others"] >= 60


def test_the_log_holds_it_until_the_server_recycles_it_and_nothing_says_otherwise(found: dict[str, Any]) -> None:
    assert found["rewritten"]["pg_wal"]
    assert found["wal_is_empty"] is False
    for page in ("certificate", "schedule"):
        assert "The database’s own log and the free space of its disk keep rows" in found[page]
        assert "Your email leaves the database’s tables within about an hour" in found[page]


def test_a_table_that_is_in_use_is_left_to_the_next_time(found: dict[str, Any]) -> None:
    assert found["in_use"] == {"while_read": True, "afterwards": []}
