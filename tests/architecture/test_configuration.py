"""docs/configuration.md has every environment variable, with the default that the code has."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.checks import CheckMessage

from headshots.pages.checks import check_operator_contact
from headshots.web.checks import check_production, check_signing
from tests.architecture import configuration
from tests.architecture.configuration import COMMAND, Variable, variables_in

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"HEADSHOTS_[A-Z0-9_]+")


def test_every_variable_has_one_entry() -> None:
    assert configuration.faults() == []


def test_the_document_is_up_to_date() -> None:
    committed = configuration.TARGET.read_text()

    assert committed == configuration.render(), f"docs/configuration.md is stale. Run: {COMMAND}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('_int("HEADSHOTS_A", 5 * 365)', Variable("HEADSHOTS_A", "whole number", 1825, "")),
        ('env.str("HEADSHOTS_A", default="x").strip()', Variable("HEADSHOTS_A", "text", "x", "")),
        ('env.bool("HEADSHOTS_A", default=not DEBUG)', Variable("HEADSHOTS_A", "yes or no", None, "not DEBUG")),
        ('_path("HEADSHOTS_A") or BASE / "run"', Variable("HEADSHOTS_A", "path", None, "BASE / 'run'")),
        ('float(os.environ.get("HEADSHOTS_A", "60"))', Variable("HEADSHOTS_A", "text", "60", "")),
        ('os.environ["HEADSHOTS_A"]', Variable("HEADSHOTS_A", "text", "", "")),
        ('os.environ["HEADSHOTS_A"] = "1"', None),
        ('print("HEADSHOTS_A")', None),
    ],
)
def test_variables_are_found_in_code(source: str, found: Variable | None) -> None:
    assert list(variables_in(source)) == ([found] if found else [])


def test_required_variables_are_those_that_the_checks_of_production_name(settings: LazySettings) -> None:
    settings.DEBUG = False
    for name in (
        "SECRET_KEY",
        "HEADSHOTS_SITE_URL",
        "HEADSHOTS_REDIS_URL",
        "HEADSHOTS_OPERATOR",
        "HEADSHOTS_ABUSE_EMAIL",
    ):
        setattr(settings, name, "")
    settings.ALLOWED_HOSTS = []
    settings.HEADSHOTS_C2PA_KEY_FILE = settings.HEADSHOTS_C2PA_CERTIFICATE_FILE = None

    def names(messages: list[CheckMessage]) -> set[str]:
        return {name for message in messages for name in NAME.findall(f"{message.msg} {message.hint}")}

    entries = configuration.read_entries()
    required = {name for name, entry in entries.items() if entry.required == "yes"}
    recommended = {name for name, entry in entries.items() if entry.required == "recommended"}
    # The allowed hosts provide the default of the site's URL.
    assert names(check_production(None)) == required | {"HEADSHOTS_SITE_URL"}
    assert names([*check_operator_contact(app_configs=None), *check_signing(None)]) == recommended


@pytest.mark.parametrize("file", ["docker/.env.example", "docker/compose.yml", "docker/web.Dockerfile", ".ci/run"])
def test_other_files_set_existing_variables_only(file: str) -> None:
    assert set(NAME.findall((ROOT / file).read_text())) - set(configuration.read_entries()) == set()
