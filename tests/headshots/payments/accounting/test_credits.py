"""Rights to a pack: given back, refunded, granted, asked for again; and the mails about them."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core import mail
from django.db import connection
from django.test import Client, TestCase
from django.utils import timezone

from headshots.accounts.models import User
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.payments import tasks
from headshots.payments.accounting.credits import (
    can_redo,
    grant_credit,
    open_credits,
    refund_undelivered_credits,
    request_redo,
    requeue_pack,
    return_credit,
)
from headshots.payments.accounting.refunds import refund_credit, request_refund, send_refund
from headshots.payments.checkout.orders import buy_credit, checkout_url, order_with_money
from headshots.payments.errors import OrderRefused, Refusal
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.reconciliation import reconcile
from headshots.retention.due import purge_due
from headshots.shoots.lifecycle import TASKS_ON_ENTRY, advance, begin_purge
from headshots.shoots.models import Event, Pack, Shoot
from tests.helpers.factories import make_user
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import HOME, bare_shoot, deliver, ledger_sum, open_checkout, order_of, paid, session_of, state

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

Execute = Callable[..., object]


def pack_of(payment: Payment) -> Pack:
    assert payment.pack is not None
    return payment.pack


def fail(pack: Pack) -> None:
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.FAILED, reason=Pack.Reason.ENGINE_FAILED)


def deliver_pack(pack: Pack) -> Pack:
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.DELIVERED)
    return pack


def bought(stripe: FakeStripe, person: User) -> Credit:
    """An open, paid credit."""
    payment = buy_credit(owner=person)
    checkout_url(payment=payment, urls=HOME)
    deliver(stripe.pay(session_of(payment)))
    return Credit.objects.get(payment=payment)


@pytest.mark.parametrize("way", ["order page", "price page"])
def test_who_gets_a_pack_while_a_checkout_is_about_to_open_is_not_led_to_it(
    stripe: FakeStripe, shoot: Shoot, person: User, way: str
) -> None:
    wanted = order_of(shoot)
    granted: list[Credit] = []

    def a_pack_comes(execute: Execute, sql: str, params: object, many: bool, context: object) -> object:
        """After the first look whether there is one."""
        found = execute(sql, params, many, context)
        if "payments_credit" in sql and not granted:
            granted.append(Credit(owner=person, source=Credit.Source.GRANT))
            granted[0].save()
        return found

    with connection.execute_wrapper(a_pack_comes), pytest.raises(OrderRefused, match=Refusal.HAS_OPEN_CREDIT):
        order_with_money(order=wanted, owner=person) if way == "order page" else buy_credit(owner=person)

    assert granted
    assert not Payment.objects.exists()
    assert not shoot.packs.filter(kind=Pack.Kind.PREMIUM).exists()


def test_the_ends_without_pictures_start_the_giving_back() -> None:
    for end in (Pack.State.FAILED, Pack.State.CANCELED):
        assert "payments.return_credit" in TASKS_ON_ENTRY[end]


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_pack_that_could_not_be_made_gives_its_credit_back_once(stripe: FakeStripe, shoot: Shoot, end: str) -> None:
    payment = paid(stripe, shoot)
    if end == "failed":
        fail(pack_of(payment))
    else:
        advance(pack_of(payment), Pack.State.CANCELED)

    first = return_credit(pack=pack_of(payment))
    second = return_credit(pack=pack_of(payment))

    assert (first, second) == (True, False)
    assert state(payment) == ("paid", "open", end)
    assert Credit.objects.get().pending_mail == Credit.Mail.AVAILABLE


@pytest.mark.parametrize("so_far", ["queued", "rendering", "delivered"])
def test_a_pack_that_may_still_come_or_came_keeps_its_credit(stripe: FakeStripe, shoot: Shoot, so_far: str) -> None:
    payment = paid(stripe, shoot)
    pack = pack_of(payment)
    if so_far != "queued":
        advance(pack, Pack.State.RENDERING)
    if so_far == "delivered":
        advance(pack, Pack.State.DELIVERED)

    assert not return_credit(pack=pack)
    assert state(payment) == ("paid", "used", so_far)


def test_photos_that_are_deleted_in_mid_pack_cost_nothing(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    advance(pack_of(payment), Pack.State.RENDERING)
    begin_purge(shoot, actor=Event.Actor.PERSON, everything=True)

    purge_due()
    reconcile()

    assert state(payment)[:2] == ("paid", "open")


def test_a_credit_comes_back_even_when_its_message_got_lost_and_the_pack_is_deleted(
    stripe: FakeStripe, shoot: Shoot
) -> None:
    payment = paid(stripe, shoot)
    fail(pack_of(payment))
    advance(pack_of(payment), Pack.State.DELETED)

    reconcile()

    assert state(payment) == ("paid", "open", "deleted")


def test_one_click_gives_the_money_back(stripe: FakeStripe, shoot: Shoot, client: Client, person: User) -> None:
    payment = paid(stripe, shoot)
    fail(pack_of(payment))
    return_credit(pack=pack_of(payment))
    credit = Credit.objects.get()
    client.force_login(person)
    address = f"/payments/credits/{credit.pk}/refund/"

    asked = client.get(address).content.decode()
    with TestCase.captureOnCommitCallbacks(execute=True):
        first, second = client.post(address, follow=True), client.post(address, follow=True)
    send_refund(refund=Refund.objects.get())

    assert "Refund $19?" in asked
    assert "refunding your payment" in first.content.decode()
    assert "nothing left to refund" in second.content.decode()
    assert state(payment) == ("refunded", "refunded", "failed")
    assert stripe.balance == ledger_sum() == 0
    assert deliver(*stripe.events) == [200] * len(stripe.events)
    assert Refund.objects.get().state == Refund.State.SUCCEEDED
    assert ledger_sum() == 0
    stranger = Client()
    stranger.force_login(make_user())
    assert stranger.post(address).status_code == 404


def test_a_credit_that_is_being_refunded_cannot_be_used(stripe: FakeStripe, person: User) -> None:
    credit = bought(stripe, person)

    assert refund_credit(credit=credit, reason=Refund.Reason.PERSON)

    assert Credit.objects.get().state == Credit.State.REFUNDED
    # Stripe has not been asked yet.
    assert stripe.balance == 1900


def test_the_oldest_credit_is_used_first_and_a_paid_one_only_where_it_was_paid(
    stripe: FakeStripe, person: User, settings: LazySettings
) -> None:
    paid_for = bought(stripe, person)
    granted = grant_credit(owner=person, reason=Credit.GrantReason.GOODWILL)
    grant_credit(owner=make_user(), reason=Credit.GrantReason.GOODWILL)
    oldest_first = list(open_credits(person))
    Credit.objects.filter(pk=granted.pk).update(open_since=timezone.now() - timedelta(days=1))

    assert oldest_first == [paid_for, granted]
    assert list(open_credits(person)) == [granted, paid_for]
    settings.HEADSHOTS_LIVE_PAYMENTS = True
    assert list(open_credits(person)) == [granted]


def test_an_unused_credit_is_refunded_by_itself_after_some_days(
    stripe: FakeStripe, person: User, settings: LazySettings
) -> None:
    bought(stripe, person)
    reconcile()
    still_open = Credit.objects.get().state
    settings.HEADSHOTS_REFUND_DAYS = 14
    Credit.objects.update(open_since=timezone.now() - timedelta(days=14, minutes=1))

    reconcile()
    send_refund(refund=Refund.objects.get())
    tasks.mail_refund(str(Refund.objects.get().pk))

    assert still_open == Credit.State.OPEN
    assert state(Payment.objects.get()) == ("refunded", "refunded", None)
    assert Refund.objects.get().reason == Refund.Reason.UNUSED
    (message,) = mail.outbox
    assert message.to == [person.email]
    assert message.subject == "Your refund of $19 is on its way"


def test_a_granted_credit_is_never_refunded_by_itself(person: User, stripe: FakeStripe) -> None:
    grant_credit(owner=person, reason=Credit.GrantReason.GOODWILL)
    Credit.objects.update(open_since=timezone.now() - timedelta(days=400))

    reconcile()

    assert Credit.objects.get().state == Credit.State.OPEN
    assert not Refund.objects.exists()


def test_the_mail_about_a_credit_is_sent_once_to_the_accounts_address_of_the_day(
    stripe: FakeStripe, shoot: Shoot, person: User, settings: LazySettings
) -> None:
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"
    payment = paid(stripe, shoot)
    fail(pack_of(payment))
    return_credit(pack=pack_of(payment))
    User.objects.filter(pk=person.pk).update(email="new@example.org")

    for _ in range(2):
        tasks.send_mail(str(Credit.objects.get().pk))

    (message,) = mail.outbox
    assert message.to == ["new@example.org"]
    assert message.subject == "Your pack of 4 headshots is still available"
    assert "https://headshots.example.org/shoots/new/" in message.body
    assert "get a refund of $19" in message.body
    assert "\n\n\n" not in message.body.strip()


def test_a_mail_that_could_not_be_sent_is_sent_later(
    person: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    credit = grant_credit(owner=person, reason="press")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    tasks.send_mail(str(credit.pk))
    due = Credit.objects.get().pending_mail
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

    tasks.send_mail(str(credit.pk))

    assert due == Credit.Mail.AVAILABLE
    assert [message.subject for message in mail.outbox] == ["A free pack of 50 headshots for you"]


def test_a_delivered_pack_has_one_free_redo(stripe: FakeStripe, shoot: Shoot, client: Client, person: User) -> None:
    pack = deliver_pack(pack_of(paid(stripe, shoot)))
    client.force_login(person)
    address = f"/payments/packs/{pack.pk}/redo/"

    asked = client.get(address).content.decode()
    answer = client.post(address)

    assert "again for free" in asked
    assert answer.url == f"/shoots/{shoot.pk}/order/"  # its photos are still here
    redo = Credit.objects.get(source=Credit.Source.REDO)
    assert (redo.owner, redo.state, redo.redo_of) == (person, Credit.State.OPEN, pack)
    assert request_redo(pack=pack) is None
    assert "no free redo left" in client.get(address).content.decode()


def test_a_redo_of_a_redo_a_late_one_and_one_without_a_delivery_are_refused(
    stripe: FakeStripe, shoot: Shoot, settings: LazySettings
) -> None:
    payment = paid(stripe, shoot)
    pack = pack_of(payment)
    before_delivery = can_redo(pack)
    deliver_pack(pack)
    in_time = can_redo(pack)
    Pack.objects.filter(pk=pack.pk).update(delivered_at=timezone.now() - timedelta(days=7, minutes=1))
    late = can_redo(Pack.objects.get(pk=pack.pk))
    Credit.objects.filter(payment=payment).update(source=Credit.Source.REDO)
    pack.refresh_from_db()
    Pack.objects.filter(pk=pack.pk).update(delivered_at=timezone.now())

    assert (before_delivery, in_time, late) == (False, True, False)
    assert not can_redo(Pack.objects.get(pk=pack.pk))


def test_a_refunded_pack_has_no_redo_and_its_open_redo_goes_with_the_money(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    pack = deliver_pack(pack_of(payment))
    redo = request_redo(pack=pack)
    assert redo is not None

    request_refund(payment=payment, reason=Refund.Reason.QUALITY)

    redo.refresh_from_db()
    assert redo.state == Credit.State.REFUNDED
    assert not can_redo(pack)


def test_staff_queue_a_failed_pack_again_with_its_credit(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    fail(pack_of(payment))

    first = requeue_pack(pack=pack_of(payment))
    second = requeue_pack(pack=pack_of(payment))

    assert (first, second) == (True, False)
    assert state(payment) == ("paid", "used", "queued")


def test_what_was_given_up_is_shot_anew_and_what_is_done_stays(stripe: FakeStripe, shoot: Shoot) -> None:
    pack = pack_of(paid(stripe, shoot))
    pack.headshots.filter(index=0).update(state="rejected", attempts=3, renders=3, reasons=[Pack.Reason.ENGINE_FAILED])
    pack.headshots.filter(index__gt=0).update(state="done", attempts=1)
    Pack.objects.filter(pk=pack.pk).update(consecutive_failures=3, reshoots=2)
    fail(pack)

    assert requeue_pack(pack=pack)

    pack.refresh_from_db()
    assert sorted(pack.headshots.values_list("state", "attempts")) == [("done", 1)] * 3 + [("pending", 0)]
    assert (pack.consecutive_failures, pack.reshoots) == (0, 0)


def test_a_failed_pack_is_not_queued_again_without_photos_or_without_a_credit(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    fail(pack_of(payment))
    return_credit(pack=pack_of(payment))
    refund_credit(credit=Credit.objects.get(), reason=Refund.Reason.PERSON)
    without_credit = requeue_pack(pack=pack_of(payment))
    assert shoot.owner is not None
    grant_credit(owner=shoot.owner, reason=Credit.GrantReason.GOODWILL)
    begin_purge(shoot)

    assert not without_credit
    assert not requeue_pack(pack=pack_of(payment))
    assert state(payment)[2] == "failed"


def test_a_failed_pack_is_not_queued_again_beside_another_order_of_its_shoot(stripe: FakeStripe, shoot: Shoot) -> None:
    failed = paid(stripe, shoot)
    fail(pack_of(failed))
    another = open_checkout(shoot)

    assert not requeue_pack(pack=pack_of(failed))
    assert state(failed) == ("paid", "open", "failed")
    assert state(another)[2] == "awaiting_payment"


def test_a_failed_pack_whose_money_went_back_is_queued_again_with_a_present(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    fail(pack_of(payment))
    refund = request_refund(payment=payment, reason=Refund.Reason.GOODWILL)
    assert refund is not None
    assert shoot.owner is not None
    present = grant_credit(owner=shoot.owner, reason=Credit.GrantReason.GOODWILL)

    assert requeue_pack(pack=pack_of(payment))

    present.refresh_from_db()
    assert present.pack == pack_of(payment)
    assert state(payment) == ("paid", "refunded", "queued")
    send_refund(refund=refund)
    deliver(stripe.fail_refund(next(iter(stripe.refunds))))
    assert state(payment) == ("paid", "open", "queued")


def test_an_account_that_goes_has_its_money_back_first(stripe: FakeStripe, shoot: Shoot, person: User) -> None:
    in_work = paid(stripe, shoot)
    checkout = open_checkout(bare_shoot(person))
    unused = bought(stripe, person)

    assert refund_undelivered_credits(owner=person) == 2
    assert refund_undelivered_credits(owner=person) == 0
    person.delete()
    reconcile()
    for refund in Refund.objects.all():
        send_refund(refund=refund)

    assert unused.payment is not None
    assert state(in_work) == ("refunded", "refunded", "canceled")
    assert state(unused.payment) == ("refunded", "refunded", None)
    assert state(checkout) == ("expired", None, "canceled")
    assert stripe.sessions[session_of(checkout)]["status"] == "expired"
    assert ledger_sum() == stripe.balance == 0
    assert set(Payment.objects.values_list("owner", flat=True)) == {None}


def test_money_that_comes_when_its_account_has_gone_goes_back(stripe: FakeStripe, shoot: Shoot, person: User) -> None:
    payment = open_checkout(shoot)
    stripe.pay(session_of(payment))
    begin_purge(shoot)
    person.delete()
    deliver(*stripe.events)

    reconcile()
    send_refund(refund=Refund.objects.get())

    assert state(payment)[:2] == ("refunded", "refunded")
    assert ledger_sum() == stripe.balance == 0
    assert not mail.outbox


def test_deleting_an_account_gives_back_what_was_paid_and_not_had(
    stripe: FakeStripe, shoot: Shoot, person: User
) -> None:
    in_work = paid(stripe, shoot)
    unused = bought(stripe, person)
    begin_account_deletion(owner=person, certificate_id=uuid4())

    assert finish_account_deletion(owner=person)
    for refund in Refund.objects.all():
        send_refund(refund=refund)

    assert unused.payment is not None
    assert not User.objects.filter(pk=person.pk).exists()
    assert state(in_work)[:2] == state(unused.payment)[:2] == ("refunded", "refunded")
    assert ledger_sum() == stripe.balance == 0
