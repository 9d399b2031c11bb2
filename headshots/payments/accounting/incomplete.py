"""Incomplete packs: what the customer can choose between, and the refund for missing headshots."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from headshots.payments.accounting.payment_state import lock_payment
from headshots.payments.accounting.receipts import RefundSummary
from headshots.payments.accounting.refunds import refundable_amount, request_refund
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import current_mode, format_money, share_of_amount
from headshots.shoots.models import Pack


@dataclass(frozen=True)
class IncompleteOffer:
    """The question about an incomplete pack, for pages and emails.

    Attributes:
        money: refund for the missing headshots, such as "$3.04"; empty if nothing was paid for the pack.
        full_money: refund of the credit that a canceled pack returns; empty if nothing was paid.
        is_redo: True if the pack is a free redo.
        answer_by: when the pack is delivered without an answer."""

    pack: Pack
    money: str
    full_money: str
    is_redo: bool
    answer_by: datetime


def build_offer(pack: Pack) -> IncompleteOffer:
    """Build the question about a pack that awaits an answer. Its shoot must be loaded."""
    credit = Credit.objects.select_related("payment").filter(pack=pack).first()
    payment = credit.payment if credit else None
    left = refundable_amount(payment) if payment else 0
    return IncompleteOffer(
        pack=pack,
        money=format_money(_amount_for_missing(pack, payment), payment.currency) if payment and left else "",
        full_money=format_money(left, payment.currency) if payment and left else "",
        is_redo=credit is not None and credit.source == Credit.Source.REDO,
        answer_by=pack.shoot.delete_after,
    )


def refund_missing(*, pack: Pack) -> Refund | None:
    """Record the refund for the missing headshots of a delivered pack, once.

    Makes no network calls and is safe to repeat: `refund_due` is cleared in the transaction that records the refund.
    Returns None if the refund is not due, or if nothing is refunded, because nothing was paid or is left. During a
    dispute, and in another payment mode, the refund stays due."""
    with transaction.atomic():
        credit = Credit.objects.select_related("payment__pack").filter(pack=pack).first()
        payment = lock_payment(credit.payment) if credit and credit.payment else None
        if payment and (payment.mode != current_mode() or payment.dispute_state == Payment.Dispute.OPEN):
            return None
        if not Pack.objects.filter(pk=pack.pk, refund_due=True).update(refund_due=False):
            return None
        amount = _amount_for_missing(pack, payment) if payment else 0
        return request_refund(payment=payment, reason=Refund.Reason.MISSING, amount=amount) if payment else None


def find_refund_for_missing(pack: Pack) -> RefundSummary | None:
    """Find the refund for the missing headshots of a pack."""
    refunds = Refund.objects.select_related("payment").filter(reason=Refund.Reason.MISSING, payment__credit__pack=pack)
    refund = refunds.last() if pack.missing else None
    if refund is None:
        return None
    return RefundSummary(format_money(refund.amount, refund.payment.currency), refund.state, refund.created_at)


def _amount_for_missing(pack: Pack, payment: Payment) -> int:
    """Return the part of a payment that is refunded for the missing headshots: at most what is left to refund."""
    part = share_of_amount(payment.amount_paid, payment.currency, part=pack.missing, whole=pack.total)
    return min(part, refundable_amount(payment))
