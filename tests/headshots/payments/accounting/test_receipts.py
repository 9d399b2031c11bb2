"""What a receipt says of a payment, its credit and its refunds."""

from datetime import timedelta

import pytest
from django.conf import LazySettings

from headshots.payments.accounting.credits import return_credit
from headshots.payments.accounting.receipts import Receipt, RefundSummary, build_receipts, find_payment_of_pack
from headshots.payments.accounting.refunds import request_refund, send_refund
from headshots.payments.models import Credit, LedgerEntry, Payment, Refund
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack, Shoot
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import deliver, open_checkout, paid, session_of

pytestmark = pytest.mark.django_db


def receipt_of(payment: Payment) -> Receipt:
    (receipt,) = build_receipts(Payment.objects.filter(pk=payment.pk))
    return receipt


def returned(payment: Payment) -> Credit:
    """The credit of a payment, open again because its pack failed."""
    credit = Credit.objects.get(payment=payment)
    assert credit.pack is not None
    advance(credit.pack, Pack.State.RENDERING)
    advance(credit.pack, Pack.State.FAILED)
    assert return_credit(pack=credit.pack)
    credit.refresh_from_db()
    return credit


@pytest.mark.parametrize(("discount", "amount"), [(0, "$19"), (900, "$10"), (1900, "$0")])
def test_before_the_payment_it_shows_the_price_and_then_what_was_paid(
    stripe: FakeStripe, shoot: Shoot, discount: int, amount: str
) -> None:
    payment = open_checkout(shoot)
    before = receipt_of(payment)
    deliver(stripe.pay(session_of(payment), discount=discount))

    after = receipt_of(payment)

    assert (before.amount, after.amount) == ("$19", amount)
    assert (before.credit, before.pack, before.auto_refund_at) == (None, payment.pack, None)
    assert (after.pack, after.tax, after.refunds) == (payment.pack, "", [])


def test_only_an_open_credit_that_cost_money_is_refunded_on_a_day(
    stripe: FakeStripe, shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_REFUND_DAYS = 9
    payment = paid(stripe, shoot)
    used = receipt_of(payment)
    credit = returned(payment)

    waiting = receipt_of(payment)
    Payment.objects.filter(pk=payment.pk).update(amount_paid=0)
    free = receipt_of(payment)

    assert (used.credit, used.auto_refund_at) == (credit, None)
    assert waiting.auto_refund_at == credit.open_since + timedelta(days=9)
    assert waiting.pack == payment.pack
    assert free.auto_refund_at is None


def test_a_refund_is_shown_with_the_time_at_which_the_money_left(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    refund = request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=500)
    assert refund is not None
    asked = receipt_of(payment).refunds
    send_refund(refund=refund)

    sent = receipt_of(payment).refunds

    assert asked == [RefundSummary("$5", Refund.State.REQUESTED, refund.created_at)]
    assert sent == [RefundSummary("$5", Refund.State.SUCCEEDED, LedgerEntry.objects.get(kind="refund").at)]
    assert sent[0].at > asked[0].at


def test_the_payment_of_a_pack_is_that_of_its_credit_or_of_the_pack_that_it_redoes(
    stripe: FakeStripe, shoot: Shoot
) -> None:
    payment = paid(stripe, shoot)
    pack = payment.pack
    assert pack is not None
    by_credit = find_payment_of_pack(pack.pk)
    redo = Pack.objects.create(shoot=shoot, kind="trial", engine="fake", total=4, seed=1, width=64, height=80)
    without_credit = find_payment_of_pack(redo.pk)
    granted = Credit.objects.create(owner=shoot.owner, source=Credit.Source.REDO, redo_of=pack, pack=redo)
    of_redo = find_payment_of_pack(redo.pk)
    granted.delete()
    returned(payment)

    assert by_credit == of_redo == find_payment_of_pack(pack.pk) == payment
    assert without_credit is None
