"""The end of what stays of a deletion: after the stated time the proofs go as well."""

import logging
from uuid import UUID

from django.db import transaction
from django.utils import timezone

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
