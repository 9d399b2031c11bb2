"""What Stripe tells us: stored once, and acted on in the transaction that stores it."""

import logging

from django.db import IntegrityError, transaction

from headshots.payments.gateway import StripeEvent, read_webhook
from headshots.payments.models import Payment, Refund, WebhookEvent
from headshots.payments.prices import current_mode
from headshots.payments.settling import DISPUTE_TYPES, EVENT_TYPES, REFUND_TYPES, SESSION_TYPES, apply_event

log = logging.getLogger(__name__)

_Outcome = WebhookEvent.Outcome


def receive_webhook(*, payload: bytes, signature: str) -> bool:
    """Whether this event is new. Raises BadSignature, and then nothing was stored."""
    return receive_event(event=read_webhook(payload, signature))


def receive_event(*, event: StripeEvent, fetched: bool = False) -> bool:
    """Whether this event is new: stored and acted on, both or neither. An event that fails is sent again by Stripe."""
    try:
        with transaction.atomic():
            # First, so that the same event in another process waits here, and then is known.
            row = _store(event, fetched)
            payment = _payment_of(event)
            if event.type not in EVENT_TYPES:
                outcome = _Outcome.IGNORED
            elif payment is None:
                outcome = _Outcome.WAITING
            else:
                apply_event(payment=payment, event=event)
                outcome = _Outcome.DONE
            row.outcome, row.payment = outcome, payment
            row.save(update_fields=["outcome", "payment"])
    except IntegrityError:
        if WebhookEvent.objects.filter(event_id=event.id).exists():
            return False
        raise
    log.info("event %s: %s, %s", event.id, event.type, outcome)
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


def _payment_of(event: StripeEvent) -> Payment | None:
    """Whose money it is about, if that is known yet."""
    payments = Payment.objects.select_related("pack").filter(mode=current_mode())
    if event.type in SESSION_TYPES:
        by_session = payments.filter(session_id=event.object_id).first()
        # The process may have died between Stripe's answer and our note of it.
        return by_session or (payments.filter(pk=event.payment_id).first() if event.payment_id else None)
    if event.type in REFUND_TYPES and event.refund_id:
        refunds = Refund.objects.select_related("payment__pack")
        refund = refunds.filter(pk=event.refund_id, payment__mode=current_mode()).first()
        if refund is not None:
            return refund.payment
    if event.type in (*REFUND_TYPES, *DISPUTE_TYPES, "charge.refunded") and event.payment_intent:
        # Not before it is paid: what follows from a refund follows from what was paid.
        return payments.filter(payment_intent=event.payment_intent, paid_at__isnull=False).first()
    return None
