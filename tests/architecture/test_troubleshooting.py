"""docs/troubleshooting.md and docs/monitoring.md have an entry for each name that the code can show an operator."""

import ast
import re
from pathlib import Path

import pytest

from headshots.dashboard.monitoring.metrics import exposition
from headshots.payments.errors import Refusal
from headshots.payments.models import Payment, Refund
from headshots.shoots.models import Pack
from pipeline import errors

ROOT = Path(__file__).resolve().parents[2]
# Errors that never end the start of an engine: they are about a photo, or not errors at all.
NOT_AT_THE_START = {errors.PhotoRefused, errors.FaceNotFound, errors.Canceled}
PARTS_OF_AN_ENTRY = ("**You see:**", "**It means:**", "**Do this:**")


def section(title: str, document: str = "troubleshooting") -> str:
    """Return the text below a heading of the document, up to the next heading of the same or a higher level."""
    text = (ROOT / "docs" / f"{document}.md").read_text()
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{document}.md has no heading “{title}”"
    return re.split(rf"^#{{1,{len(found[1])}}} ", found[2], flags=re.MULTILINE)[0]


def table_rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in re.findall(r"^\| .*\|$", text, re.M)]


def named_rows(*titles: str) -> list[str]:
    """Return the name in the first cell of each row of these sections. A row says what it means and what to do."""
    rows = [row for title in titles for row in table_rows(section(title)) if row[0].startswith("`")]
    assert all(len(row) == 3 and all(cell.strip("| ") for cell in row) for row in rows), rows
    return [row[0].strip("`") for row in rows]


def entries() -> list[str]:
    """Return the parts of the section on health checks and alerts, one per heading."""
    return section("Health checks and alerts").split("\n### ")[1:]


def names_in_entries(kind: str) -> list[str]:
    """Return the names that the second line of each entry gives. kind: "Health check" or "Alert"."""
    lines = re.findall(rf"{kind}s? ((?:`\w+`(?:, )?)+)", "\n".join(entry.split("\n")[1] for entry in entries()))
    return re.findall(r"`(\w+)`", " ".join(lines))


def health_checks() -> set[str]:
    """Return the codes of all health checks that the code creates."""
    source = (ROOT / "headshots/dashboard/monitoring/health.py").read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "HealthCheck"]
    assert all(isinstance(code, ast.Constant) for code in made)
    return {str(code.value) for code in made if isinstance(code, ast.Constant)}


def alerts() -> set[str]:
    return set(re.findall(r"- alert: (\w+)", (ROOT / "docker/monitoring/alerts.yml").read_text()))


def system_checks() -> set[str]:
    sources = [path.read_text() for path in (ROOT / "headshots").rglob("*.py")]
    return {found for source in sources for found in re.findall(r"\bid=\"([a-z_]+\.[EWC]\d{3})\"", source)}


def test_each_health_check_and_each_alert_has_one_entry() -> None:
    assert sorted(names_in_entries("Health check")) == sorted(health_checks())
    assert sorted(names_in_entries("Alert")) == sorted(alerts())
    assert len(health_checks()) >= 10
    assert len(alerts()) >= 19


def test_each_of_these_entries_says_what_is_seen_what_it_means_and_what_to_do() -> None:
    for entry in entries():
        places = [entry.find(part) for part in PARTS_OF_AN_ENTRY]

        assert -1 not in places, entry
        assert places == sorted(places), entry


def test_each_system_check_has_one_row() -> None:
    assert sorted(named_rows("System checks")) == sorted(system_checks())
    assert len(system_checks()) >= 39


def test_each_error_that_ends_the_start_of_an_engine_has_one_row() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    ends = {each for each in classes if issubclass(each, errors.PipelineError)} - NOT_AT_THE_START

    assert sorted(named_rows("Engine start")) == sorted(each.__name__ for each in ends - {errors.PipelineError})


def test_each_reason_of_a_photo_or_picture_has_one_row() -> None:
    assert sorted(named_rows("Photos and pictures")) == sorted(errors.Reason)


def test_each_reason_for_which_the_product_ends_a_pack_has_one_row() -> None:
    assert sorted(named_rows("Packs")) == sorted(Pack.Reason.values)


@pytest.mark.parametrize(
    ("title", "codes"),
    [
        ("States of a payment", Payment.State.values),
        ("States of a refund", Refund.State.values),
        ("Refused orders", Refusal.values),
    ],
)
def test_each_end_of_a_payment_has_one_row(title: str, codes: list[str]) -> None:
    assert sorted(named_rows(title)) == sorted(codes)


def test_the_table_of_alerts_links_each_to_its_entry() -> None:
    linked = dict(re.findall(r"^\| \[`(\w+)`\]\(troubleshooting\.md#([\w-]+)\)", section("Alerts", "monitoring"), re.M))
    headings = {entry.split("\n")[0].lower().replace(" ", "-"): entry.split("\n")[1] for entry in entries()}

    assert linked.keys() == alerts()
    for alert, anchor in linked.items():
        assert f"`{alert}`" in headings[anchor]


def test_the_table_of_alerts_has_their_severities() -> None:
    rules = (ROOT / "docker/monitoring/alerts.yml").read_text()
    real = dict(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", rules, re.DOTALL))

    rows = [row for row in table_rows(section("Alerts", "monitoring")) if row[0].startswith("[")]
    assert {re.findall(r"`(\w+)`", row[0])[0]: row[1] for row in rows} == real


@pytest.mark.django_db
def test_each_metric_has_one_row_with_its_labels() -> None:
    text = exposition().decode()
    real = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE))
    rows = {
        row[0].strip("`"): row for row in table_rows(section("Metrics", "monitoring")) if row[0][1:10] == "headshots"
    }

    assert sorted(rows) == sorted(real)
    for name, labels in re.findall(r"^(headshots_\w+)\{(.*)\} ", text, re.MULTILINE):
        assert re.findall(r"(\w+)=", labels) == re.findall(r"`(\w+)`", rows[name][1]), name
