"""Withdraw a consent and delete an account.

Both first close the shoots or the account, then destroy the keys, then delete the rest. Beat resumes interrupted
deletions.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from headshots.accounts.models import Session, User
from headshots.payments.accounting.credits import refund_undelivered_credits
from headshots.retention import deletions
from headshots.retention.certificates import begin_account_certificate, fill_account_certificate, mail_certificate
from headshots.retention.models import DeletionCertificate
from headshots.retention.purging import purge_shoot
from headshots.retention.wal import checkpoint_journals
from headshots.shoots.lifecycle import begin_purge, record
from headshots.shoots.models import Consent, Event, Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultError

log = logging.getLogger(__name__)

# How long the deletion of an account waits for the mail server. The address must be deleted, and the certificate was
# shown already.
MAIL_TIMEOUT = timedelta(hours=1)


def withdraw_consent(*, shoot: Shoot) -> bool:
    """Withdraw the consent to one shoot and destroy its photos and headshots. Returns True if this call withdrew it.

    Safe to repeat. If something can't be deleted now, beat deletes the rest later."""
    with transaction.atomic():
        given = Consent.objects.filter(shoot=shoot, withdrawn_at=None)
        withdrawn = bool(given.update(withdrawn_at=timezone.now()))
        if withdrawn:
            record("shoot.consent_withdrawn", shoot_id=shoot.pk, actor=Event.Actor.PERSON)
        begin_purge(shoot, actor=Event.Actor.PERSON, everything=True)
    _purge_now(shoot)
    checkpoint_journals()
    return withdrawn


def withdraw_all(*, owner: User) -> int:
    """Withdraw every consent of an account with `withdraw_consent`. Returns how many consents were withdrawn."""
    active_consents = Shoot.objects.filter(owner=owner, consent__withdrawn_at=None)
    return sum(withdraw_consent(shoot=shoot) for shoot in list(active_consents))


def begin_account_deletion(
    *, owner: User, certificate_id: UUID, actor: str = Event.Actor.PERSON
) -> DeletionCertificate | None:
    """Close an account, sign out all its sessions and destroy the keys of all its pictures. Safe to repeat.

    certificate_id: the id of a new certificate. Returns the certificate, or None if the account is already deleted.
    Raises IntegrityError if another certificate has this id."""
    with transaction.atomic():
        person = User.objects.select_for_update().filter(pk=owner.pk).first()
        if person is None:
            return None
        is_first_time = person.deletion_requested_at is None
        if is_first_time:
            person.deletion_requested_at, person.is_active = timezone.now(), False
            person.save(update_fields=["deletion_requested_at", "is_active"])
        certificate = begin_account_certificate(owner=person, certificate_id=certificate_id, requested_by=actor)
        Session.objects.filter(account_id=person.pk).delete()
        if is_first_time:
            # Record the deletion last. If an earlier step fails, the account is kept, so a replay must keep it too.
            deletions.record_deletions(deletions.DeletionKind.ACCOUNT, [person.pk])
    for shoot in Shoot.objects.filter(owner=person):
        begin_purge(shoot, actor=actor, everything=True)
    # Destroy all keys before deleting files, so that no picture stays readable while the store is down.
    packs = Pack.objects.filter(shoot__owner=person).exclude(state=Pack.State.DELETED)
    try:
        vault.destroy_keys(ring="result", key_ids=list(packs.values_list("pk", flat=True)))
    except (VaultError, OSError) as error:
        log.error("account %s: keys that could not be destroyed yet: %s", owner.pk, type(error).__name__)
    return certificate


def finish_account_deletion(*, owner: User) -> bool:
    """Delete what is left of a closed account. Returns True if nothing is left. Safe to repeat."""
    person = User.objects.filter(pk=owner.pk, deletion_requested_at__isnull=False).first()
    steps = (_purge_everything, _refund_unused_packs, _mail_certificate, _delete_account)
    return person is None or all(step(person) for step in steps)


def _purge_everything(owner: User) -> bool:
    for shoot in _not_purged(owner):
        begin_purge(shoot, actor=Event.Actor.PERSON, everything=True)
        _purge_now(shoot)
    return not _not_purged(owner).exists()


def _refund_unused_packs(owner: User) -> bool:
    """Refund the paid packs that were not delivered. Always returns True, because beat sends the refunds later."""
    refund_undelivered_credits(owner=owner)
    return True


def _not_purged(owner: User) -> QuerySet[Shoot]:
    return Shoot.objects.filter(owner=owner).exclude(state=Shoot.State.PURGED, purge_everything=True)


def _mail_certificate(owner: User) -> bool:
    """Mail the account's certificate while the address still exists.

    Returns True if the deletion can continue: the mail was sent, or the mail server failed for too long."""
    certificate = DeletionCertificate.objects.filter(owner=owner, kind=DeletionCertificate.Kind.ACCOUNT).first()
    if certificate is None:
        # Another process has finished the deletion.
        return True
    if not certificate.mailed_at:
        fill_account_certificate(certificate)
    assert owner.deletion_requested_at is not None
    return mail_certificate(certificate) or timezone.now() - owner.deletion_requested_at > MAIL_TIMEOUT


def _delete_account(owner: User) -> bool:
    with transaction.atomic():
        # Lock the account, because an upload may have been running when the account was closed.
        person = User.objects.select_for_update().filter(pk=owner.pk).first()
        if person is None:
            return True
        if _not_purged(person).exists():
            return False
        Shoot.objects.filter(owner=person).update(submission=None)
        DeletionCertificate.objects.filter(owner=person, kind=DeletionCertificate.Kind.ACCOUNT).update(
            done_at=timezone.now()
        )
        Session.objects.filter(account_id=person.pk).delete()
        person.delete()
    checkpoint_journals()
    log.info("account %s: deleted", owner.pk)
    return True


def _purge_now(shoot: Shoot) -> None:
    try:
        purge_shoot(shoot=shoot)
    except (VaultError, DatabaseError, OSError) as error:
        # Beat tries again, because the shoot's row still shows that the shoot is due.
        log.error("shoot %s: not all of it could be removed yet: %s", shoot.pk, type(error).__name__)
