"""Find and delete what is due. The database's time columns decide, not messages, so nothing can be lost.

Every query uses an index and runs in batches, so rows that are not due yet cost nothing.
tests/headshots/retention/test_on_time.py reads the query plans.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from headshots.payments.models import Credit, Payment, Refund, WebhookEvent, Withdrawal
from headshots.retention.models import DeletionCertificate, KeyDestruction, LastRun
from headshots.retention.purging import delete_packs, purge_delivered, purge_shoots
from headshots.retention.wal import checkpoint_wal
from headshots.runtime import heartbeat
from headshots.shoots.lifecycle import begin_purges
from headshots.shoots.models import Consent, Event, Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultError, VaultUnavailable
from headshots.vault.models import Ring

log = logging.getLogger(__name__)
PURGE_TASK = "retention.purge_due"
# Shoots or packs per transaction. Larger batches are hardly faster, and other transactions wait longer for them.
BATCH_SIZE = 200
_EXPECTED_ERRORS = (VaultError, DatabaseError, OSError)


@dataclass
class PurgeResult:
    """The counts of one purge.

    Attributes:
        keys: erased expired keys.
        shoots: purged shoots.
        packs: deleted packs.
        failed: steps, shoots and packs that failed and are retried by the next purge.
    """

    keys: int = 0
    shoots: int = 0
    packs: int = 0
    failed: int = 0


def purge_due() -> PurgeResult:
    """Delete everything that is due, and resume what a crash interrupted. Safe to run twice and concurrently.

    Errors are logged and counted. They do not stop the other steps."""
    result = PurgeResult()
    for step in (_sweep_keys, _close_due, _close_delivered, _close_lost, _purge, _delete_expired_packs):
        try:
            step(result)
        except _EXPECTED_ERRORS as error:
            # The rows still show what is due, so the next purge tries again.
            log.error("deleting: %s: %s", step.__name__.strip("_"), type(error).__name__)
            result.failed += 1
    checkpoint_wal()
    LastRun.objects.update_or_create(task=PURGE_TASK, defaults={"at": timezone.now()})
    if result.shoots or result.packs or result.failed:
        log.info("purged: %s", result)
    return result


def due_shoots() -> QuerySet[Shoot]:
    """Select open shoots whose photos are due."""
    return Shoot.objects.filter(state=Shoot.State.OPEN, delete_after__lte=timezone.now())


def due_ownerless_shoots() -> QuerySet[Shoot]:
    """Select shoots without an owner whose photos are due: trials of looks, and shoots of deleted accounts.

    No account can open them, so their headshots are purged together with their photos."""
    return Shoot.objects.filter(owner=None, purge_everything=False, delete_after__lte=timezone.now())


def delivered_packs() -> QuerySet[Pack]:
    """Select delivered premium packs whose shoot is still open and does not keep its photos.

    Looks back one photo lifetime, because no open shoot is older. Usually the delivery closes the shoot.
    This query finds shoots whose message was lost, and shoots whose last pack ended later."""
    since = timezone.now() - timedelta(seconds=settings.HEADSHOTS_PHOTO_TTL_SECONDS)
    delivered = Pack.objects.filter(state=Pack.State.DELIVERED, delivered_at__gte=since, kind=Pack.Kind.PREMIUM)
    return delivered.filter(shoot__state=Shoot.State.OPEN, shoot__keep_photos=False)


def shoots_of_other_epochs(epoch: UUID) -> list[QuerySet[Shoot]]:
    """Select open shoots whose keys were created in another epoch of the source ring, or in an unknown one.

    Returns several querysets, because each of them is one range of an index."""
    opened = Shoot.objects.filter(state=Shoot.State.OPEN)
    return [
        opened.filter(keyring_epoch__lt=epoch),
        opened.filter(keyring_epoch__gt=epoch),
        opened.filter(keyring_epoch=None),
    ]


def expired_packs() -> QuerySet[Pack]:
    """Select packs that have ended and whose finished headshots are due."""
    return Pack.objects.filter(state__in=Pack.ENDED, expires_at__lte=timezone.now())


def _sweep_keys(result: PurgeResult) -> None:
    """Erase the expired keys of photos, and close their shoots as lost.

    Usually no shoot has such a key, because a purge destroys keys before they expire. Otherwise a wrong clock expired
    the key too early."""
    dead = vault.sweep_expired_keys()
    result.keys = len(dead)
    for some in _batches(dead):
        begin_purges(Shoot.objects.filter(pk__in=some), lost=True)


def _close_due(_: PurgeResult) -> None:
    for shoots, everything in ((due_ownerless_shoots, True), (due_shoots, False)):
        while ids := list(shoots().values_list("pk", flat=True)[:BATCH_SIZE]):
            heartbeat.record_progress()
            if not begin_purges(Shoot.objects.filter(pk__in=ids), everything=everything):
                break


def _close_delivered(_: PurgeResult) -> None:
    for pack in delivered_packs().select_related("shoot"):
        purge_delivered(shoot=pack.shoot)


def _close_lost(_: PurgeResult) -> None:
    """Close shoots whose photos can't be decrypted because the ring with their keys was lost."""
    doubtful = [
        shoot_id
        for part in shoots_of_other_epochs(vault.source_keyring_epoch())
        for shoot_id in part.values_list("pk", flat=True)
    ]
    lost = [shoot_id for shoot_id in doubtful if not vault.key_exists(ring="source", key_id=shoot_id)]
    for some in _batches(lost):
        begin_purges(Shoot.objects.filter(pk__in=some), lost=True)
    if lost:
        log.warning("the photo key ring was lost, and with it the photos of %d shoots", len(lost))


def _purge(result: PurgeResult) -> None:
    closed = Shoot.objects.filter(state=Shoot.State.PURGING).values_list("pk", flat=True)
    result.shoots = _each_batch(list(closed), lambda ids: purge_shoots(shoot_ids=ids), result)


def _delete_expired_packs(result: PurgeResult) -> None:
    ids = list(expired_packs().values_list("pk", flat=True))
    result.packs = _each_batch(ids, lambda ids: delete_packs(pack_ids=ids), result)
    # Purging a shoot can delete headshots too.
    if result.packs or result.shoots:
        vault.delete_key_history(ring=Ring.RESULT)


def _each_batch(ids: Sequence[UUID], act: Callable[[Sequence[UUID]], Sequence[UUID]], result: PurgeResult) -> int:
    """Apply `act` to the ids in batches. Returns how many ids `act` finished.

    If a batch fails, its ids are retried one by one, so that a failing id does not block others.
    Raises VaultUnavailable."""
    done = 0
    for some in _batches(ids):
        heartbeat.record_progress()
        try:
            done += len(act(some))
        except VaultUnavailable:
            # The vault is down for all ids. Trying the others would only wait for the same timeout.
            raise
        except _EXPECTED_ERRORS as error:
            if len(some) > 1:
                done += sum(_each_batch([one], act, result) for one in some)
                continue
            log.error("could not delete %s: %s", some[0], type(error).__name__)
            result.failed += 1
    return done


def _batches(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    return [ids[start : start + BATCH_SIZE] for start in range(0, len(ids), BATCH_SIZE)]


def delete_expired_certificates() -> int:
    """Delete expired certificates and the remaining rows of their shoots. Returns the number of certificates."""
    old = list(DeletionCertificate.objects.filter(keep_until__lte=timezone.now()))
    for certificate in old:
        with transaction.atomic():
            shoot_ids = set(certificate.key_destructions.values_list("shoot_id", flat=True))
            certificate.delete()
            for shoot_id in shoot_ids:
                _delete_shoot(shoot_id)
    if old:
        log.info("%d expired certificates deleted", len(old))
    return len(old)


def delete_expired_payments() -> int:
    """Delete payments of deleted accounts after their retention period. Returns how many.

    The sums in the ledger are kept, because the ledger contains no personal data."""
    long_ago = timezone.now() - timedelta(days=settings.HEADSHOTS_PAYMENT_RETENTION_DAYS)
    old = Payment.objects.filter(owner=None, created_at__lt=long_ago)
    ids = list(old.values_list("pk", flat=True))
    with transaction.atomic():
        Credit.objects.filter(payment__in=ids).delete()
        Refund.objects.filter(payment__in=ids).delete()
        Withdrawal.objects.filter(payment__in=ids).delete()
        WebhookEvent.objects.filter(payment__in=ids).delete()
        Payment.objects.filter(pk__in=ids).delete()
    if ids:
        log.info("%d payments without an account deleted", len(ids))
    return len(ids)


def _delete_shoot(shoot_id: UUID) -> None:
    """Delete the remaining rows of a purged shoot: the shoot, its consent, packs and events.

    Does nothing while the shoot has undeleted packs, or key destructions that another certificate needs."""
    left = Pack.objects.filter(shoot_id=shoot_id).exclude(state=Pack.State.DELETED)
    if left.exists() or KeyDestruction.objects.filter(shoot_id=shoot_id).exists():
        return
    if not Shoot.objects.filter(pk=shoot_id, state=Shoot.State.PURGED).exists():
        return
    Consent.objects.filter(shoot_id=shoot_id).delete()
    Pack.objects.filter(shoot_id=shoot_id).delete()
    Event.objects.filter(shoot_id=shoot_id).delete()
    Shoot.objects.filter(pk=shoot_id).delete()
