"""Refunds: recorded first, then requested from Stripe until it has answered."""

import logging

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from headshots.celery import send_on_commit
from headshots.payments.accounting.payment_state import apply_refund, lock_payment, recompute_credits
from headshots.payments.errors import StripeRefused, StripeUnavailable
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import current_mode
from headshots.payments.stripe import client
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event

log = logging.getLogger(__name__)


def refundable_amount(payment: Payment) -> int:
    """Return how much of a payment can still be refunded, in the currency's smallest unit.

    Returns 0 if the payment is unpaid, has an open or lost dispute, or belongs to another mode."""
    if payment.paid_at is None or payment.mode != current_mode():
        return 0
    if payment.dispute_state in {Payment.Dispute.OPEN, Payment.Dispute.LOST}:
        return 0
    gone = payment.refunds.exclude(state=Refund.State.FAILED).aggregate(sum=Sum("amount"))["sum"] or 0
    return max(0, payment.amount_paid - gone)


def request_refund(
    *, payment: Payment, reason: Refund.Reason, amount: int | None = None, actor: str = Event.Actor.SYSTEM
) -> Refund | None:
    """Record a refund and start the task that requests it from Stripe.

    amount: in the smallest unit; None refunds all that is left. Returns None if less than `amount` is left.
    A full refund marks the credit as refunded at once and revokes its unfinished pack."""
    with transaction.atomic():
        payment = lock_payment(payment)
        left = refundable_amount(payment)
        wanted = left if amount is None else amount
        if not 0 < wanted <= left:
            return None
        # A deleted account has no address left for an email. Its last page names the refund.
        is_mail_due = reason != Refund.Reason.ACCOUNT_DELETED
        refund = Refund.objects.create(payment=payment, amount=wanted, reason=reason, mail_due=is_mail_due)
        recompute_credits(payment=payment)
        if payment.pack is not None:
            numbers = {"amount": wanted}
            shoot_id = payment.pack.shoot_id
            record("payment.refund_requested", shoot_id=shoot_id, pack_id=payment.pack_id, actor=actor, numbers=numbers)
        send_on_commit("payments.send_refund", str(refund.pk))
    return refund


def send_refund(*, refund: Refund) -> None:
    """Request a recorded refund from Stripe and apply the answer.

    Marks the refund as failed if Stripe refuses. Safe to repeat: the refund's id is the idempotency key. Beat repeats
    the request while Stripe is unavailable."""
    if refund.state != Refund.State.REQUESTED or refund.payment.mode != current_mode():
        return
    Refund.objects.filter(pk=refund.pk).update(last_stripe_call_at=timezone.now())
    try:
        event = client.create_refund(refund)
    except StripeUnavailable:
        log.warning("refund %s: Stripe is unavailable", refund.pk)
        return
    except StripeRefused as refused:
        log.error("refund %s: refused by Stripe: %s", refund.pk, refused.code)
        _fail_refund(refund)
        return
    apply_refund(payment=refund.payment, event=event)


def refund_credit(*, credit: Credit, reason: Refund.Reason, actor: str = Event.Actor.SYSTEM) -> bool:
    """Refund the payment of an open credit.

    Returns True if this call requested the refund. Returns False if the credit is unpaid or not open, or if nothing is
    left to refund."""
    with transaction.atomic():
        payment = credit.payment
        if payment is None:
            return False
        payment = lock_payment(payment)
        # The lock makes a concurrent order wait. That order then finds the credit refunded.
        if not Credit.objects.select_for_update().filter(pk=credit.pk, state=Credit.State.OPEN).exists():
            return False
        if request_refund(payment=payment, reason=reason, actor=actor) is None:
            return False
    credit.refresh_from_db()
    return True


def _fail_refund(refund: Refund) -> None:
    """Mark a refund that Stripe refused as failed, and restore the credit that it had ended.

    Staff find the failed refund in the admin's list of refunds."""
    with transaction.atomic():
        asked = Refund.objects.filter(pk=refund.pk, state=Refund.State.REQUESTED)
        asked.update(state=Refund.State.FAILED, mail_due=False)
        recompute_credits(payment=refund.payment)
