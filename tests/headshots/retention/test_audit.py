"""Whether anything private is older than it may be: found out, told everywhere, and nothing hidden."""

import json
from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from headshots.celery import app
from headshots.retention import orphans, tasks
from headshots.retention.audit import audit
from headshots.retention.bench import bench_purge
from headshots.retention.due import purge_due
from headshots.retention.models import LastRun
from headshots.retention.orphans import sweep_orphans
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Pack, Photo, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import open_ring, ring_folder
from headshots.vault.services import name_of
from tests.headshots.retention.private import make_pack, path_of
from tests.helpers.factories import make_shoot, make_user

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def data_folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def shoot() -> Shoot:
    return make_shoot(make_user())


def over() -> set[str]:
    return {finding.what for finding in audit().findings if finding.is_over}


def ages() -> dict[str, float | None]:
    return {finding.what: finding.age_seconds for finding in audit().findings}


# The audit -----------------------------------------------------------------------------------------------------------


def test_where_nothing_is_nothing_is_over():
    assert set(ages().values()) == {None}
    assert audit().ok


def test_what_is_young_is_found_and_its_age_told(shoot, time_machine):
    purge_due()
    time_machine.move_to(timezone.now() + 5 * HOUR)
    purge_due()

    found = ages()
    for what in ("photo files", "photo keys", "photo rows"):
        assert found[what] == pytest.approx(5 * 3600, abs=30)
    assert audit().ok


def test_after_a_day_without_beat_everything_of_the_photo_is_over_the_limit_and_its_key_is_dead(shoot, time_machine):
    time_machine.move_to(timezone.now() + DAY + timedelta(seconds=1))

    assert over() == {"photo files", "photo keys", "photo rows"}
    # The audit met the expired key, and whoever meets one erases it.
    assert open_ring("source").key_ids() == []
    assert over() == {"photo files", "photo rows"}
    purge_due()
    assert audit().ok


def test_beat_comes_in_time(shoot, time_machine):
    time_machine.move_to(shoot.delete_after + timedelta(minutes=1))
    purge_due()

    assert audit().ok
    assert not Photo.objects.exists()


def test_a_file_that_outlived_its_row_is_found(shoot, time_machine):
    photo = shoot.photos.get()
    blob, path = photo.blob, path_of(photo.blob)
    content = path.read_bytes()
    begin_purge(shoot)
    purge_due()
    path.write_bytes(content)
    time_machine.move_to(timezone.now() + DAY + HOUR)
    purge_due()

    assert not Blob.objects.filter(id=blob.id).exists()
    assert over() == {"photo files"}
    sweep_orphans()
    assert audit().ok


def test_a_row_that_outlived_its_file_is_found(shoot, time_machine):
    vault.blob_store().delete([name_of(shoot.photos.get().blob)])
    Shoot.objects.update(state=Shoot.State.PURGED)
    time_machine.move_to(timezone.now() + DAY + HOUR)

    assert over() >= {"photo files"}


def test_headshots_that_beat_forgot_to_forget_are_found(shoot, time_machine, settings):
    settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS = 30
    pack = make_pack(shoot, Pack.State.DELIVERED)
    begin_purge(shoot)
    purge_due()
    time_machine.move_to(pack.expires_at + HOUR / 2)
    assert over() == set()

    time_machine.move_to(pack.expires_at + DAY + 2 * HOUR)

    assert over() == {"headshot rows", "headshot files"}
    purge_due()
    assert audit().ok


def test_a_store_that_does_not_answer_is_no_good_news(shoot, settings, bucket, gate, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    settings.HEADSHOTS_S3_BUCKET, settings.HEADSHOTS_S3_ENDPOINT = bucket, gate.endpoint
    settings.HEADSHOTS_S3_PREFIX = f"{uuid4()}/"
    purge_due()
    assert over() == set()

    gate.shut = True

    assert over() == {"photo files", "headshot files"}
    assert "storage is unreachable" in "\n".join(audit().lines())


def test_a_ring_that_does_not_answer_is_no_good_news(settings, tmp_path):
    settings.HEADSHOTS_PHOTO_KEYS_URL = f"unix://{tmp_path}/nobody.sock"

    assert over() == {"photo keys"}


# Who tells it --------------------------------------------------------------------------------------------------------


def test_the_command_says_it_and_its_exit_status_too(shoot, capsys, time_machine):
    purge_due()
    call_command("audit_retention")
    assert "photo files: 0.00 h (limit 24.00 h)" in capsys.readouterr().out

    time_machine.move_to(timezone.now() + DAY + HOUR)
    with pytest.raises(SystemExit) as ended:
        call_command("audit_retention", "--json")

    report = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert report["ok"] is False
    assert {found["what"] for found in report["oldest"] if found["over"]} >= {"photo files", "photo rows"}
    assert report["purge"]["overdue"] is True


def test_beats_own_round_logs_what_is_over(shoot, time_machine, caplog, monkeypatch):
    monkeypatch.setattr("headshots.retention.due.purge_shoots", lambda shoot_ids: [])
    time_machine.move_to(timezone.now() + DAY + HOUR)

    tasks.purge_due()

    assert "photo files: 25.00 h (limit 24.00 h), OVER THE LIMIT" in caplog.text
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_health_tells_of_old_photos(shoot, client: Client, valkey):
    purge_due()
    assert client.get("/healthz").json()["retention"] is True

    Shoot.objects.update(created_at=timezone.now() - 2 * DAY)
    valkey.flushall()  # what was found ten seconds ago
    answer = client.get("/healthz")

    assert (answer.status_code, answer.json()["retention"], answer.json()["status"]) == (503, False, "failing")


def test_a_dead_beat_is_noticed_by_the_web_process(client: Client, valkey):
    purge_due()
    LastRun.objects.update(at=timezone.now() - timedelta(minutes=4))
    assert client.get("/healthz").json()["retention"] is True

    LastRun.objects.update(at=timezone.now() - timedelta(minutes=6))
    valkey.flushall()

    assert client.get("/healthz").json()["retention"] is False
    assert "OVERDUE" in "\n".join(audit().lines())


def test_where_nothing_was_ever_purged_it_is_late_only_if_there_was_something_to_purge(shoot):
    assert not audit().purge_is_overdue

    Shoot.objects.update(created_at=timezone.now() - timedelta(minutes=6))

    assert audit().purge_is_overdue


def test_health_tells_of_a_full_disk(client: Client, monkeypatch):
    purge_due()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("headshots.dashboard.monitoring.views.disk_usage", lambda folder: usage(100, 100, 0))

    answer = client.get("/healthz")

    assert (answer.status_code, answer.json()["disk_space"]) == (503, False)


# Sweeps --------------------------------------------------------------------------------------------------------------


def test_the_next_sweep_begins_where_the_last_one_ended(shoot, time_machine):
    now = timezone.now()
    time_machine.move_to(now + 2 * HOUR)
    orphan = vault.write_blob(ring="source", key_id=shoot.pk, kind="faces", data=b"x")
    assert sweep_orphans().blobs == 0  # too young

    time_machine.move_to(now + 4 * HOUR)

    assert sweep_orphans().blobs == 1
    assert not Blob.objects.filter(id=orphan.id).exists()


def test_what_was_swept_before_is_not_looked_at_again_unless_everything_is(shoot, time_machine):
    now = timezone.now()
    old = vault.write_blob(ring="source", key_id=shoot.pk, kind="faces", data=b"x")
    LastRun.objects.create(task=orphans.SWEEP_TASK, at=now + 8 * HOUR)
    time_machine.move_to(now + 9 * HOUR)

    assert sweep_orphans().blobs == 0
    assert sweep_orphans(everything=True).blobs == 1
    assert not Blob.objects.filter(id=old.id).exists()


def test_keys_of_nobody_are_destroyed_at_the_second_sweep_that_finds_them(shoot):
    pack = make_pack(shoot, Pack.State.DELIVERED)
    orphaned_keys = {ring: uuid4() for ring in Ring}
    vault.create_key(ring="source", key_id=orphaned_keys[Ring.SOURCE], expires_at=timezone.now() + HOUR)
    vault.create_key(ring="result", key_id=orphaned_keys[Ring.RESULT])

    assert sweep_orphans().keys == 0
    assert all(vault.key_exists(ring=ring, key_id=key_id) for ring, key_id in orphaned_keys.items())
    assert sweep_orphans().keys == 2

    assert not any(vault.key_exists(ring=ring, key_id=key_id) for ring, key_id in orphaned_keys.items())
    assert vault.key_exists(ring="source", key_id=shoot.pk)
    assert vault.key_exists(ring="result", key_id=pack.pk)


def test_a_key_whose_row_comes_between_two_sweeps_stays():
    key_id = uuid4()
    vault.create_key(ring="source", key_id=key_id, expires_at=timezone.now() + HOUR)
    sweep_orphans()
    Shoot.objects.create(id=key_id, delete_after=timezone.now() + HOUR)

    assert sweep_orphans().keys == 0
    assert vault.key_exists(ring="source", key_id=key_id)


def test_a_shoot_whose_key_somebody_erased_is_closed(shoot):
    (ring_folder(Ring.SOURCE) / f"{shoot.pk}.key").unlink()
    assert purge_due().shoots == 0

    assert sweep_orphans().shoots == 1
    assert purge_due().shoots == 1


def test_a_sweep_without_a_store_says_so_and_is_done_again(settings, tmp_path):
    settings.HEADSHOTS_PHOTO_KEYS_URL = f"unix://{tmp_path}/nobody.sock"
    with pytest.raises(VaultUnavailable):
        sweep_orphans()

    assert not LastRun.objects.filter(pk=orphans.SWEEP_TASK).exists()


def test_the_retention_worker_purges_before_its_first_task(shoot):
    Shoot.objects.update(delete_after=timezone.now())
    app.loader.import_default_modules()

    tasks.purge_on_start(sender=type("Consumer", (), {"hostname": "default@here"})())
    assert Photo.objects.exists()
    tasks.purge_on_start(sender=type("Consumer", (), {"hostname": "retention@here"})())

    assert not Photo.objects.exists()


# The benchmark -------------------------------------------------------------------------------------------------------


def test_the_benchmark_purges_what_is_due_and_nothing_else(monkeypatch):
    monkeypatch.setattr("headshots.retention.due.BATCH_SIZE", 20)
    monkeypatch.setattr("headshots.retention.bench.BATCH_SIZE", 20)

    rate = bench_purge(photos=45, living=5)

    assert Shoot.objects.filter(state=Shoot.State.PURGED).count() == 45
    assert Shoot.objects.filter(state=Shoot.State.OPEN).count() == 5
    assert Blob.objects.count() == 10
    assert rate.seconds > rate.store > 0
    assert "photos in" in rate.lines()[0]


def test_a_round_with_nothing_due_costs_the_same_queries_however_many_live():
    counted = []
    for living in (1, 40):
        bench_purge(photos=1, living=living)
        with CaptureQueriesContext(connection) as queries:
            purge_due()
        counted.append(len(queries))

    assert counted[0] == counted[1] < 25


@pytest.mark.parametrize("arguments", [["--photos", "0"], ["--living", "-1"]])
def test_the_benchmark_refuses_what_makes_no_sense(arguments):
    with pytest.raises(CommandError):
        call_command("bench_purge", *arguments)
