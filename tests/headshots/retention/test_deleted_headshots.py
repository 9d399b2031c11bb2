"""Finished headshots, forgotten when their time is over."""

from datetime import timedelta

import pytest
from django.utils import timezone

from headshots.retention.due import purge_due
from headshots.retention.purging import delete_pack
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Headshot, Pack
from headshots.vault import services as vault
from headshots.vault.models import Blob
from tests.headshots.retention.private import DAY, make_shoot, pack_in

pytestmark = pytest.mark.django_db


def test_a_pack_is_deleted_when_it_expires(shoot):
    pack = pack_in(shoot, "delivered")
    assert purge_due().packs == 0

    Pack.objects.filter(pk=pack.pk).update(expires_at=timezone.now())

    assert purge_due().packs == 1
    pack.refresh_from_db()
    assert pack.state == Pack.State.DELETED
    assert not vault.key_exists(ring="result", key_id=pack.pk)
    assert not Headshot.objects.filter(pack=pack).exists()
    assert not Blob.objects.filter(key_id=pack.pk).exists()


def test_what_a_failed_pack_had_is_shown_as_long_as_a_delivered_one(owner, time_machine):
    shoot = make_shoot(owner, packs=("rendering",))
    advance(pack_in(shoot, "rendering"), Pack.State.FAILED)
    time_machine.move_to(timezone.now() + 30 * DAY - timedelta(seconds=10))
    assert purge_due().packs == 0

    time_machine.shift(timedelta(seconds=11))

    assert purge_due().packs == 1
    assert not Headshot.objects.exists()


def test_a_failed_pack_that_is_tried_again_is_not_deleted_meanwhile(owner, time_machine):
    shoot = make_shoot(owner, packs=("rendering",))
    advance(pack_in(shoot, "rendering"), Pack.State.FAILED)
    advance(pack_in(shoot, "failed"), Pack.State.QUEUED)

    assert pack_in(shoot, "queued").expires_at is None


@pytest.mark.parametrize("state", Pack.LIVE)
def test_a_live_pack_is_not_deleted(owner, state):
    pack = make_shoot(owner, packs=(state,)).packs.get()
    Pack.objects.update(created_at=timezone.now() - 30 * DAY)
    purge_due()

    assert not delete_pack(pack=pack)
    assert vault.key_exists(ring="result", key_id=pack.pk)


def test_deleting_keeps_the_reason_why_a_pack_ended(owner):
    pack = make_shoot(owner, packs=("failed",)).packs.get()
    Pack.objects.update(reason=Pack.Reason.ENGINE_FAILED)

    assert delete_pack(pack=pack)
    assert not delete_pack(pack=pack)
    assert pack.reason == Pack.Reason.ENGINE_FAILED
