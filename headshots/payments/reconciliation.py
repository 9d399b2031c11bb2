"""Reconcile payments: repair what a lost webhook, a dead process or a lost message left undone."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db.models import F, Model, Q
from django.utils import timezone

from headshots.celery import send_on_commit
from headshots.payments.accounting.credits import return_credit
from headshots.payments.accounting.incomplete import refund_missing
from headshots.payments.accounting.payment_state import EVENT_TYPES, apply_early_events, apply_refund
from headshots.payments.accounting.refunds import refund_credit, send_refund
from headshots.payments.accounting.webhooks import receive_event
from headshots.payments.checkout.orders import expire_payment, sync_with_stripe
from headshots.payments.errors import StripeError
from headshots.payments.models import Credit, Payment, Refund, WebhookEvent, Withdrawal
from headshots.payments.prices import current_mode
from headshots.payments.stripe import client
from headshots.runtime import heartbeat
from headshots.shoots.models import Pack

log = logging.getLogger(__name__)

# A webhook arrives within seconds, but a customer needs minutes to pay.
_FIRST_POLL_DELAY = timedelta(minutes=3)
_POLL_INTERVAL = timedelta(minutes=10)
# Stripe tries to deliver a webhook for three days.
_REPLAY_WINDOW = timedelta(days=3)
_BATCH_SIZE = 200

_Row = TypeVar("_Row", bound=Model)


def reconcile() -> None:
    """Repair everything that is due, once.

    Skips requests to Stripe if no payment mode is set. Safe to repeat."""
    now = timezone.now()
    if current_mode() is not None:
        _for_each(_ownerless_payments(), lambda payment: expire_payment(payment=payment))
        _for_each(_unconfirmed_payments(), lambda payment: sync_with_stripe(payment=payment))
        unsent = Refund.objects.filter(state=Refund.State.REQUESTED, payment__mode=current_mode())
        waited = Q(last_stripe_call_at=None, created_at__lt=now - _FIRST_POLL_DELAY) | Q(
            last_stripe_call_at__lt=now - _POLL_INTERVAL
        )
        _for_each(unsent.filter(waited).select_related("payment"), lambda refund: send_refund(refund=refund))
    _for_each(_payments_with_early_events(), lambda payment: apply_early_events(payment=payment))
    _for_each(_packs_with_unreturned_credit(), lambda pack: return_credit(pack=pack))
    _for_each(_packs_with_refund_due(), lambda pack: refund_missing(pack=pack))
    _for_each(_unused_credits(), refund_unused)
    for credit_id in Credit.objects.exclude(pending_mail=Credit.Mail.NONE).values_list("pk", flat=True)[:_BATCH_SIZE]:
        send_on_commit("payments.send_mail", str(credit_id))
    asking = Pack.objects.filter(state=Pack.State.AWAITING_ANSWER, mail_due=True)
    for pack_id in asking.values_list("pk", flat=True)[:_BATCH_SIZE]:
        send_on_commit("payments.mail_question", str(pack_id))
    mail_due = Refund.objects.filter(mail_due=True).exclude(state=Refund.State.REQUESTED)
    for refund_id in mail_due.values_list("pk", flat=True)[:_BATCH_SIZE]:
        send_on_commit("payments.mail_refund", str(refund_id))
    for withdrawal_id in Withdrawal.objects.filter(mail_due=True).values_list("pk", flat=True)[:_BATCH_SIZE]:
        send_on_commit("payments.mail_withdrawal", str(withdrawal_id))


def replay_events() -> int:
    """Fetch and apply the events of the last three days whose webhooks never arrived.

    Returns how many events were new. Logs errors of Stripe and does not raise them."""
    if current_mode() in {None, Payment.Mode.LOCAL}:
        return 0
    missed = 0
    try:
        known = set(
            WebhookEvent.objects.filter(created_at__gte=timezone.now() - _REPLAY_WINDOW).values_list(
                "event_id", flat=True
            )
        )
        events = client.list_events_since(timezone.now() - _REPLAY_WINDOW, EVENT_TYPES)
        # Stripe lists the newest first. The order does not matter, but the stored events read better in order of time.
        for event in reversed([event for event in events if event.id not in known]):
            heartbeat.record_progress()
            missed += receive_event(event=event, fetched=True)
    except StripeError as error:
        log.warning("missed events could not be fetched: %s", type(error).__name__)
    if missed:
        log.warning("%d events came without a webhook", missed)
    return missed


def fetch_refunds(*, payment: Payment) -> None:
    """Store every refund of a payment that Stripe knows of. Raises StripeUnavailable, StripeRefused."""
    for event in client.list_refunds(payment):
        apply_refund(payment=payment, event=event)


def refund_unused(credit: Credit) -> bool:
    """Refund an open credit that was not used in time or has no owner.

    Returns True if this call requested the refund."""
    reason = Refund.Reason.UNUSED if credit.owner_id else Refund.Reason.ACCOUNT_DELETED
    return refund_credit(credit=credit, reason=reason)


def _unconfirmed_payments() -> Iterable[Payment]:
    """Select unpaid payments whose webhook is overdue."""
    now = timezone.now()
    waited = Q(last_stripe_call_at=None, created_at__lt=now - _FIRST_POLL_DELAY) | Q(
        last_stripe_call_at__lt=now - _POLL_INTERVAL
    )
    unpaid = Payment.objects.filter(waited, state__in=Payment.UNPAID, mode=current_mode())
    return unpaid.order_by(F("last_stripe_call_at").asc(nulls_first=True))[:_BATCH_SIZE]


def _ownerless_payments() -> Iterable[Payment]:
    """Select open payments of deleted accounts, whose checkouts must be closed."""
    return Payment.objects.filter(state=Payment.State.OPEN, mode=current_mode(), owner=None)[:_BATCH_SIZE]


def _payments_with_early_events() -> Iterable[Payment]:
    """Select paid payments with events that arrived while the payment was being confirmed."""
    waiting = WebhookEvent.objects.filter(outcome=WebhookEvent.Outcome.WAITING).exclude(payment_intent="")
    paid = Payment.objects.filter(paid_at__isnull=False, payment_intent__in=waiting.values("payment_intent"))
    return paid.select_related("pack").order_by("paid_at")[:_BATCH_SIZE]


def _packs_with_unreturned_credit() -> Iterable[Pack]:
    """Select packs that ended without headshots and still hold a credit."""
    ended = Q(state__in=[Pack.State.FAILED, Pack.State.CANCELED]) | Q(state=Pack.State.DELETED, delivered_at=None)
    packs = Pack.objects.filter(ended, credit__state=Credit.State.USED)
    return packs.exclude(reason=Pack.Reason.USED_AFTER_DELIVERY)[:_BATCH_SIZE]


def _packs_with_refund_due() -> Iterable[Pack]:
    """Select delivered packs whose missing headshots are not refunded yet, except during a dispute."""
    free_or_here = Q(credit__payment=None) | Q(credit__payment__mode=current_mode())
    packs = Pack.objects.filter(free_or_here, refund_due=True)
    return packs.exclude(credit__payment__dispute_state=Payment.Dispute.OPEN)[:_BATCH_SIZE]


def _unused_credits() -> Iterable[Credit]:
    """Select paid credits that were open for HEADSHOTS_REFUND_DAYS, or whose account was deleted."""
    long_ago = timezone.now() - timedelta(days=settings.HEADSHOTS_REFUND_DAYS)
    paid = Credit.objects.filter(state=Credit.State.OPEN, payment__mode=current_mode(), payment__amount_paid__gt=0)
    return paid.filter(Q(open_since__lt=long_ago) | Q(owner=None)).select_related("payment")[:_BATCH_SIZE]


def _for_each(rows: Iterable[_Row], act: Callable[[_Row], object]) -> None:
    for row in list(rows):
        heartbeat.record_progress()
        try:
            act(row)
        except StripeError as error:
            log.warning("%s %s: %s", row._meta.model_name, row.pk, type(error).__name__)
