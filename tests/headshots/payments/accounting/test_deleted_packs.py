"""Paid packs that are deleted while they are made, and those whose payment is taken back: what becomes of pictures and
of the right to a pack."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import uuid4

import pytest
import redis
from django.test import Client

from headshots.accounts.models import User
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.payments.accounting.credits import return_credit
from headshots.payments.models import Payment, Refund
from headshots.payments.reconciliation import reconcile
from headshots.retention.due import purge_due
from headshots.retention.tasks import delete_pack
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Event, Headshot, Pack, Shoot
from headshots.vault.services import key_exists, write_blob
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import deliver, paid, state

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


def pack_of(payment: Payment) -> Pack:
    assert payment.pack is not None
    return payment.pack


def show_one(pack: Pack) -> None:
    """Its first headshot is there."""
    advance(pack, Pack.State.RENDERING)
    blob = write_blob(ring="result", key_id=pack.pk, kind="headshot", data=b"a headshot")
    Headshot.objects.filter(pack=pack, index=0).update(state=Headshot.State.DONE, blob=blob)


def test_who_deletes_a_pack_of_which_headshots_are_there_has_had_it(
    stripe: FakeStripe, shoot: Shoot, client: Client, person: User
) -> None:
    payment = paid(stripe, shoot)
    pack = pack_of(payment)
    client.force_login(person)
    address = f"/shoots/{shoot.pk}/delete/"
    before = client.get(address).content.decode()
    show_one(pack)
    asked = client.get(address).content.decode()
    withdrawing = client.get(f"/account/consent/{shoot.pk}/withdraw/").content.decode()
    leaving = client.get("/account/delete/").content.decode()

    client.post(address)
    purge_due()
    return_credit(pack=pack)
    reconcile()

    assert "none of its headshots are available yet" in before
    assert all("counts as used" in page for page in (asked, withdrawing, leaving))
    assert state(payment) == ("paid", "used", "deleted")


def test_the_page_that_deletes_an_account_says_one_thing_of_a_pack_in_the_making(
    stripe: FakeStripe, shoot: Shoot, client: Client, person: User
) -> None:
    pack = pack_of(paid(stripe, shoot))
    client.force_login(person)
    begun = client.get("/account/delete/").content.decode()
    show_one(pack)
    shown = client.get("/account/delete/").content.decode()

    assert "This includes the pack in progress" in begun
    assert "order again" not in begun
    assert "The pack in progress counts as used" in shown
    assert "won’t be refunded" not in shown


def test_a_withdrawal_or_a_closed_account_gives_back_no_pack_that_was_had(
    stripe: FakeStripe, shoot: Shoot, person: User
) -> None:
    payment = paid(stripe, shoot)
    show_one(pack_of(payment))
    begin_account_deletion(owner=person, certificate_id=uuid4())

    assert finish_account_deletion(owner=person)
    reconcile()

    assert state(payment)[:2] == ("paid", "used")
    assert not Refund.objects.exists()


@pytest.mark.parametrize("actor", [Event.Actor.SYSTEM, Event.Actor.STAFF])
def test_photos_that_go_without_the_persons_wish_give_the_pack_back_whatever_was_there(
    stripe: FakeStripe, shoot: Shoot, actor: str
) -> None:
    payment = paid(stripe, shoot)
    show_one(pack_of(payment))

    begin_purge(shoot, actor=actor, lost=actor == Event.Actor.SYSTEM)
    reconcile()

    assert state(payment)[:2] == ("paid", "open")


def test_a_dispute_about_a_pack_that_was_had_opens_no_right_to_another(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    show_one(pack_of(payment))
    begin_purge(shoot, actor=Event.Actor.PERSON, everything=True)
    dispute = stripe.dispute(payment.payment_intent)
    stripe.close_dispute(dispute["id"], won=True)

    deliver(*stripe.events[1:])

    assert state(payment)[:2] == ("paid", "used")


def test_what_a_disputed_pack_had_is_deleted_at_once_and_a_won_dispute_pays_for_another(
    stripe: FakeStripe,
    shoot: Shoot,
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[object]],
    valkey: "redis.Redis",
) -> None:
    payment = paid(stripe, shoot)
    pack = pack_of(payment)
    show_one(pack)
    dispute = stripe.dispute(payment.payment_intent)
    valkey.flushall()

    with django_capture_on_commit_callbacks(execute=True):
        deliver(*stripe.events[1:])
    asked = [json.loads(message)["headers"]["task"] for message in valkey.lrange("retention", 0, -1)]
    delete_pack(str(pack.pk))

    assert asked == ["retention.delete_pack"]
    assert not key_exists(ring="result", key_id=pack.pk)
    assert not Headshot.objects.filter(pack=pack).exists()
    assert state(payment) == ("disputed", "revoked", "deleted")

    stripe.close_dispute(dispute["id"], won=True)
    deliver(*stripe.events[1:])

    assert state(payment) == ("paid", "open", "deleted")
