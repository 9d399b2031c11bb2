"""The end of what stays of a deletion: after the stated time the proofs go as well."""

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from headshots.payments.models import Credit, Payment, Refund, WebhookEvent
from headshots.retention.models import Destruction, Receipt
from headshots.shoots.models import Consent, Event, Pack, Shoot

log = logging.getLogger(__name__)


def drop_proofs() -> int:
    """Delete receipts whose time is over, and what is left of their shoots; how many receipts."""
    old = list(Receipt.objects.filter(proof_until__lte=timezone.now()))
    for receipt in old:
        with transaction.atomic():
            shoot_ids = set(receipt.destructions.values_list("shoot_id", flat=True))
            receipt.delete()
            for shoot_id in shoot_ids:
                _drop_shoot(shoot_id)
    if old:
        log.info("proofs of %d deletions dropped", len(old))
    return len(old)


def drop_payments() -> int:
    """Delete payments whose account has gone, once their own time is over; how many. The ledger keeps its sums: it
    names nobody."""
    long_ago = timezone.now() - timedelta(days=settings.HEADSHOTS_PAYMENT_DAYS)
    old = Payment.objects.filter(owner=None, created_at__lt=long_ago)
    ids = list(old.values_list("pk", flat=True))
    with transaction.atomic():
        Credit.objects.filter(payment__in=ids).delete()
        Refund.objects.filter(payment__in=ids).delete()
        WebhookEvent.objects.filter(payment__in=ids).delete()
        Payment.objects.filter(pk__in=ids).delete()
    if ids:
        log.info("%d payments without an account dropped", len(ids))
    return len(ids)


def _drop_shoot(shoot_id: UUID) -> None:
    """The rows of a shoot of which nothing lives and nothing is to be proven any more: consent, packs, events."""
    left = Pack.objects.filter(shoot_id=shoot_id).exclude(state=Pack.State.FORGOTTEN)
    if left.exists() or Destruction.objects.filter(shoot_id=shoot_id).exists():
        return
    if not Shoot.objects.filter(pk=shoot_id, state=Shoot.State.PURGED).exists():
        return
    Consent.objects.filter(shoot_id=shoot_id).delete()
    Pack.objects.filter(shoot_id=shoot_id).delete()
    Event.objects.filter(shoot_id=shoot_id).delete()
    Shoot.objects.filter(pk=shoot_id).delete()
