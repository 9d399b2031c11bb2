"""Receive Stripe's webhooks: store each event once and apply it in the same transaction."""

import logging

from django.db import IntegrityError
from django.db.models import QuerySet

from headshots.payments.accounting.payment_state import (
    DISPUTE_TYPES,
    EVENT_TYPES,
    REFUND_TYPES,
    SESSION_TYPES,
    apply_event,
)
from headshots.payments.accounting.sqlite_write_queue import queued_transaction
from headshots.payments.models import Payment, WebhookEvent
from headshots.payments.prices import current_mode
from headshots.payments.stripe.objects import StripeEvent, read_webhook

log = logging.getLogger(__name__)

_Outcome = WebhookEvent.Outcome


def receive_webhook(*, payload: bytes, signature: str) -> bool:
    """Verify, store and apply one webhook.

    Returns True if the event is new. Raises BadSignature, before anything is stored, for a wrong signature."""
    return receive_event(event=read_webhook(payload, signature))


def receive_event(*, event: StripeEvent, fetched: bool = False) -> bool:
    """Store and apply one event in one transaction.

    fetched: True if the product asked Stripe for the event, False if a webhook delivered it.

    Returns True if the event is new. If applying it fails, nothing is stored and Stripe sends the event again."""
    try:
        with queued_transaction():
            # The insert comes first: the same event in another process waits here, then fails as a duplicate.
            row = _store(event, fetched)
            if event.type in EVENT_TYPES:
                row.payment = _find_payment(event)
                row.outcome = _Outcome.DONE if row.payment else _Outcome.WAITING
                if row.payment is not None:
                    apply_event(payment=row.payment, event=event)
                row.save(update_fields=["outcome", "payment"])
    except IntegrityError:
        if WebhookEvent.objects.filter(event_id=event.id).exists():
            return False
        raise
    log.info("event %s: %s, %s", event.id, event.type, row.outcome)
    return True


def _store(event: StripeEvent, fetched: bool) -> WebhookEvent:
    return WebhookEvent.objects.create(
        event_id=event.id,
        type=event.type,
        created_at=event.created_at,
        fetched=fetched,
        object_id=event.object_id,
        payment_intent=event.payment_intent,
        amount=event.amount,
        amount_tax=event.amount_tax,
        currency=event.currency,
        status=event.status,
    )


def _find_payment(event: StripeEvent) -> Payment | None:
    """Find the payment that an event is about.

    Returns None if the payment is not known yet. Loads only the columns that `lock_payment` needs to find and lock the
    full rows."""
    payments = Payment.objects.filter(mode=current_mode()).select_related("pack").only("pack__shoot").order_by()
    if event.type in SESSION_TYPES:
        by_session = _first_or_none(payments.filter(session_id=event.object_id))
        # The process may have crashed after Stripe created the session and before the session's id was stored here.
        return by_session or (_first_or_none(payments.filter(pk=event.payment_id)) if event.payment_id else None)
    if event.type in REFUND_TYPES and event.refund_id:
        payment = _first_or_none(payments.filter(refunds=event.refund_id))
        if payment is not None:
            return payment
    if event.type in (*REFUND_TYPES, *DISPUTE_TYPES, "charge.refunded") and event.payment_intent:
        # Only paid payments: a refund or dispute is computed from the amount that was paid.
        return _first_or_none(payments.filter(payment_intent=event.payment_intent, paid_at__isnull=False))
    return None


def _first_or_none(payments: QuerySet[Payment]) -> Payment | None:
    """Return the first payment, or None. At most one matches.

    `first()` would add an ORDER BY, which is slower here."""
    return next(iter(payments[:1]), None)
