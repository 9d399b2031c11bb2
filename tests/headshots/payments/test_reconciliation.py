"""What beat finds when a webhook never came, Stripe was away or a process died."""

from datetime import timedelta

import pytest
from django.utils import timezone

from headshots.payments import tasks
from headshots.payments.accounting.refunds import request_refund, send_refund
from headshots.payments.checkout.orders import expire_payment, order_with_money
from headshots.payments.models import Credit, Payment, Refund, WebhookEvent
from headshots.payments.reconciliation import reconcile, replay_events
from headshots.payments.stripe import client as stripe_client
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Shoot
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import deliver, ledger_sum, open_checkout, order_of, paid, session_of, state

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_poll_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe's library does not sleep between tries here."""
    monkeypatch.setattr(stripe_client, "_RETRIES", 0)


def minutes_later(minutes: int) -> None:
    """As if the rows were that much older."""
    by = timedelta(minutes=minutes)
    for payment in Payment.objects.all():
        last_stripe_call_at = payment.last_stripe_call_at - by if payment.last_stripe_call_at else None
        Payment.objects.filter(pk=payment.pk).update(
            created_at=payment.created_at - by, last_stripe_call_at=last_stripe_call_at
        )
    for refund in Refund.objects.all():
        last_stripe_call_at = refund.last_stripe_call_at - by if refund.last_stripe_call_at else None
        Refund.objects.filter(pk=refund.pk).update(
            created_at=refund.created_at - by, last_stripe_call_at=last_stripe_call_at
        )


def test_a_payment_whose_webhook_never_came_is_asked_for(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    stripe.pay(session_of(payment))

    reconcile()
    at_once = state(payment)
    minutes_later(4)
    reconcile()

    assert at_once == ("open", None, "awaiting_payment")
    assert state(payment) == ("paid", "used", "queued")
    assert ledger_sum() == stripe.balance == 1900


def test_an_expired_session_whose_webhook_never_came_ends_the_order(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    stripe.expire(session_of(payment))
    minutes_later(4)

    reconcile()

    assert state(payment) == ("expired", None, "canceled")


def test_a_checkout_that_opens_while_another_order_takes_its_place_is_closed_at_stripe(
    stripe: FakeStripe, shoot: Shoot
) -> None:
    as_another_tab_saw_it = order_with_money(order=order_of(shoot), owner=shoot.owner)
    payment = open_checkout(shoot)

    assert expire_payment(payment=as_another_tab_saw_it)

    assert stripe.sessions[session_of(payment)]["status"] == "expired"
    assert state(payment) == ("expired", None, "canceled")


def test_nobody_asks_twice_within_minutes(stripe: FakeStripe, shoot: Shoot) -> None:
    open_checkout(shoot)
    minutes_later(4)

    for _ in range(3):
        reconcile()

    assert [method for method, _ in stripe.asked] == ["POST", "GET"]


def test_photos_that_went_in_the_meantime_leave_a_credit(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    stripe.pay(session_of(payment))
    begin_purge(shoot)
    minutes_later(4)

    reconcile()

    assert state(payment)[:2] == ("paid", "open")
    assert Credit.objects.get().pending_mail == Credit.Mail.AVAILABLE


def test_an_order_whose_checkout_never_opened_ends_with_its_time(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = order_with_money(order=order_of(shoot), owner=shoot.owner)
    minutes_later(4)
    reconcile()
    before = state(payment)
    Payment.objects.update(expires_at=timezone.now() - timedelta(minutes=1), last_stripe_call_at=None)

    reconcile()

    assert before == ("open", None, "awaiting_payment")
    assert state(payment) == ("expired", None, "canceled")


def test_while_stripe_is_away_the_rest_is_looked_after(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    stripe.pay(session_of(payment))
    minutes_later(4)
    stripe.away = 1

    reconcile()
    away = state(payment)
    minutes_later(11)
    reconcile()

    assert away == ("open", None, "awaiting_payment")
    assert state(payment) == ("paid", "used", "queued")


@pytest.mark.parametrize("trouble", ["away", "lost_answers"])
def test_a_refund_is_asked_for_until_stripe_answers_and_made_once(
    stripe: FakeStripe, shoot: Shoot, trouble: str
) -> None:
    payment = paid(stripe, shoot)
    refund = request_refund(payment=payment, reason=Refund.Reason.PERSON)
    assert refund is not None
    setattr(stripe, trouble, 1)

    send_refund(refund=refund)
    after_trouble = state(payment)
    minutes_later(11)
    reconcile()

    assert after_trouble == ("paid", "refunded", "revoked")
    assert state(payment) == ("refunded", "refunded", "revoked")
    assert len(stripe.refunds) == 1
    assert ledger_sum() == stripe.balance == 0


def test_a_refund_that_stripe_refuses_gives_the_right_back(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    refund = request_refund(payment=payment, reason=Refund.Reason.PERSON)
    assert refund is not None
    stripe.refuse_refunds = "insufficient_funds"

    send_refund(refund=refund)

    refund.refresh_from_db()
    assert refund.state == Refund.State.FAILED
    assert state(payment) == ("paid", "open", "revoked")


def test_more_than_was_paid_is_never_given_back(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)

    asked = [
        request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=amount)
        for amount in (0, -5, 1000, 1000, 900)
    ]

    assert [refund and refund.amount for refund in asked] == [None, None, 1000, None, 900]
    assert request_refund(payment=payment, reason=Refund.Reason.GOODWILL) is None


def test_events_that_no_webhook_brought_are_fetched_and_acted_on(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    stripe.refund(payment.payment_intent, 500)
    stripe.send_event("customer.created", {"id": "cus_1", "object": "customer"})

    first, second = replay_events(), replay_events()

    assert (first, second) == (3, 0)
    payment.refresh_from_db()
    assert payment.amount_refunded == 500
    assert ledger_sum() == stripe.balance == 1400
    assert set(WebhookEvent.objects.filter(fetched=True).values_list("type", flat=True)) == {
        "refund.created",
        "charge.refunded",
        "refund.updated",
    }


def test_what_was_heard_of_while_the_payment_was_written_down_is_acted_on(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    dispute = stripe.dispute(payment.payment_intent)
    stripe.close_dispute(dispute["id"], won=False)
    elsewhere = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_of_another_business", "status": "lost"}
    stripe.send_event("charge.dispute.closed", elsewhere)
    # As PostgreSQL shows it to the transaction of the dispute while that of the payment is open.
    Payment.objects.update(paid_at=None)
    deliver(*stripe.events[1:])
    Payment.objects.update(paid_at=payment.paid_at)
    unseen = state(payment)

    reconcile()

    assert unseen == ("paid", "used", "queued")
    assert state(payment) == ("lost", "revoked", "revoked")
    assert ledger_sum() == stripe.balance == 0
    assert WebhookEvent.objects.get(outcome="waiting").payment_intent == "pi_of_another_business"


def test_a_webhook_that_comes_after_it_was_fetched_changes_nothing(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    replay_events()

    assert deliver(event) == [200]

    assert WebhookEvent.objects.get().fetched
    assert ledger_sum() == stripe.balance == 1900


def test_many_missed_events_come_in_pages(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    for _ in range(35):
        stripe.refund(payment.payment_intent, 10)

    assert replay_events() == 105  # A page holds a hundred.

    assert ledger_sum() == stripe.balance == 1550


def test_an_account_wide_refund_is_looked_up_by_its_payment(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    stripe.refund(payment.payment_intent, 300)
    stripe.refund(payment.payment_intent, 200)

    tasks.fetch_refunds(str(payment.pk))

    payment.refresh_from_db()
    assert payment.amount_refunded == 500
    assert ledger_sum() == stripe.balance == 1400


def test_without_a_stripe_nobody_is_asked(shoot: Shoot, settings: object) -> None:
    settings.HEADSHOTS_STRIPE_SECRET_KEY = ""  # type: ignore[attr-defined]
    settings.HEADSHOTS_TEST_CHECKOUT = False  # type: ignore[attr-defined]

    reconcile()

    assert replay_events() == 0
