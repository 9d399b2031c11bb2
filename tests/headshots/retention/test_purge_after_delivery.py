"""Photos that go as soon as their pack is delivered."""

import pytest
from django.utils import timezone

from headshots.celery import app
from headshots.retention.due import purge_due
from headshots.retention.purging import purge_delivered, purge_shoot
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack, Shoot
from tests.headshots.retention.private import blob_files, make_pack, make_shoot, pack_in, source_key_lives, state_of

pytestmark = pytest.mark.django_db


def deliver(shoot: Shoot, kind: str) -> Pack:
    pack = make_pack(shoot, "rendering")
    Pack.objects.filter(pk=pack.pk).update(kind=kind)
    pack.refresh_from_db()
    assert advance(pack, Pack.State.DELIVERED)
    return pack


def test_a_delivery_starts_the_purge_by_name(owner, valkey, django_capture_on_commit_callbacks):
    shoot = make_shoot(owner, packs=())
    with django_capture_on_commit_callbacks(execute=True):
        deliver(shoot, Pack.Kind.PREMIUM)

    assert b"retention.purge_delivered" in valkey.lindex("retention", 0)


def test_photos_go_as_soon_as_the_premium_pack_is_delivered_and_the_headshots_stay(
    owner, data_folder, django_capture_on_commit_callbacks
):
    shoot = make_shoot(owner, packs=())
    pack = deliver(shoot, Pack.Kind.PREMIUM)
    app.loader.import_default_modules()
    with django_capture_on_commit_callbacks(execute=True):
        app.tasks["retention.purge_delivered"](str(pack.pk))

    assert state_of(shoot) == Shoot.State.PURGING
    assert not source_key_lives(shoot)
    assert purge_shoot(shoot=shoot)
    assert len(blob_files(data_folder)) == 1
    assert pack_in(shoot, "delivered") == pack


@pytest.mark.parametrize("kind", [Pack.Kind.PREVIEW, Pack.Kind.TRIAL])
def test_photos_stay_after_any_other_delivery(owner, kind):
    shoot = make_shoot(owner, packs=())
    deliver(shoot, kind)

    assert not purge_delivered(shoot=shoot)
    assert purge_due().shoots == 0
    assert state_of(shoot) == Shoot.State.OPEN


def test_photos_that_the_person_keeps_for_another_pack_stay_until_they_are_due(owner):
    shoot = make_shoot(owner, packs=())
    Shoot.objects.update(keep_photos=True)
    deliver(shoot, Pack.Kind.PREMIUM)

    assert not purge_delivered(shoot=shoot)
    assert purge_due().shoots == 0
    Shoot.objects.update(delete_after=timezone.now())
    assert purge_due().shoots == 1


@pytest.mark.parametrize("state", Pack.LIVE)
def test_photos_stay_while_another_pack_is_to_be_made_of_them_and_go_after_its_end(owner, state):
    shoot = make_shoot(owner, packs=(state,))
    deliver(shoot, Pack.Kind.PREMIUM)
    assert not purge_delivered(shoot=shoot)
    assert purge_due().shoots == 0

    advance(pack_in(shoot, state), Pack.State.CANCELED)

    assert purge_due().shoots == 1


def test_beat_finds_a_delivery_whose_message_was_lost(owner):
    shoot = make_shoot(owner, packs=())
    deliver(shoot, Pack.Kind.PREMIUM)

    assert purge_due().shoots == 1
    assert state_of(shoot) == Shoot.State.PURGED
