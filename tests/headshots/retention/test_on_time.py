"""Beat purges what is due, when it is due."""

import shutil
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from headshots.retention.due import (
    PURGE_TASK,
    delivered_packs,
    due_ownerless_shoots,
    due_shoots,
    expired_packs,
    purge_due,
    shoots_of_other_epochs,
)
from headshots.retention.models import LastRun
from headshots.retention.orphans import orphaned_blobs
from headshots.retention.purging import purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Event, Pack, Photo, Shoot
from headshots.shoots.uploads.new_shoot import previews_left
from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import ring_folder
from headshots.vault.store import FileStore
from tests.headshots.retention.private import (
    DAY,
    blob_files,
    make_shoot,
    only_sqlite,
    pack_in,
    source_key_lives,
    state_of,
)
from tests.helpers import factories

pytestmark = pytest.mark.django_db


def lose_source_ring() -> None:
    """What a reboot does."""
    shutil.rmtree(ring_folder(Ring.SOURCE))


def ids_of(key_id: UUID) -> list[UUID]:
    return list(Blob.objects.filter(key_id=key_id).values_list("id", flat=True))


def test_beat_purges_what_is_due_and_nothing_else(owner, shoot):
    due = make_shoot(owner, due_in=timedelta(seconds=-1))

    assert purge_due().shoots == 1
    due.refresh_from_db()
    shoot.refresh_from_db()
    assert (due.state, shoot.state) == (Shoot.State.PURGED, Shoot.State.OPEN)
    assert due.packs.filter(state="delivered").exists()


def test_beat_finds_nothing_to_do_the_second_time(owner):
    make_shoot(owner, due_in=timedelta(seconds=-1))
    purge_due()
    before = Event.objects.count()

    again = purge_due()

    assert (again.keys, again.shoots, again.packs, again.failed) == (0, 0, 0, 0)
    assert Event.objects.count() == before


def test_a_guests_shoot_loses_everything_when_it_is_due(data_folder):
    guest = make_shoot(None, due_in=timedelta(seconds=-1))
    purge_due()

    assert set(guest.packs.values_list("state", flat=True)) == {Pack.State.DELETED}
    assert blob_files(data_folder) == []


def test_a_guest_who_deleted_the_photos_early_keeps_the_headshots_until_then(data_folder):
    guest = make_shoot(None, due_in=DAY)
    begin_purge(guest)
    purge_shoot(shoot=guest)
    purge_due()
    assert pack_in(guest, "delivered")

    Shoot.objects.filter(pk=guest.pk).update(delete_after=timezone.now())
    purge_due()

    assert blob_files(data_folder) == []


def test_a_lost_ring_purges_open_shoots_and_cancels_what_was_being_made(shoot, data_folder):
    lose_source_ring()

    assert purge_due().shoots == 1
    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGED
    assert pack_in(shoot, "deleted").reason == Pack.Reason.PHOTOS_LOST
    assert vault.read_blob(pack_in(shoot, "delivered").headshots.get(index=0).blob) == b"a headshot"


def test_who_lost_photos_to_a_restart_is_asked_to_upload_again_and_has_lost_no_free_pack(owner, client):
    shoot = make_shoot(owner, packs=("rendering",))
    Pack.objects.update(kind=Pack.Kind.PREVIEW)
    left = previews_left(owner)
    lose_source_ring()
    purge_due()
    client.force_login(owner)

    page = client.get(f"/shoots/{shoot.pk}/").content.decode()

    assert "was restarted" in page
    assert f'href="{reverse("shoots:new")}"' in page
    assert "headshots have been deleted" not in page
    assert previews_left(owner) == left + 1


def test_shoots_whose_key_lives_are_not_taken_for_lost(owner):
    living, since_lost = make_shoot(owner), make_shoot(owner)
    lose_source_ring()
    # One that came after the loss, and one whose mark is of before it though its key is not.
    Shoot.objects.filter(pk=living.pk).update(keyring_epoch=vault.source_keyring_epoch())
    vault.create_key(ring="source", key_id=since_lost.pk, expires_at=timezone.now() + DAY)

    assert purge_due().shoots == 0


def test_an_upload_bears_the_mark_of_the_ring_that_its_key_is_on(person):
    assert factories.make_shoot(person).keyring_epoch == vault.source_keyring_epoch()


def test_a_key_that_expired_before_beat_came_is_swept_and_its_shoot_purged(owner, time_machine):
    shoot = make_shoot(owner)
    time_machine.move_to(timezone.now() + DAY)

    purged = purge_due()

    assert (purged.keys, purged.shoots) == (1, 1)
    assert not Photo.objects.filter(shoot=shoot).exists()


def test_keys_of_nobody_are_swept_when_they_expire(time_machine):
    vault.create_key(ring="source", key_id=uuid4(), expires_at=timezone.now() + timedelta(seconds=1))
    time_machine.move_to(timezone.now() + timedelta(seconds=2))

    assert purge_due().keys == 1


def test_what_cannot_be_purged_now_does_not_keep_the_rest(owner, monkeypatch, caplog):
    stuck = make_shoot(owner, due_in=timedelta(seconds=-1))
    other = make_shoot(owner, due_in=timedelta(seconds=-1))
    stubborn = ids_of(stuck.pk)[0]
    delete = FileStore.delete

    def failing(self, names):
        if stubborn in {name.blob_id for name in names}:
            raise PermissionError(13, "read-only file system")
        return delete(self, names)

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "delete", failing)
        first = purge_due()
    stuck.refresh_from_db()
    other.refresh_from_db()
    assert (first.shoots, first.failed) == (1, 1)
    assert (stuck.state, other.state) == (Shoot.State.PURGING, Shoot.State.PURGED)
    # Its photos are noise all the same, and the log names it by id.
    assert not source_key_lives(stuck)
    assert str(stuck.pk) in caplog.text

    assert purge_due().shoots == 1


def test_a_step_that_fails_keeps_no_other_step_and_is_tried_again(owner, monkeypatch, caplog):
    due = make_shoot(owner, due_in=timedelta(seconds=-1))
    vault.create_key(ring="source", key_id=uuid4(), expires_at=timezone.now())

    with monkeypatch.context() as patch:
        patch.setattr(vault, "sweep_expired_keys", lambda: (_ for _ in ()).throw(VaultUnavailable))
        first = purge_due()

    assert (first.keys, first.shoots, first.failed) == (0, 1, 1)
    assert "deleting: sweep_keys: VaultUnavailable" in caplog.text
    assert state_of(due) == Shoot.State.PURGED
    assert LastRun.objects.filter(task=PURGE_TASK).exists()
    again = purge_due()
    assert (again.keys, again.failed) == (1, 0)


def test_a_fault_of_the_program_is_not_taken_for_a_store_that_is_away(shoot, monkeypatch):
    monkeypatch.setattr(vault, "sweep_expired_keys", lambda: (_ for _ in ()).throw(TypeError))

    with pytest.raises(TypeError):
        purge_due()


def test_while_the_vault_is_away_beat_asks_it_once_and_not_for_each_shoot(owner, monkeypatch):
    for _ in range(3):
        make_shoot(owner, due_in=timedelta(seconds=-1), packs=())
    asked = []

    def away(**_):
        asked.append(1)
        raise VaultUnavailable

    monkeypatch.setattr(vault, "destroy_keys", away)

    assert purge_due().failed == 1
    assert len(asked) == 1


@only_sqlite
@pytest.mark.parametrize(
    ("question", "range_of"),
    [
        (due_shoots, "state=? AND delete_after<?"),
        (due_ownerless_shoots, "owner_id=? AND delete_after<?"),
        (lambda: Shoot.objects.filter(state=Shoot.State.PURGING), "state=?"),
        (lambda: shoots_of_other_epochs(uuid4())[0], "state=? AND keyring_epoch<?"),
        (lambda: shoots_of_other_epochs(uuid4())[1], "state=? AND keyring_epoch>?"),
        (lambda: shoots_of_other_epochs(uuid4())[2], "state=? AND keyring_epoch=?"),
        (lambda: delivered_packs().select_related("shoot"), "state=? AND delivered_at>?"),
        (expired_packs, "state=? AND expires_at<?"),
        (
            lambda: orphaned_blobs(Blob.objects.filter(ring="source", id__gte=uuid4(), id__lte=uuid4())),
            "ring=? AND id>?",
        ),
    ],
)
def test_what_is_due_is_one_range_of_an_index_so_what_is_not_due_costs_nothing(question, range_of):
    first, *others = [line.strip() for line in question().order_by().explain().splitlines()]

    assert "USING INDEX" in first, first
    assert range_of in first, first
    assert not any("SCAN " in line for line in others), others
