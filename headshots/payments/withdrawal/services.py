"""Withdrawals: a customer's statement that ends a contract, and the refund that follows from it."""

from datetime import UTC, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from headshots.accounts.email_addresses import normalize_email
from headshots.celery import send_on_commit
from headshots.payments.accounting.credits import return_credit
from headshots.payments.accounting.incomplete import refund_missing
from headshots.payments.accounting.payment_state import lock_payment
from headshots.payments.accounting.refunds import refund_credit, refundable_amount, request_refund
from headshots.payments.checkout.early_start import find_agreed_text
from headshots.payments.models import Credit, Payment, Refund, Withdrawal
from headshots.payments.prices import share_of_amount
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, Pack
from headshots.shoots.packs.orders import answer_incomplete, cancel_pack, stop_pack

PERIOD_DAYS = 14
# The last day ends at midnight where the customer is. Noon in UTC is midnight in the westernmost time zone.
_LAST_HOUR = time(12, tzinfo=UTC)


def withdrawal_deadline(payment: Payment) -> datetime:
    """Return when the right of withdrawal of a paid order ends: after 14 days, not counting the day of the order.

    Raises ValueError if the order is not paid."""
    if payment.paid_at is None:
        raise ValueError("an unpaid order is no contract")
    last_day = payment.paid_at.astimezone(UTC).date() + timedelta(days=PERIOD_DAYS)
    return datetime.combine(last_day + timedelta(days=1), _LAST_HOUR)


def withdraw(*, payment: Payment, at: datetime | None = None) -> Withdrawal | None:
    """Record that the customer withdraws from a contract, and refund what follows from it.

    An unused pack, and a pack without a finished headshot, is refunded in full. A pack in progress is stopped: the
    customer keeps what is finished, and gets a refund for the rest. After delivery, the right has ended if the customer
    had asked to begin at once. Otherwise it lasts for 14 days. Staff can refund what this does not.
    at: when the customer made the statement; None means now.
    Makes no network calls and is safe to repeat. Returns None if the payment is not paid."""
    with transaction.atomic():
        payment = lock_payment(payment)
        if payment.paid_at is None:
            return None
        made = Withdrawal.objects.filter(payment=payment).first()
        if made is not None:
            return made
        at = at or timezone.now()
        withdrawal = Withdrawal.objects.create(payment=payment, at=at, outcome=_carry_out(payment, at))
        if payment.pack is not None:
            codes = {"outcome": withdrawal.outcome}
            shoot_id, pack_id = payment.pack.shoot_id, payment.pack_id
            record("payment.withdrawn", shoot_id=shoot_id, pack_id=pack_id, actor=Event.Actor.PERSON, codes=codes)
        send_on_commit("payments.mail_withdrawal", str(withdrawal.pk))
    return withdrawal


def find_contract(*, order_number: str, email: str) -> Payment | None:
    """Find a paid order that is not withdrawn from, by its number and the email address of its account."""
    paid = Payment.objects.filter(paid_at__isnull=False, withdrawal=None)
    return paid.filter(pk=order_number, owner__email=normalize_email(email)).first()


def _carry_out(payment: Payment, at: datetime) -> Withdrawal.Outcome:
    """Stop the pack of a payment and request the refund that is due. The payment is locked."""
    if not refundable_amount(payment):
        return Withdrawal.Outcome.NOTHING_LEFT
    credit = Credit.objects.select_related("pack__shoot").filter(payment=payment).first()
    pack = credit.pack if credit and credit.state == Credit.State.USED else None
    has_asked = pack is None or find_agreed_text(shoot_id=pack.shoot_id, pack_id=pack.pk) is not None
    is_late = at >= withdrawal_deadline(payment)
    if pack is not None:
        _cancel(pack)
        # Also the credit of a pack that has just failed, whose return is still on its way.
        if not return_credit(pack=pack) and stop_pack(pack=pack) and (has_asked or is_late):
            refund_missing(pack=pack)
            return Withdrawal.Outcome.PART_REFUNDED
    credit = Credit.objects.select_related("payment").filter(payment=payment, state=Credit.State.OPEN).first()
    if credit is not None and refund_credit(credit=credit, reason=Refund.Reason.WITHDRAWAL, actor=Event.Actor.PERSON):
        return Withdrawal.Outcome.REFUNDED
    if is_late:
        return Withdrawal.Outcome.LATE
    if has_asked and pack is not None:
        return _refund_what_came_later(payment, pack, at)
    refund = request_refund(payment=payment, reason=Refund.Reason.WITHDRAWAL, actor=Event.Actor.PERSON)
    return Withdrawal.Outcome.REFUNDED if refund else Withdrawal.Outcome.NOTHING_LEFT


def _refund_what_came_later(payment: Payment, pack: Pack, at: datetime) -> Withdrawal.Outcome:
    """Refund the headshots that were finished after the statement: a guest confirms it later, by email."""
    before = pack.headshots.filter(done_at__lte=at).count()
    later = pack.headshots.filter(done_at__gt=at).count()
    if not later:
        return Withdrawal.Outcome.DELIVERED
    amount = share_of_amount(payment.amount_paid, payment.currency, part=later, whole=before + later)
    amount = min(amount, refundable_amount(payment))
    request_refund(payment=payment, reason=Refund.Reason.WITHDRAWAL, amount=amount, actor=Event.Actor.PERSON)
    return Withdrawal.Outcome.PART_REFUNDED if before else Withdrawal.Outcome.REFUNDED


def _cancel(pack: Pack) -> None:
    """Cancel a pack that awaits an answer, or of which no headshot is finished."""
    if not answer_incomplete(pack=pack, keep=False):
        cancel_pack(pack=pack)
