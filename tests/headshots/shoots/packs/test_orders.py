"""Ordering a premium pack: what is planned, and when there is nothing to order."""

import base64
import json

import pytest
from django.conf import LazySettings
from django.test import TestCase
from redis import Redis

from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Event, Pack, Photo, Style
from headshots.shoots.packs.orders import CannotOrder, order_premium
from headshots.vault.services import key_exists
from tests.helpers.factories import make_checked_shoot, make_premium

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


def woken_packs(valkey: Redis) -> list[str]:
    """The packs that messages to the render workers are about."""
    bodies = [base64.b64decode(json.loads(message)["body"]) for message in valkey.lrange("render", 0, -1)]
    return [json.loads(body)[0][0] for body in bodies]


def five_looks() -> list[Style]:
    return list(Style.objects.all()[:5])


def test_a_premium_pack_is_fifty_distinct_shots_at_4k_of_the_chosen_looks() -> None:
    pack = make_premium()

    rows = list(pack.headshots.select_related("style"))
    assert (pack.kind, pack.state, pack.total) == (Pack.Kind.PREMIUM, Pack.State.QUEUED, 50)
    assert (pack.width, pack.height) == (3072, 3840)
    assert [row.index for row in rows] == list(range(50))
    assert {row.style for row in rows} == set(five_looks())
    assert len({(row.style.recipe["set"], row.framing, row.light) for row in rows}) == 50
    assert key_exists(ring="result", key_id=pack.pk)


def test_a_queued_pack_wakes_a_worker_once_the_order_holds(valkey: Redis) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        pack = make_premium()

    assert str(pack.pk) in woken_packs(valkey)
    assert pack.queued_at is not None
    assert Event.objects.filter(pack_id=pack.pk, name="pack.queued").exists()


def test_a_pack_that_waits_for_its_payment_wakes_nobody(valkey: Redis) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        pack = make_premium(queued=False)

    assert str(pack.pk) not in woken_packs(valkey)
    assert pack.state == Pack.State.AWAITING_PAYMENT
    assert pack.queued_at is None
    assert Event.objects.filter(pack_id=pack.pk, name="pack.awaiting_payment").exists()


def test_one_live_premium_pack_at_a_time_and_another_after_it() -> None:
    first = make_premium(queued=False)

    with pytest.raises(CannotOrder, match="pack_is_live"):
        order_premium(shoot=first.shoot, styles=five_looks(), queued=True)
    advance(first, Pack.State.CANCELED)
    second = order_premium(shoot=first.shoot, styles=five_looks(), queued=True)

    assert list(first.shoot.packs.filter(kind=Pack.Kind.PREMIUM)) == [first, second]


def test_too_few_looks_for_fifty_distinct_shots_are_refused() -> None:
    shoot = make_checked_shoot()

    for looks in (five_looks()[:2], []):
        with pytest.raises(CannotOrder, match="too_few_looks"):
            order_premium(shoot=shoot, styles=looks, queued=True)

    assert not shoot.packs.filter(kind=Pack.Kind.PREMIUM).exists()


def test_a_closed_shoot_and_one_without_a_usable_photo_have_nothing_to_order() -> None:
    closed, refused = make_checked_shoot(), make_checked_shoot()
    begin_purge(closed)
    refused.photos.update(state=Photo.State.REFUSED)

    with pytest.raises(CannotOrder, match="shoot_closed"):
        order_premium(shoot=closed, styles=five_looks(), queued=True)
    with pytest.raises(CannotOrder, match="no_photo"):
        order_premium(shoot=refused, styles=five_looks(), queued=True)


def test_count_and_size_are_settings(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT, settings.HEADSHOTS_PREMIUM_LONG_EDGE = 6, 800

    pack = make_premium(looks=2)

    assert (pack.total, pack.width, pack.height) == (6, 640, 800)
    assert pack.headshots.count() == 6
