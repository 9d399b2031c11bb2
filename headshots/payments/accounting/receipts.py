"""Build the receipts that customers see."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from headshots.payments.models import Credit, LedgerEntry, Payment, Refund, Withdrawal
from headshots.payments.prices import format_money
from headshots.shoots.models import Pack


@dataclass(frozen=True)
class RefundSummary:
    """A refund as a receipt shows it.

    Attributes:
        state: a Refund.State.
        at: time of the refund's ledger entry, or of the request if there is no entry."""

    money: str
    state: str
    at: datetime


@dataclass(frozen=True)
class Receipt:
    """A payment with its credit, pack and refunds, as a receipt shows it.

    Attributes:
        amount: formatted with the currency, such as "$19".
        tax: formatted; empty if none was charged.
        credit: the credit that the payment bought.
        pack: the pack of the credit; the pack of the payment if the credit has none.
        auto_refund_at: when an open, paid credit is refunded automatically; None for any other credit.
        withdrawal: None if the customer did not withdraw from the contract."""

    payment: Payment
    amount: str
    tax: str
    credit: Credit | None
    pack: Pack | None
    refunds: list[RefundSummary]
    auto_refund_at: datetime | None
    withdrawal: Withdrawal | None


def build_receipts(payments: QuerySet[Payment]) -> list[Receipt]:
    """Build one receipt per payment, in the order of the query."""
    rows = list(payments.select_related("pack__shoot", "withdrawal").prefetch_related("refunds"))
    bought = {
        credit.payment_id: credit for credit in Credit.objects.filter(payment__in=rows).select_related("pack__shoot")
    }
    returned = LedgerEntry.objects.filter(payment_id__in=[row.pk for row in rows], kind=LedgerEntry.Kind.REFUND)
    left_at = dict(returned.values_list("stripe_id", "at"))
    return [_receipt(row, bought.get(row.pk), left_at) for row in rows]


def _receipt(payment: Payment, credit: Credit | None, left_at: dict[str, datetime]) -> Receipt:
    waits = credit is not None and credit.state == Credit.State.OPEN and payment.amount_paid > 0
    return Receipt(
        payment=payment,
        # Test paid_at, because a promotion code can reduce the amount paid to zero.
        amount=format_money(payment.amount if payment.paid_at is None else payment.amount_paid, payment.currency),
        tax=format_money(payment.amount_tax, payment.currency) if payment.amount_tax else "",
        credit=credit,
        pack=credit.pack if credit and credit.pack else payment.pack,
        refunds=[_refund_summary(refund, payment.currency, left_at) for refund in payment.refunds.all()],
        auto_refund_at=credit.open_since + timedelta(days=settings.HEADSHOTS_REFUND_DAYS) if credit and waits else None,
        withdrawal=getattr(payment, "withdrawal", None),
    )


def _refund_summary(refund: Refund, currency: str, left_at: dict[str, datetime]) -> RefundSummary:
    at = left_at.get(refund.stripe_id or "", refund.created_at)
    return RefundSummary(format_money(refund.amount, currency), refund.state, at)


def find_payment_of_pack(pack_id: UUID) -> Payment | None:
    """Find the payment that paid for a pack.

    A free redo has the payment of the first pack. Returns None for a granted pack."""
    credit = Credit.objects.select_related("payment").filter(pack=pack_id).first()
    if credit is None:
        # The pack ended without headshots and its credit was returned, but the payment still names the pack.
        return Payment.objects.filter(pack=pack_id, paid_at__isnull=False).first()
    return find_payment_of_pack(credit.redo_of_id) if credit.redo_of_id else credit.payment
