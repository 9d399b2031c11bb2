"""What Stripe tells us: who may say it, what is kept of it, and what follows, in any order."""

import itertools
import json
import time
from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection, transaction
from django.test import Client

from headshots.payments.accounting.webhooks import receive_webhook
from headshots.payments.models import Credit, LedgerEntry, Payment, WebhookEvent
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Event, Pack, Shoot
from tests.helpers.fake_stripe import FakeStripe, signed
from tests.helpers.money import WEBHOOK, deliver, ledger_sum, open_checkout, paid, session_of, state

pytestmark = pytest.mark.django_db

Execute = Callable[..., object]


def post(body: bytes, signature: str | None) -> int:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    return Client().post(WEBHOOK, body, content_type="application/json", headers=headers).status_code


def test_a_paid_checkout_queues_its_pack_once(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))

    assert state(payment) == ("open", None, "awaiting_payment")
    assert deliver(event, event) == [200, 200]

    assert state(payment) == ("paid", "used", "queued")
    assert WebhookEvent.objects.get().outcome == WebhookEvent.Outcome.DONE
    assert ledger_sum() == stripe.balance == 1900
    names = list(Event.objects.filter(pack_id=payment.pack_id).values_list("name", flat=True))
    assert names.count("pack.queued") == names.count("payment.paid") == names.count("credit.used") == 1


@pytest.mark.parametrize("wrong", ["none", "garbage", "other secret", "old", "other body"])
def test_a_wrong_signature_gets_400_and_leaves_no_row(stripe: FakeStripe, shoot: Shoot, wrong: str) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    body, signature = signed(event)
    signatures = {
        "none": None,
        "garbage": "v1=yes",
        "other secret": signed(event, secret="whsec_other")[1],
        "old": signed(event, at=int(time.time()) - 301)[1],
        "other body": signature,
    }

    status = post(body + b" " if wrong == "other body" else body, signatures[wrong])

    assert status == 400
    assert not WebhookEvent.objects.exists()
    assert state(payment) == ("open", None, "awaiting_payment")


def test_without_a_secret_nothing_is_believed(stripe: FakeStripe, shoot: Shoot, settings: LazySettings) -> None:
    payment = open_checkout(shoot)
    settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET = ""

    body, signature = signed(stripe.pay(session_of(payment)), secret="")

    assert post(body, signature) == 400
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"id": 1}', b"\xff\xfe", b"not json", b'{"id":"e","type":"t"}'])
def test_a_signed_body_that_is_no_event_gets_400(stripe: FakeStripe, body: bytes) -> None:
    import stripe as library

    text = body.decode("utf-8", "replace")

    signature = library.WebhookSignature.generate_signature_header(text, "whsec_test_0123456789")

    assert post(body, signature) == 400
    assert not WebhookEvent.objects.exists()


def test_only_posts_are_webhooks(stripe: FakeStripe) -> None:
    assert Client().get(WEBHOOK).status_code == 405


def test_unknown_events_are_stored_and_ignored(stripe: FakeStripe) -> None:
    event = stripe.send_event("customer.created", {"id": "cus_1", "object": "customer", "email": "jenny@example.com"})

    assert deliver(event, event) == [200, 200]

    row = WebhookEvent.objects.get()
    assert (row.type, row.outcome, row.object_id) == ("customer.created", WebhookEvent.Outcome.IGNORED, "cus_1")


def test_nothing_of_the_person_is_kept_of_an_event(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    assert "example@example.com" in json.dumps(event)

    deliver(event)

    with connection.cursor() as cursor:
        tables = [table for table in connection.introspection.table_names() if table.startswith("payments_")]
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
            assert "example.com" not in str(cursor.fetchall())


def test_money_that_comes_days_later_counts_when_it_comes(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)

    deliver(stripe.pay_later(session_of(payment)))
    waiting = state(payment)
    deliver(stripe.bank_answers(session_of(payment), good=True))

    assert waiting == ("processing", None, "awaiting_payment")
    assert state(payment) == ("paid", "used", "queued")
    assert ledger_sum() == stripe.balance == 1900


def test_money_that_does_not_come_ends_the_order(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)

    deliver(stripe.pay_later(session_of(payment)), stripe.bank_answers(session_of(payment), good=False))

    assert state(payment) == ("failed", None, "canceled")
    assert ledger_sum() == stripe.balance == 0


def test_an_expired_checkout_ends_the_order(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)

    deliver(stripe.expire(session_of(payment)))

    assert state(payment) == ("expired", None, "canceled")


@pytest.mark.parametrize("good", [True, False])
def test_the_banks_answer_may_overtake_the_persons(stripe: FakeStripe, shoot: Shoot, good: bool) -> None:
    payment = open_checkout(shoot)
    first = stripe.pay_later(session_of(payment))
    second = stripe.bank_answers(session_of(payment), good=good)

    deliver(second, first)

    assert state(payment) == (("paid", "used", "queued") if good else ("failed", None, "canceled"))


def test_a_full_refund_revokes_what_was_not_delivered(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    stripe.refund(payment.payment_intent)

    deliver(*stripe.events[-3:])

    assert state(payment) == ("refunded", "refunded", "revoked")
    assert ledger_sum() == stripe.balance == 0


def test_a_partial_refund_leaves_the_pack_and_two_of_them_end_it(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    stripe.refund(payment.payment_intent, 500)
    deliver(*stripe.events[-3:])

    after_one = state(payment)
    stripe.refund(payment.payment_intent, 1400)
    deliver(*stripe.events[-3:])

    assert after_one == ("paid", "used", "queued")
    assert state(payment) == ("refunded", "refunded", "revoked")
    payment.refresh_from_db()
    assert payment.amount_refunded == 1900
    assert list(payment.refunds.values_list("reason", "state")) == [("stripe", "succeeded")] * 2


def test_a_delivered_pack_stays_with_the_person_after_a_refund(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    assert payment.pack is not None
    advance(payment.pack, Pack.State.RENDERING)
    advance(payment.pack, Pack.State.DELIVERED)
    stripe.refund(payment.payment_intent)

    deliver(*stripe.events[-3:])

    assert state(payment) == ("refunded", "refunded", "delivered")


def test_a_refund_that_fails_gives_the_right_back(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    refund = stripe.refund(payment.payment_intent)
    deliver(*stripe.events[-3:])
    stripe.fail_refund(refund["id"])

    deliver(*stripe.events[-2:])

    assert state(payment) == ("paid", "open", "revoked")
    assert ledger_sum() == stripe.balance == 1900


def test_news_of_a_refund_may_come_in_any_order(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    refund = stripe.refund(payment.payment_intent)
    stripe.fail_refund(refund["id"])

    for order in itertools.permutations(stripe.events[-5:]):
        deliver(*order)
        assert ledger_sum() == stripe.balance == 1900
        payment.refresh_from_db()
        assert (payment.state, payment.amount_refunded) == ("paid", 0)


@pytest.mark.parametrize("inquiry", [True, False])
def test_a_dispute_stops_the_pack_and_a_won_one_opens_the_credit(
    stripe: FakeStripe, shoot: Shoot, inquiry: bool
) -> None:
    payment = paid(stripe, shoot)
    dispute = stripe.dispute(payment.payment_intent, inquiry=inquiry)
    deliver(*stripe.events[1:])
    while_open, balance_while_open = state(payment), ledger_sum()
    stripe.close_dispute(dispute["id"], won=True)

    deliver(*stripe.events[1:])

    assert while_open == ("disputed", "revoked", "revoked")
    assert balance_while_open == (1900 if inquiry else 0)
    assert state(payment) == ("paid", "open", "revoked")
    assert ledger_sum() == stripe.balance == 1900


def test_a_lost_dispute_takes_the_money_and_the_right(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    dispute = stripe.dispute(payment.payment_intent)
    stripe.close_dispute(dispute["id"], won=False)

    deliver(*stripe.events[1:])

    assert state(payment) == ("lost", "revoked", "revoked")
    assert ledger_sum() == stripe.balance == 0


def test_a_dispute_about_a_delivered_pack_changes_nothing_but_the_money(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    assert payment.pack is not None
    advance(payment.pack, Pack.State.RENDERING)
    advance(payment.pack, Pack.State.DELIVERED)
    stripe.dispute(payment.payment_intent)

    deliver(*stripe.events[1:])

    assert state(payment) == ("disputed", "used", "delivered")
    assert ledger_sum() == stripe.balance == 0


@pytest.mark.parametrize("won", [True, False])
def test_news_of_a_dispute_may_come_in_any_order(stripe: FakeStripe, shoot: Shoot, won: bool) -> None:
    payment = paid(stripe, shoot)
    dispute = stripe.dispute(payment.payment_intent)
    stripe.close_dispute(dispute["id"], won=won)
    events = stripe.events[1:]

    for order in itertools.permutations(events):
        WebhookEvent.objects.filter(type__startswith="charge.dispute.").delete()
        Payment.objects.filter(pk=payment.pk).update(dispute_id="", dispute_state="")
        deliver(*order)
        assert state(payment)[0] == ("paid" if won else "lost")
        assert ledger_sum() == stripe.balance


def test_a_refund_that_is_heard_of_before_the_payment_waits_for_it(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    stripe.pay(session_of(payment))
    stripe.refund(stripe.sessions[session_of(payment)]["payment_intent"])
    bought, *refunded = stripe.events

    deliver(*refunded)
    waiting = set(WebhookEvent.objects.values_list("outcome", flat=True))
    deliver(bought)

    assert waiting == {"waiting"}
    assert state(payment) == ("refunded", "refunded", "revoked")
    assert set(WebhookEvent.objects.values_list("outcome", flat=True)) == {"done"}
    assert ledger_sum() == stripe.balance == 0


def test_money_for_photos_that_have_gone_stays_as_a_credit(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    begin_purge(shoot)

    deliver(event)

    assert state(payment)[:2] == ("paid", "open")
    credit = Credit.objects.get()
    assert (credit.owner, credit.pending_mail) == (shoot.owner, Credit.Mail.AVAILABLE)


def test_money_counts_even_when_we_had_given_the_payment_up(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    Payment.objects.filter(pk=payment.pk).update(state=Payment.State.EXPIRED)
    assert payment.pack is not None
    advance(payment.pack, Pack.State.CANCELED)

    deliver(event)

    assert state(payment) == ("paid", "open", "canceled")


def test_a_session_that_we_had_not_noted_is_known_by_our_own_id(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    Payment.objects.filter(pk=payment.pk).update(session_id=None, session_url="")

    deliver(event)

    assert state(payment) == ("paid", "used", "queued")


def test_events_of_the_operators_other_business_are_stored_and_change_nothing(stripe: FakeStripe) -> None:
    foreign = {"id": "cs_test_other", "object": "checkout.session", "payment_status": "paid", "metadata": {}}
    nonsense = foreign | {"id": "cs_test_more", "metadata": {"payment": "not an id of ours"}}

    statuses = deliver(
        stripe.send_event("checkout.session.completed", foreign),
        stripe.send_event("checkout.session.completed", nonsense),
        stripe.send_event("charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": None}),
    )

    assert statuses == [200, 200, 200]
    assert set(WebhookEvent.objects.values_list("outcome", flat=True)) == {"waiting"}
    assert not LedgerEntry.objects.exists()


def test_tax_and_promotion_codes_are_as_stripe_says(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)

    deliver(stripe.pay(session_of(payment), tax=361, discount=900))

    payment.refresh_from_db()
    assert (payment.amount, payment.amount_paid, payment.amount_tax) == (1900, 1361, 361)
    assert ledger_sum() == stripe.balance == 1361


def test_a_pack_that_a_promotion_code_makes_free_is_paid(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = open_checkout(shoot)

    deliver(stripe.pay(session_of(payment), discount=1900))

    assert state(payment) == ("paid", "used", "queued")
    assert ledger_sum() == stripe.balance == 0


class FaultAt:
    """Makes the statement of this number fail, as a database that goes away does."""

    def __init__(self, statement: int) -> None:
        self.left = statement

    def __call__(self, execute: Execute, sql: str, params: object, many: bool, context: object) -> object:
        # Rolling back must work, or the test's own transaction is lost.
        if not sql.startswith(("ROLLBACK", "RELEASE", "SAVEPOINT")):
            if self.left == 0:
                self.left -= 1
                raise OperationalError("the database is away")
            self.left -= 1
        return execute(sql, params, many, context)


def test_a_fault_at_any_statement_leaves_all_or_nothing_and_the_repeat_makes_it_right(
    stripe: FakeStripe, shoot: Shoot
) -> None:
    payment = open_checkout(shoot)
    event = stripe.pay(session_of(payment))
    body, signature = signed(event)
    faults = 0

    for statement in itertools.count():
        with transaction.atomic():
            fault = FaultAt(statement)
            try:
                with connection.execute_wrapper(fault):
                    receive_webhook(payload=body, signature=signature)
            except OperationalError:
                faults += 1
            if fault.left >= 0:
                break
            assert not WebhookEvent.objects.exists()
            assert state(payment) == ("open", None, "awaiting_payment")
            deliver(event)
            assert state(payment) == ("paid", "used", "queued")
            assert ledger_sum() == 1900
            transaction.set_rollback(True)

    assert faults == statement > 12
    assert state(payment) == ("paid", "used", "queued")
    assert not receive_webhook(payload=body, signature=signature)
