"""Receipts: what was deleted, when its key died, what backups still hold. Written with the deletion, or not at all."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.models import Payment, Refund
from headshots.retention.models import Destruction, Receipt
from headshots.shoots.lifecycle import send_on_commit
from headshots.shoots.models import Consent, Event, Shoot
from headshots.vault.models import Blob
from headshots.vault.rings import Ring


def key_died(*, ring: str, key_id: UUID, shoot_id: UUID) -> None:
    """Note that this key is dead, once: whoever resumes a purge keeps the first time."""
    Destruction.objects.get_or_create(ring=ring, key_id=key_id, defaults={"shoot_id": shoot_id})


def count_files(*, ring: str, key_id: UUID) -> dict[str, int]:
    """How many blobs of each kind this key opened; to be asked before their rows go."""
    kinds = Blob.objects.filter(ring=ring, key_id=key_id).order_by().values_list("kind").annotate(Count("id"))
    return dict(kinds)


def destroyed(*, ring: str, key_id: UUID, counts: dict[str, int]) -> None:
    """Note that what the key opened has gone as well. A key that never opened anything leaves no proof."""
    unfinished = Destruction.objects.filter(ring=ring, key_id=key_id, done_at=None)
    if any(counts.values()):
        unfinished.update(done_at=timezone.now(), counts=counts)
    else:
        unfinished.delete()


def issue_receipt(*, shoot: Shoot, asked_by: str) -> Receipt | None:
    """The receipt for what of this shoot went since the last one, mailed after the commit; None for nothing.

    An account that is being deleted gets one for all, see `fill_account_receipt`. To be called in the
    transaction that ends the deletion."""
    owner = shoot.owner
    if owner and owner.leaving_at:
        return None
    proofs = _without_receipt([shoot.pk])
    if not proofs:
        return None
    receipt = Receipt(kind=Receipt.Kind.SHOOT, owner=owner, shoot_id=shoot.pk, asked_by=asked_by)
    _fill(receipt, proofs)
    receipt.done_at = receipt.begun_at
    receipt.save(force_insert=True)
    _attach(receipt, proofs)
    if owner:
        send_on_commit("retention.mail_receipt", str(receipt.pk))
    return receipt


def begin_account_receipt(*, owner: User, receipt_id: UUID, asked_by: str) -> Receipt:
    """The receipt of an account whose deletion begins; the same one however often that is asked.

    receipt_id: its id, unless there is one. Raises IntegrityError for an id that somebody else's has."""
    receipt, _ = Receipt.objects.get_or_create(
        owner=owner,
        kind=Receipt.Kind.ACCOUNT,
        defaults={"id": receipt_id, "asked_by": asked_by, "proof_until": _proof_until(timezone.now())},
    )
    return receipt


def fill_account_receipt(receipt: Receipt) -> None:
    """Put into an account's receipt what went and what stays, once its shoots are purged. Safe to repeat."""
    shoots = Shoot.objects.filter(owner=receipt.owner)
    with transaction.atomic():
        _attach(receipt, _without_receipt(shoots.values_list("pk", flat=True)))
        _fill(receipt, list(receipt.destructions.all()))
        receipt.account = {
            "consents": [
                {"consent": row.consent_version, "is_me": row.is_me_version, "given_at": row.given_at.isoformat()}
                for row in Consent.objects.filter(shoot__in=shoots).order_by("given_at")
            ],
            "payments": Payment.objects.filter(owner=receipt.owner, paid_at__isnull=False).count(),
            "given_back": Refund.objects.filter(
                payment__owner=receipt.owner, reason=Refund.Reason.ACCOUNT_DELETED
            ).count(),
            "payments_until": (timezone.now() + timedelta(days=settings.HEADSHOTS_PAYMENT_DAYS)).isoformat(),
        }
        receipt.save()


def who_asked(shoot: Shoot) -> str:
    """Who had the shoot purged the last time."""
    last = Event.objects.filter(shoot_id=shoot.pk, name="shoot.purging").order_by("-at", "-id").first()
    return last.actor if last else Event.Actor.SYSTEM


def _without_receipt(shoot_ids: "Collection[UUID] | QuerySet[Shoot, UUID]") -> list[Destruction]:
    # Locked: of two that end at once each proof goes to one receipt.
    done = Destruction.objects.filter(shoot_id__in=shoot_ids, receipt=None, done_at__isnull=False)
    return list(done.select_for_update())


def _attach(receipt: Receipt, proofs: Sequence[Destruction]) -> None:
    Destruction.objects.filter(pk__in=[proof.pk for proof in proofs]).update(receipt=receipt)


def _fill(receipt: Receipt, proofs: Sequence[Destruction]) -> None:
    """Until when backups hold what, by the settings of this day: later ones do not change what was promised."""
    now = timezone.now()
    backups, keys = settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_RESULT_KEY_BACKUP_DAYS
    receipt.proof_until = _proof_until(now)
    receipt.backups_until = now + timedelta(days=backups) if backups else None
    if keys and any(proof.ring == Ring.RESULT for proof in proofs):
        receipt.result_keys_until = now + timedelta(days=keys)


def _proof_until(now: datetime) -> datetime:
    return now + timedelta(days=settings.HEADSHOTS_PROOF_DAYS)
