from datetime import timedelta

import pytest
from django.utils import timezone

from headshots.shoots.lifecycle import TRANSITIONS, advance, begin_purge, key_expiry, purge_time
from headshots.shoots.models import Event, Pack, Shoot
from headshots.vault.services import key_exists
from tests.helpers.factories import make_shoot

pytestmark = pytest.mark.django_db


def make_pack(state: str) -> Pack:
    return Pack.objects.create(
        shoot=make_shoot(), kind="preview", state=state, engine="fake", total=4, seed=1, width=896, height=1120
    )


@pytest.mark.parametrize("start", Pack.State.values)
@pytest.mark.parametrize("target", Pack.State.values)
def test_a_pack_makes_exactly_the_moves_of_the_table(start: str, target: str) -> None:
    pack = make_pack(start)
    before = Event.objects.count()

    moved = advance(pack, target)

    pack.refresh_from_db()
    assert moved == (target in TRANSITIONS[start])
    assert pack.state == (target if moved else start)
    assert Event.objects.count() - before == int(moved)


def test_only_one_of_two_callers_makes_a_move() -> None:
    pack = make_pack(Pack.State.QUEUED)
    same_pack = Pack.objects.get(pk=pack.pk)

    assert advance(pack, Pack.State.RENDERING)
    assert not advance(same_pack, Pack.State.RENDERING)


def test_every_state_stands_in_the_table_and_only_deleted_is_final() -> None:
    assert set(TRANSITIONS) == set(Pack.State.values)
    assert [state for state, targets in TRANSITIONS.items() if not targets] == [Pack.State.DELETED]


def test_arriving_at_queued_wakes_a_render_worker(valkey, django_capture_on_commit_callbacks) -> None:
    pack = make_pack(Pack.State.AWAITING_PAYMENT)

    with django_capture_on_commit_callbacks(execute=True):
        advance(pack, Pack.State.QUEUED)

    assert valkey.llen("render") == 1


def test_delivery_says_when_the_headshots_will_be_deleted(settings) -> None:
    settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS = 7
    pack = make_pack(Pack.State.RENDERING)

    advance(pack, Pack.State.DELIVERED)

    assert pack.delivered_at is not None
    assert pack.expires_at is not None
    assert (pack.expires_at - pack.delivered_at).days == 7


def test_the_event_of_a_delivery_says_which_pack_it_was_and_how_long_it_took() -> None:
    pack = make_pack(Pack.State.AWAITING_PAYMENT)
    advance(pack, Pack.State.QUEUED)
    Pack.objects.update(queued_at=timezone.now() - timedelta(seconds=90))
    advance(pack, Pack.State.RENDERING)

    advance(pack, Pack.State.DELIVERED)

    event = Event.objects.get(name="pack.delivered")
    assert event.codes == {"kind": "preview", "engine": "fake"}
    assert event.numbers == {"pictures": 4, "seconds": 90}


def test_the_event_of_a_failure_says_why() -> None:
    advance(make_pack(Pack.State.RENDERING), Pack.State.FAILED, reason="not_alike")

    assert Event.objects.get(name="pack.failed").codes["reason"] == "not_alike"


def test_a_shoot_is_closed_once_and_everything_may_be_asked_for_later() -> None:
    shoot = make_shoot()

    assert begin_purge(shoot)
    assert not begin_purge(shoot)
    assert begin_purge(shoot, everything=True)
    assert not begin_purge(shoot, everything=True)
    assert shoot.state == Shoot.State.PURGING


def test_closing_a_shoot_kills_its_key_at_once(django_capture_on_commit_callbacks) -> None:
    shoot = make_shoot()

    with django_capture_on_commit_callbacks(execute=True):
        begin_purge(shoot)

    assert not key_exists(ring="source", key_id=shoot.pk)


def test_photos_are_purged_a_little_before_their_key_dies(settings) -> None:
    settings.HEADSHOTS_PHOTO_TTL_SECONDS = 24 * 3600
    now = timezone.now()

    assert key_expiry(now) - now == timedelta(hours=24)
    assert key_expiry(now) - purge_time(now) == timedelta(minutes=5)
