"""Beat's part: what a webhook that never came, a dead process or a lost message left undone. Each can run twice."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db.models import F, Model, Q
from django.utils import timezone

from headshots.celery import send_on_commit
from headshots.payments.accounting.credits import give_back_credit
from headshots.payments.accounting.payment_state import EVENT_TYPES, apply_early, apply_refund
from headshots.payments.accounting.refunds import refund_credit, send_refund
from headshots.payments.accounting.webhooks import receive_event
from headshots.payments.checkout.orders import ask_stripe, retire
from headshots.payments.errors import StripeError
from headshots.payments.models import Credit, Payment, Refund, WebhookEvent
from headshots.payments.prices import current_mode
from headshots.payments.stripe import client
from headshots.runtime import heartbeat
from headshots.shoots.models import Pack

log = logging.getLogger(__name__)

# A webhook comes within seconds; whoever pays takes minutes.
_FIRST_ASKED_AFTER = timedelta(minutes=3)
_ASKED_EVERY = timedelta(minutes=10)
# As long as Stripe itself tries to deliver a webhook.
_REPLAYED = timedelta(days=3)
_AT_ONCE = 200

_Row = TypeVar("_Row", bound=Model)


def look_after() -> None:
    """Everything that is due, once. Without a Stripe only what needs none."""
    now = timezone.now()
    if current_mode() is not None:
        _each(_ownerless(), lambda payment: retire(payment=payment))
        _each(_unanswered(), lambda payment: ask_stripe(payment=payment))
        unsent = Refund.objects.filter(state=Refund.State.REQUESTED, payment__mode=current_mode())
        waited = Q(asked_at=None, created_at__lt=now - _FIRST_ASKED_AFTER) | Q(asked_at__lt=now - _ASKED_EVERY)
        _each(unsent.filter(waited).select_related("payment"), lambda refund: send_refund(refund=refund))
    _each(_heard_of_early(), lambda payment: apply_early(payment=payment))
    _each(_packs_that_owe(), lambda pack: give_back_credit(pack=pack))
    _each(_unused(), refund_unused)
    for credit_id in Credit.objects.exclude(mail=Credit.Mail.NONE).values_list("pk", flat=True)[:_AT_ONCE]:
        send_on_commit("payments.send_mail", str(credit_id))
    told = Refund.objects.filter(mail_due=True).exclude(state=Refund.State.REQUESTED)
    for refund_id in told.values_list("pk", flat=True)[:_AT_ONCE]:
        send_on_commit("payments.mail_refund", str(refund_id))


def replay_events() -> int:
    """How many events Stripe knew of and we did not: their webhooks never came, and they are acted on now."""
    if current_mode() in {None, Payment.Mode.LOCAL}:
        return 0
    missed = 0
    try:
        # Oldest first, as they happened; their order does not matter, but their times read better.
        known = set(
            WebhookEvent.objects.filter(created_at__gte=timezone.now() - _REPLAYED).values_list("event_id", flat=True)
        )
        events = client.events_since(timezone.now() - _REPLAYED, EVENT_TYPES)
        for event in reversed([event for event in events if event.id not in known]):
            heartbeat.progress()
            missed += receive_event(event=event, fetched=True)
    except StripeError as error:
        log.warning("missed events could not be fetched: %s", type(error).__name__)
    if missed:
        log.warning("%d events came without a webhook", missed)
    return missed


def fetch_refunds(*, payment: Payment) -> None:
    """Write down every refund that Stripe knows of. Raises StripeAway, StripeRefused."""
    for event in client.refunds_of(payment):
        apply_refund(payment=payment, event=event)


def refund_unused(credit: Credit) -> bool:
    """Whether a credit that nobody uses, or nobody can, was turned back into money."""
    reason = Refund.Reason.UNUSED if credit.owner_id else Refund.Reason.ACCOUNT_DELETED
    return refund_credit(credit=credit, reason=reason)


def _unanswered() -> Iterable[Payment]:
    """Payments whose webhook should have come."""
    now = timezone.now()
    waited = Q(asked_at=None, created_at__lt=now - _FIRST_ASKED_AFTER) | Q(asked_at__lt=now - _ASKED_EVERY)
    unpaid = Payment.objects.filter(waited, state__in=Payment.UNPAID, mode=current_mode())
    return unpaid.order_by(F("asked_at").asc(nulls_first=True))[:_AT_ONCE]


def _ownerless() -> Iterable[Payment]:
    """Open checkouts of accounts that have gone: nobody is to pay there any more."""
    return Payment.objects.filter(state=Payment.State.OPEN, mode=current_mode(), owner=None)[:_AT_ONCE]


def _heard_of_early() -> Iterable[Payment]:
    """Paid payments of which something waits to be acted on: it came while they were being paid."""
    waiting = WebhookEvent.objects.filter(outcome=WebhookEvent.Outcome.WAITING).exclude(payment_intent="")
    paid = Payment.objects.filter(paid_at__isnull=False, payment_intent__in=waiting.values("payment_intent"))
    return paid.select_related("pack").order_by("paid_at")[:_AT_ONCE]


def _packs_that_owe() -> Iterable[Pack]:
    """Packs that ended without pictures and still hold a credit."""
    ended = Q(state__in=[Pack.State.FAILED, Pack.State.CANCELED]) | Q(state=Pack.State.FORGOTTEN, delivered_at=None)
    packs = Pack.objects.filter(ended, credit__state=Credit.State.USED)
    return packs.exclude(reason=Pack.HAD_PICTURES)[:_AT_ONCE]


def _unused() -> Iterable[Credit]:
    """Paid credits that were open for too long, or whose account has gone."""
    long_ago = timezone.now() - timedelta(days=settings.HEADSHOTS_REFUND_DAYS)
    paid = Credit.objects.filter(state=Credit.State.OPEN, payment__mode=current_mode(), payment__amount_paid__gt=0)
    return paid.filter(Q(open_since__lt=long_ago) | Q(owner=None)).select_related("payment")[:_AT_ONCE]


def _each(rows: Iterable[_Row], act: Callable[[_Row], object]) -> None:
    for row in list(rows):
        heartbeat.progress()
        try:
            act(row)
        except StripeError as error:
            log.warning("%s %s: %s", row._meta.model_name, row.pk, type(error).__name__)
