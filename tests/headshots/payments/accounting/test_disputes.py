"""Which news of a dispute moves money in the ledger. Each event counts alone: others may never come."""

import pytest

from headshots.payments.models import LedgerEntry
from headshots.shoots.models import Shoot
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import deliver, ledger_sum, paid

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("inquiry", "kind", "left"),
    [
        (False, "charge.dispute.created", 0),
        (False, "charge.dispute.funds_withdrawn", 0),
        (True, "charge.dispute.created", 1900),
        # An inquiry that becomes a dispute: its status may still be the old one.
        (True, "charge.dispute.funds_withdrawn", 0),
    ],
)
def test_money_leaves_with_a_dispute_and_with_an_inquiry_only_when_stripe_takes_it(
    stripe: FakeStripe, shoot: Shoot, inquiry: bool, kind: str, left: int
) -> None:
    payment = paid(stripe, shoot)
    dispute = stripe.dispute(payment.payment_intent, inquiry=inquiry)

    deliver(stripe.send_event(kind, dispute))

    assert ledger_sum() == left
    assert LedgerEntry.objects.filter(stripe_id=dispute["id"]).count() == (left == 0)


@pytest.mark.parametrize("kind", ["charge.dispute.closed", "charge.dispute.funds_reinstated"])
def test_either_of_two_events_brings_the_money_of_a_won_dispute_back(
    stripe: FakeStripe, shoot: Shoot, kind: str
) -> None:
    payment = paid(stripe, shoot)
    dispute = stripe.dispute(payment.payment_intent)
    deliver(*stripe.events[1:])
    while_open = ledger_sum()
    stripe.close_dispute(dispute["id"], won=True)

    deliver(stripe.send_event(kind, dispute))

    assert (while_open, ledger_sum()) == (0, 1900)
