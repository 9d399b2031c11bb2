"""`manage.py purge`."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from headshots.shoots.models import Event, Headshot, Photo
from headshots.vault.models import Blob
from tests.headshots.retention.private import make_shoot, pack_in, source_blob

pytestmark = pytest.mark.django_db


def test_the_command_purges_one_shoot(shoot, capsys):
    call_command("purge", shoot=shoot.pk)

    assert capsys.readouterr().out == f"Shoot {shoot.pk} is purged.\n"
    assert not Photo.objects.exists()
    assert Headshot.objects.exists()
    assert Event.objects.get(name="shoot.purging").actor == Event.Actor.STAFF


def test_the_command_purges_everything_of_one_shoot_also_later(shoot):
    call_command("purge", "--shoot", str(shoot.pk))
    call_command("purge", "--shoot", str(shoot.pk), "--everything")
    call_command("purge", "--shoot", str(shoot.pk), "--everything")

    assert not Headshot.objects.exists()
    assert not Blob.objects.exists()


def test_the_command_deletes_a_pack_that_has_ended_and_no_other(shoot):
    call_command("purge", "--pack", str(pack_in(shoot, "delivered").pk))
    with pytest.raises(CommandError, match="not ended"):
        call_command("purge", "--pack", str(pack_in(shoot, "rendering").pk))

    assert pack_in(shoot, "deleted")


def test_the_command_purges_what_is_due(owner, capsys):
    make_shoot(owner, due_in=timedelta(seconds=-1))
    call_command("purge", "--all-due")

    assert capsys.readouterr().out == "1 shoots purged, 0 packs deleted, 0 keys expired.\n"


def test_the_command_sweeps_orphans(shoot, time_machine, capsys):
    source_blob(shoot, "face_crop")
    time_machine.move_to(timezone.now() + timedelta(hours=2))
    call_command("purge", "--orphans")

    assert capsys.readouterr().out == "0 files, 1 blobs, 0 keys removed; 0 blobs lack their file.\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--everything"], ["--all-due", "--everything"], ["--shoot", str(UUID(int=1))], ["--pack", str(UUID(int=1))]],
    ids=str,
)
def test_the_command_refuses_what_makes_no_sense(arguments):
    with pytest.raises(CommandError):
        call_command("purge", *arguments)
