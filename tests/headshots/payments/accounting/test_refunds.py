"""Which mail a refund still owes its customer."""

import pytest

from headshots.payments import tasks
from headshots.payments.accounting.refunds import request_refund, send_refund
from headshots.payments.models import Refund
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
