"""What docker/ has for Prometheus and Grafana speaks of nothing that /metrics does not tell."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from django.db import transaction
from django.test import Client, override_settings
from pytest_django import DjangoDbBlocker

from headshots.dashboard.monitoring import health
from headshots.dashboard.monitoring.workers import OFFLINE_AFTER
from tests.helpers.year import Year

FOLDER = Path(__file__).resolve().parents[4] / "docker" / "monitoring"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOKEN = "a token of the tests"


@pytest.fixture(scope="module")
def told(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> str:
    """The page itself. Its rows are gone again when the tests read it."""
    with (
        django_db_blocker.unblock(),
        transaction.atomic(),
        override_settings(HEADSHOTS_METRICS_TOKEN=TOKEN),
        time_machine.travel(NOON, tick=False),
    ):
        Year(until=NOON, shoots=60, days=2).write()
        page = Client().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).content.decode()
        transaction.set_rollback(True)
    return page


def names(told: str) -> set[str]:
    """What can be asked for: those of which there is nothing yet are announced all the same."""
    return set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))


def dashboard() -> dict[str, object]:
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def expressions(part: object) -> Iterator[str]:
    """Every query below this part of the dashboard."""
    if isinstance(part, dict):
        yield from (str(part[name]) for name in ("expr", "query") if "headshots_" in str(part.get(name)))
        for each in part.values():
            yield from expressions(each)
    elif isinstance(part, list):
        for each in part:
            yield from expressions(each)


def asked(expressions: Iterator[str]) -> set[str]:
    return {name for each in expressions for name in re.findall(r"\bheadshots_\w+", each)}


def rules() -> str:
    return (FOLDER / "alerts.yml").read_text()


def test_the_dashboard_asks_for_what_there_is_and_leaves_little_out(told: str) -> None:
    wanted, there = asked(expressions(dashboard())), names(told)

    assert len(wanted) > 30
    assert wanted - there == set()
    # The limit of what is old is drawn as a share; the other two are for alerts.
    left_out = {"data_age_limit_seconds", "store_up", "corrupt_files_total"}
    left_out |= {"abuse_reports_open", "abuse_report_age_seconds"}
    assert there - wanted <= {f"headshots_{name}" for name in left_out}


def test_alerts_ask_for_what_there_is(told: str) -> None:
    wanted = asked(iter(re.findall(r"headshots_\w+", rules())))

    assert len(wanted) > 10
    assert wanted - names(told) == set()


def test_labels_in_queries_are_labels_of_those_metrics(told: str) -> None:
    for expression in [
        *expressions(dashboard()),
        *re.findall(r"expr: (?:>-\n)?((?:.|\n)+?)\n        (?:for|labels):", rules()),
    ]:
        for name, inside in re.findall(r"\b(headshots_\w+)\{([^}]*)\}", expression):
            wanted = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", inside)) - {"job"}
            there = set(re.findall(r'[{,](\w+)="', "".join(re.findall(rf"^{name}\{{.*\}}", told, re.MULTILINE))))
            assert wanted <= there, expression


def test_names_say_their_unit_and_counters_that_they_count(told: str) -> None:
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", told, re.MULTILINE))

    assert set(kinds.values()) == {"gauge", "counter"}
    assert all(name.startswith("headshots_") for name in kinds)
    assert {name for name in kinds if name.endswith("_total")} == {n for n, kind in kinds.items() if kind == "counter"}


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        fields = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not fields & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= fields
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_alerts_are_raised_where_the_lamps_turn() -> None:
    for limit in (
        f"headshots_beat_age_seconds > {OFFLINE_AFTER.total_seconds():.0f}\n",
        f"headshots_queue_oldest_seconds > {health.QUEUE_CRITICAL.total_seconds():.0f}\n",
        f"headshots_queue_oldest_seconds > {health.QUEUE_WARNING.total_seconds():.0f}\n",
        f"headshots_disk_free_ratio < {health.DISK_CRITICAL}\n",
        f"headshots_disk_free_ratio < {health.DISK_WARNING}\n",
    ):
        assert limit in rules()


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = re.findall(r"- alert: (\w+)\n((?:        .*\n|\n)+)", rules() + "\n")

    assert len(alerts) == len({name for name, _ in alerts}) == rules().count("- alert: ") >= 14
    for _, body in alerts:
        assert re.search(r"severity: (critical|warning) ", body)
        assert "summary: " in body
        assert "description: " in body
        assert "runbook: docs/troubleshooting.md\n" in body


@pytest.mark.parametrize("name", ["prometheus.yml", "alerts.yml", "grafana-source.yml", "grafana-dashboards.yml"])
def test_the_files_can_be_read(name: str) -> None:
    yaml = pytest.importorskip("yaml")

    assert yaml.safe_load((FOLDER / name).read_text())
