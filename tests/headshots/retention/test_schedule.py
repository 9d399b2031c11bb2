"""The public schedule, the checks of settings, the tasks that beat knows."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from django.urls import reverse

from headshots.celery import app
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Shoot
from tests.headshots.retention.private import only_sqlite

pytestmark = pytest.mark.django_db


def test_anybody_can_read_the_schedule_and_it_names_the_numbers_that_hold_here(client: Client, settings):
    settings.HEADSHOTS_PHOTO_TTL_SECONDS = 5400
    settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS = 17
    page = client.get("/retention/")

    assert page.status_code == 200
    assert reverse("retention:schedule") == "/retention/"
    assert "within 1 hour 30 minutes" in page.content.decode()
    assert "17 days from delivery" in page.content.decode()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")  # noqa: S108
def test_the_schedule_says_in_memory_only_where_that_is_so(client: Client, settings):
    settings.HEADSHOTS_PHOTO_KEYS_DIR = Path("/dev/shm/headshots-test")  # noqa: S108
    assert "in memory only, apart from" in client.get("/retention/").content.decode()

    settings.HEADSHOTS_PHOTO_KEYS_DIR = Path("/proc/none")
    assert "in a temporary folder" in client.get("/retention/").content.decode()


def test_the_schedule_cannot_be_posted_to(client: Client):
    assert client.post("/retention/").status_code == 405


def test_beat_knows_the_tasks_of_retention():
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}

    assert {"retention.purge_due", "retention.sweep_orphans"} <= scheduled & app.tasks.keys()
    assert "retention.purge_shoot" in app.tasks


def test_the_task_purges_by_id(shoot):
    begin_purge(shoot)
    app.loader.import_default_modules()
    app.tasks["retention.purge_shoot"](str(shoot.pk))

    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGED


def retention_findings() -> list[str]:
    return sorted(str(finding.id) for finding in run_checks(tags=["security"]) if str(finding.id).startswith("reten"))


def test_the_settings_of_this_repository_pass_the_checks():
    assert retention_findings() == []


@pytest.fixture
def beat() -> Iterator[dict[str, dict[str, object]]]:
    """Beat's schedule, to be changed by a test and put back after it."""
    usual = dict(app.conf.beat_schedule)
    yield app.conf.beat_schedule
    app.conf.beat_schedule.clear()
    app.conf.beat_schedule.update(usual)


@pytest.mark.parametrize("every", [61.0, timedelta(minutes=5), None])
def test_a_beat_that_purges_too_rarely_is_refused(beat, every):
    beat.clear()
    if every:
        beat["slow"] = {"task": "retention.purge_due", "schedule": every}

    assert retention_findings() == ["retention.E001", "retention.E002"]


@only_sqlite
def test_an_sqlite_that_keeps_deleted_rows_is_refused(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})

    assert retention_findings() == ["retention.E003"]
