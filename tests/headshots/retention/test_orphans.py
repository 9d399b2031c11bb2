"""What belongs to nobody is swept, and what is lost is told."""

import os
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.mail import send_mail
from django.utils import timezone

from headshots.retention.orphans import sweep_orphans
from headshots.shoots.models import Photo
from headshots.vault import services as vault
from headshots.vault.models import Blob
from tests.headshots.retention.private import blob_files, path_of, source_blob

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_hours_later(shoot, time_machine):
    """What the shoot has is old enough now to be looked at."""
    time_machine.move_to(timezone.now() + timedelta(hours=2))


@pytest.mark.usefixtures("two_hours_later")
def test_the_sweep_leaves_what_belongs_to_somebody(data_folder):
    swept = sweep_orphans()

    assert (swept.files, swept.blobs, swept.lost) == (0, 0, 0)
    assert Blob.objects.count() == len(blob_files(data_folder)) == 8


def test_files_without_a_row_and_unfinished_ones_are_removed_once_they_are_old(shoot, data_folder, time_machine):
    photo = Photo.objects.first()
    orphaned_files = photo.blob
    unfinished = path_of(orphaned_files).with_name(f"{orphaned_files.id}.0123456789abcdef.tmp")
    unfinished.write_bytes(b"noise")
    photo.delete()
    Blob.objects.filter(id=orphaned_files.id).delete()
    assert sweep_orphans().files == 0

    time_machine.move_to(timezone.now() + timedelta(hours=2))
    swept = sweep_orphans()

    assert (swept.files, swept.unfinished) == (1, 1)
    assert not path_of(orphaned_files).exists()
    assert not unfinished.exists()


def test_blobs_without_an_owner_are_removed_with_their_files_once_they_are_old(shoot, data_folder, time_machine):
    orphan = source_blob(shoot, "face_crop")
    assert sweep_orphans().blobs == 0

    time_machine.move_to(timezone.now() + timedelta(hours=2))

    assert sweep_orphans().blobs == 1
    assert not Blob.objects.filter(id=orphan.id).exists()
    assert len(blob_files(data_folder)) == 8


@pytest.mark.usefixtures("two_hours_later")
def test_a_lost_file_is_reported_and_its_row_stays_for_its_owner(shoot, caplog):
    photo = Photo.objects.first()
    path_of(photo.blob).unlink()

    assert sweep_orphans().lost == 1
    assert Blob.objects.filter(id=photo.blob_id).exists()
    assert "blobs without a file: 1" in caplog.text


@pytest.mark.usefixtures("two_hours_later")
def test_a_file_that_went_before_its_row_in_a_purge_is_not_lost(shoot):
    vault.destroy_key(ring="source", key_id=shoot.pk)
    vault.delete_files(ring="source", key_ids=[shoot.pk])

    assert sweep_orphans().lost == 0


@pytest.mark.parametrize("count", [4, 5, 6, 10])
def test_the_sweep_goes_through_more_than_one_batch(count, time_machine, monkeypatch):
    monkeypatch.setattr(vault, "BATCH_SIZE", 5)
    key_id = uuid4()
    vault.create_key(ring="result", key_id=key_id)
    blobs = [vault.write_blob(ring="result", key_id=key_id, kind="headshot", data=b"") for _ in range(count)]
    Blob.objects.filter(id__in=[blob.id for blob in blobs[::2]]).delete()
    time_machine.move_to(timezone.now() + timedelta(hours=2))

    swept = sweep_orphans()

    assert (swept.files, swept.blobs) == ((count + 1) // 2, count // 2)


def test_mails_in_files_are_removed_after_a_day(settings, tmp_path):
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    settings.EMAIL_BACKEND = "headshots.runtime.mail_files.PrivateFileEmailBackend"
    send_mail("Confirm", "the link", None, ["person@example.org"])
    (mail,) = (tmp_path / "mail").glob("*.log")
    assert sweep_orphans().mails == 0

    a_day_ago = timezone.now().timestamp() - 86_401
    os.utime(mail, (a_day_ago, a_day_ago))

    assert sweep_orphans().mails == 1
    assert not mail.exists()
