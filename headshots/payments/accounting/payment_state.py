"""Apply payment facts (paid, refunded, disputed) and derive the state of the credit and the pack from them.

Facts arrive in any order and more than once, from webhooks and from polling. Each is stored once; `_derive_state` then
recomputes the derived state from all known facts, so no code depends on arrival order.
Locks are always taken in this order: shoot, payment, pack, credit.
"""

from django.db import transaction
from django.db.models import Q, Subquery
from django.utils import timezone

from headshots.celery import send_on_commit
from headshots.payments.models import Credit, LedgerEntry, Payment, Refund, WebhookEvent
from headshots.payments.stripe.objects import CheckoutSession, StripeEvent
from headshots.shoots.lifecycle import advance, is_consumed, record
from headshots.shoots.models import Event, Pack, Shoot

PAID_TYPES = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
SESSION_TYPES = (*PAID_TYPES, "checkout.session.async_payment_failed", "checkout.session.expired")
REFUND_TYPES = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
DISPUTE_TYPES = (
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
)
# The event types to select for the webhook endpoint at Stripe.
EVENT_TYPES = (*SESSION_TYPES, "charge.refunded", *REFUND_TYPES, *DISPUTE_TYPES)

_State = Payment.State
_Kind = LedgerEntry.Kind


def apply_checkout_session(*, payment: Payment, session: CheckoutSession) -> None:
    """Apply the state of a checkout session to its payment."""
    if session.is_paid:
        confirm_payment(
            payment=payment,
            amount=session.amount or 0,
            amount_tax=session.amount_tax or 0,
            payment_intent=session.payment_intent,
            session_id=session.id,
        )
    elif session.status == "complete":
        start_processing(payment=payment, payment_intent=session.payment_intent)
    elif session.status == "expired":
        close_payment(payment=payment, to=_State.EXPIRED)


@transaction.atomic(savepoint=False)
def confirm_payment(*, payment: Payment, amount: int, amount_tax: int, payment_intent: str, session_id: str) -> None:
    """Mark a payment as paid, create its credit and queue its pack.

    Overrides any unpaid state, because the money has arrived. A second call changes nothing. If there is no pack to
    queue, the credit stays open and the customer gets an email."""
    payment = lock_payment(payment)
    if payment.paid_at is not None:
        return
    payment.paid_at = timezone.now()
    payment.amount_paid, payment.amount_tax = amount, amount_tax
    payment.payment_intent, payment.session_id = payment_intent, session_id
    payment.state = _State.PAID
    payment.save(update_fields=["paid_at", "amount_paid", "amount_tax", "payment_intent", "session_id", "state"])
    _add_ledger_entry(payment, _Kind.CHARGE, amount, session_id)
    _record_payment_event(payment, "payment.paid")
    credit = Credit(owner_id=payment.owner_id, source=Credit.Source.PAYMENT, payment=payment)
    pack = payment.pack
    if pack is not None and _queue_paid_pack(pack):
        credit.state, credit.pack, credit.pending_mail = Credit.State.USED, pack, Credit.Mail.ORDERED
        record("credit.used", shoot_id=pack.shoot_id, pack_id=pack.pk)
    else:
        # Bought without a shoot, or paid after the photos or the order had been deleted.
        credit.pending_mail = Credit.Mail.AVAILABLE if pack is not None else Credit.Mail.PURCHASED
    send_on_commit("payments.send_mail", str(credit.pk))
    credit.save(force_insert=True)
    _apply_early_events(payment)


@transaction.atomic(savepoint=False)
def apply_early_events(*, payment: Payment) -> None:
    """Apply events that arrived while the payment was being confirmed.

    On PostgreSQL neither of the two concurrent transactions can see the other's uncommitted rows."""
    payment = lock_payment(payment)
    _apply_early_events(payment)


def _apply_early_events(payment: Payment) -> None:
    """Apply the stored events that arrived before this payment was known.

    The caller has locked the payment."""
    early = WebhookEvent.objects.filter(outcome=WebhookEvent.Outcome.WAITING, payment_intent=payment.payment_intent)
    # Early events are rare, and EXISTS costs a third of reading rows.
    if not payment.payment_intent or not early.exists():
        return
    for row in early.order_by("created_at", "id"):
        apply_event(payment=payment, event=to_stripe_event(row))
        row.outcome, row.payment = WebhookEvent.Outcome.DONE, payment
        row.save(update_fields=["outcome", "payment"])


@transaction.atomic(savepoint=False)
def start_processing(*, payment: Payment, payment_intent: str) -> None:
    """Mark an open payment as processing.

    The customer has confirmed the payment, and the bank has not confirmed it yet."""
    payment = lock_payment(payment)
    if payment.state == _State.OPEN:
        payment.state, payment.payment_intent = _State.PROCESSING, payment_intent
        payment.save(update_fields=["state", "payment_intent"])
        _record_payment_event(payment, "payment.processing")


@transaction.atomic(savepoint=False)
def close_payment(*, payment: Payment, to: str) -> None:
    """Close an unpaid payment and cancel its pack.

    to: expired or failed. A payment that is processing can only fail."""
    payment = lock_payment(payment)
    if payment.state not in (Payment.UNPAID if to == _State.FAILED else (_State.OPEN,)):
        return
    payment.state = to
    payment.save(update_fields=["state"])
    _record_payment_event(payment, f"payment.{to}")
    if payment.pack is not None:
        _end_pack(payment.pack, Pack.State.CANCELED, Pack.Reason.NOT_PAID)


@transaction.atomic(savepoint=False)
def expire_unopened_payment(*, payment: Payment) -> bool:
    """Expire an open payment that has no Stripe session.

    Returns True if this call expired the payment. The check runs under the payment's lock, because another tab may be
    creating the session right now."""
    payment = lock_payment(payment)
    if payment.state != _State.OPEN or payment.session_id is not None:
        return False
    close_payment(payment=payment, to=_State.EXPIRED)
    return True


def apply_event(*, payment: Payment, event: StripeEvent) -> None:
    """Apply one Stripe event to its payment.

    Ignores types that are not in EVENT_TYPES."""
    if event.type in PAID_TYPES and event.status in {"paid", "no_payment_required"}:
        confirm_payment(
            payment=payment,
            amount=event.amount or 0,
            amount_tax=event.amount_tax or 0,
            payment_intent=event.payment_intent,
            session_id=event.object_id,
        )
    elif event.type == "checkout.session.completed":
        start_processing(payment=payment, payment_intent=event.payment_intent)
    elif event.type == "checkout.session.async_payment_failed":
        close_payment(payment=payment, to=_State.FAILED)
    elif event.type == "checkout.session.expired":
        close_payment(payment=payment, to=_State.EXPIRED)
    elif event.type in REFUND_TYPES:
        apply_refund(payment=payment, event=event)
    elif event.type in DISPUTE_TYPES:
        apply_dispute(payment=payment, event=event)
    elif event.type == "charge.refunded":
        # The event holds only the refunded total, but the ledger has one entry per refund.
        send_on_commit("payments.fetch_refunds", str(payment.pk))


@transaction.atomic(savepoint=False)
def apply_refund(*, payment: Payment, event: StripeEvent) -> None:
    """Store the state of a refund as Stripe reports it.

    Creates a refund that was made at Stripe and not requested here."""
    payment = lock_payment(payment)
    refund = _find_or_build_refund(payment, event)
    failed_at_stripe = refund.stripe_id is not None and refund.state == Refund.State.FAILED
    if event.status in {"failed", "canceled"}:
        if refund.state != Refund.State.FAILED:
            # If the email about the refund was sent, the failure needs an email too. Otherwise neither is sent.
            was_announced = not refund.mail_due
            refund.mail_due = was_announced
        refund.state = Refund.State.FAILED
        if LedgerEntry.objects.filter(kind=_Kind.REFUND, stripe_id=event.object_id).exists():
            _add_ledger_entry(payment, _Kind.REFUND_FAILED, refund.amount, event.object_id)
    elif not failed_at_stripe and refund.state != Refund.State.SUCCEEDED:
        refund.state = Refund.State.SUCCEEDED if event.status == "succeeded" else Refund.State.PENDING
    refund.stripe_id = event.object_id
    refund.save()
    if refund.mail_due:
        send_on_commit("payments.mail_refund", str(refund.pk))
    if refund.state == Refund.State.SUCCEEDED:
        _add_ledger_entry(payment, _Kind.REFUND, -refund.amount, event.object_id)
    _derive_state(payment)


@transaction.atomic(savepoint=False)
def apply_dispute(*, payment: Payment, event: StripeEvent) -> None:
    """Apply the state of a dispute to its payment.

    An inquiry (`warning_...`) also revokes the credit. An inquiry reaches the ledger only if funds are moved."""
    payment = lock_payment(payment)
    inquiry = event.status.startswith("warning_")
    amount = event.amount or 0
    if not inquiry or event.type == "charge.dispute.funds_withdrawn":
        _add_ledger_entry(payment, _Kind.DISPUTE, -amount, event.object_id)
    if event.status == "won" or event.type == "charge.dispute.funds_reinstated":
        _add_ledger_entry(payment, _Kind.DISPUTE_WON, amount, event.object_id)
    over = {"won": Payment.Dispute.WON, "warning_closed": Payment.Dispute.WON, "lost": Payment.Dispute.LOST}
    closed = payment.dispute_id == event.object_id and payment.dispute_state in {
        Payment.Dispute.WON,
        Payment.Dispute.LOST,
    }
    if event.status in over:
        payment.dispute_state = over[event.status]
    elif not closed:
        payment.dispute_state = Payment.Dispute.OPEN
    payment.dispute_id = event.object_id
    payment.save(update_fields=["dispute_id", "dispute_state"])
    _derive_state(payment)


@transaction.atomic(savepoint=False)
def recompute_credits(*, payment: Payment) -> None:
    """Derive the states of a payment, its credits and their packs again.

    Called after a refund was requested or refused."""
    payment = lock_payment(payment)
    _derive_state(payment)


def _queue_paid_pack(pack: Pack) -> bool:
    """Queue a pack that awaits payment, if its shoot is still open.

    Returns True if this call queued the pack. The caller has locked the shoot."""
    return pack.state == Pack.State.AWAITING_PAYMENT and pack.shoot.is_open and advance(pack, Pack.State.QUEUED)


def _derive_state(payment: Payment) -> None:
    refunded, promised = _refund_totals(payment)
    payment.amount_refunded = refunded
    before, payment.state = payment.state, _payment_state(payment)
    payment.save(update_fields=["amount_refunded", "state"])
    if payment.state != before:
        _record_payment_event(payment, f"payment.{payment.state}")
    if payment.paid_at is None:
        return
    is_fully_refunded = 0 < payment.amount_paid <= promised
    is_disputed = payment.dispute_state in {Payment.Dispute.OPEN, Payment.Dispute.LOST}
    for credit in _lock_credits(payment):
        if is_fully_refunded:
            _revoke_credit(credit, Credit.State.REFUNDED)
        elif is_disputed:
            _revoke_credit(credit, Credit.State.REVOKED)
        else:
            _reinstate_credit(credit)


def _payment_state(payment: Payment) -> str:
    if payment.paid_at is None:
        return payment.state
    if payment.dispute_state == Payment.Dispute.LOST:
        return _State.LOST
    if payment.dispute_state == Payment.Dispute.OPEN:
        return _State.DISPUTED
    return _State.REFUNDED if 0 < payment.amount_paid <= payment.amount_refunded else _State.PAID


def _lock_credits(payment: Payment) -> list[Credit]:
    """Lock the credit of a payment, and the free redo of that credit's pack."""
    its_pack = Subquery(Credit.objects.filter(payment=payment).values("pack"))
    locked = Credit.objects.select_for_update(of=("self",)).select_related("pack")
    return list(locked.filter(Q(payment=payment) | Q(redo_of=its_pack)))


def _revoke_credit(credit: Credit, to: str) -> None:
    """Mark a credit as refunded or revoked, and revoke its unfinished pack.

    to: refunded or revoked. A consumed credit can be refunded, but stays used after a dispute."""
    if credit.state == to or credit.state == Credit.State.REFUNDED:
        return
    pack = credit.pack
    if pack is not None:
        reason = Pack.Reason.REFUNDED if to == Credit.State.REFUNDED else Pack.Reason.REVOKED
        _end_pack(pack, Pack.State.REVOKED, reason)
        if is_consumed(pack) and to == Credit.State.REVOKED:
            return
    credit.state, credit.pending_mail = to, Credit.Mail.NONE
    credit.save(update_fields=["state", "pending_mail"])
    _record_credit_event(credit, f"credit.{to}")


def _reinstate_credit(credit: Credit) -> None:
    """Restore a credit after a won dispute or a failed refund."""
    if credit.state not in {Credit.State.REVOKED, Credit.State.REFUNDED}:
        return
    if credit.pack is not None and is_consumed(credit.pack):
        credit.state = Credit.State.USED
        credit.save(update_fields=["state"])
    else:
        reopen_credit(credit)


def reopen_credit(credit: Credit) -> None:
    """Open a credit again, as of now, and email the customer."""
    credit.return_reason = credit.pack.reason if credit.pack else ""
    credit.state, credit.pack = Credit.State.OPEN, None
    credit.open_since, credit.pending_mail = timezone.now(), Credit.Mail.AVAILABLE
    credit.save(update_fields=["state", "pack", "return_reason", "open_since", "pending_mail"])
    send_on_commit("payments.send_mail", str(credit.pk))


def _end_pack(pack: Pack, to: str, reason: Pack.Reason) -> None:
    if not advance(pack, to, reason=reason):
        # The pack has already ended: a worker delivered it, or a purge canceled it.
        pack.refresh_from_db()


def _find_or_build_refund(payment: Payment, event: StripeEvent) -> Refund:
    """Find the refund of an event, or build a new one for a refund that was made at Stripe."""
    found = Refund.objects.filter(stripe_id=event.object_id).first()
    if found is None and event.refund_id is not None:
        found = payment.refunds.filter(pk=event.refund_id).first()
    return found or Refund(payment=payment, amount=event.amount or 0, reason=Refund.Reason.STRIPE)


def lock_payment(payment: Payment) -> Payment:
    """Lock the shoot of a payment, then the payment, until the transaction ends.

    Reads only the id and the pack's shoot of the argument. Returns the stored payment with its pack and the shoot's
    state."""
    shoots = Shoot.objects.select_for_update().only("state")
    shoot = shoots.get(pk=payment.pack.shoot_id) if payment.pack is not None else None
    locked = Payment.objects.select_for_update(of=("self",)).select_related("pack").get(pk=payment.pk)
    if locked.pack is not None and shoot is not None:
        locked.pack.shoot = shoot
    return locked


def _add_ledger_entry(payment: Payment, kind: str, amount: int, stripe_id: str) -> None:
    """Add a ledger entry for one movement of money.

    Idempotent: a constraint allows one entry per movement."""
    entry = LedgerEntry(
        kind=kind,
        amount=amount,
        currency=payment.currency,
        mode=payment.mode,
        payment_id=payment.pk,
        stripe_id=stripe_id,
    )
    LedgerEntry.objects.bulk_create([entry], ignore_conflicts=True)


def to_stripe_event(row: WebhookEvent) -> StripeEvent:
    """Convert a stored event to a StripeEvent.

    `payment_id` and `refund_id` are not stored, so both are None."""
    return StripeEvent(
        id=row.event_id,
        type=row.type,
        created_at=row.created_at,
        object_id=row.object_id,
        payment_intent=row.payment_intent,
        amount=row.amount,
        amount_tax=row.amount_tax,
        currency=row.currency,
        status=row.status,
    )


def _refund_totals(payment: Payment) -> tuple[int, int]:
    """Sum the refunds of a payment.

    Returns the sum of the refunds that succeeded, and the sum of all that have not failed."""
    amounts = payment.refunds.exclude(state=Refund.State.FAILED).order_by().values_list("state", "amount")
    refunded = sum(amount for state, amount in amounts if state == Refund.State.SUCCEEDED)
    return refunded, sum(amount for _, amount in amounts)


def _record_payment_event(payment: Payment, name: str) -> None:
    if payment.pack is not None:
        numbers = {"amount": payment.amount_paid or payment.amount}
        record(name, shoot_id=payment.pack.shoot_id, pack_id=payment.pack_id, numbers=numbers)


def _record_credit_event(credit: Credit, name: str, actor: str = Event.Actor.SYSTEM) -> None:
    if credit.pack is not None:
        record(name, shoot_id=credit.pack.shoot_id, pack_id=credit.pack_id, actor=actor)
