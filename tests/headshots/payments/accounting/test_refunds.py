"""How much of a payment can go back, and which mail a refund still owes its customer."""

import pytest
from django.conf import LazySettings

from headshots.payments import tasks
from headshots.payments.accounting.refunds import refundable_amount, request_refund, send_refund
from headshots.payments.models import Payment, Refund
from headshots.shoots.models import Shoot
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import deliver, paid

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("was_announced", [True, False])
def test_the_failure_of_a_refund_is_mailed_only_if_the_refund_was_announced(
    stripe: FakeStripe, shoot: Shoot, was_announced: bool
) -> None:
    refund = request_refund(payment=paid(stripe, shoot), reason=Refund.Reason.GOODWILL, amount=500)
    assert refund is not None
    send_refund(refund=refund)
    if was_announced:
        tasks.mail_refund(str(refund.pk))
    refund.refresh_from_db()
    stripe.fail_refund(refund.stripe_id)

    # Stripe reports one failure in two events, and each may come twice.
    deliver(*stripe.events, *stripe.events)

    refund.refresh_from_db()
    assert (refund.state, refund.mail_due) == (Refund.State.FAILED, was_announced)


def test_a_refund_that_failed_is_still_to_be_had(stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    assert request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=500)
    asked = refundable_amount(payment)
    Refund.objects.update(state=Refund.State.FAILED)

    assert (asked, refundable_amount(payment)) == (1400, 1900)


def test_nothing_goes_back_that_was_not_paid_here_or_that_the_bank_has_taken(
    stripe: FakeStripe, shoot: Shoot, settings: LazySettings
) -> None:
    payment = paid(stripe, shoot)
    disputes = [Payment.Dispute.NONE, Payment.Dispute.OPEN, Payment.Dispute.LOST, Payment.Dispute.WON]

    left = []
    for payment.dispute_state in disputes:
        left.append(refundable_amount(payment))
    settings.HEADSHOTS_LIVE_PAYMENTS = True
    elsewhere = refundable_amount(payment)
    settings.HEADSHOTS_LIVE_PAYMENTS = False
    payment.paid_at = None

    assert left == [1900, 0, 0, 1900]
    assert elsewhere == refundable_amount(payment) == 0
