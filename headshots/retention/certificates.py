"""Deletion certificates: what was deleted, when its key was destroyed, and how long backups contain the data.

A certificate is stored in the transaction of the deletion and emailed after the commit.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from smtplib import SMTPException
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.template.loader import render_to_string
from django.utils import timezone

from headshots.accounts.models import User
from headshots.celery import send_on_commit
from headshots.payments.models import Payment, Refund
from headshots.retention import deletions
from headshots.retention.models import DeletionCertificate, KeyDestruction
from headshots.retention.wal import keeps_deleted_rows
from headshots.shoots.models import Consent, Event, Shoot
from headshots.vault.models import Ring
from headshots.web.humanize import humanize_days, humanize_duration


def record_key_destructions(*, ring: str, shoot_ids: Mapping[UUID, UUID]) -> None:
    """Record that these keys were destroyed, in the database and in the deletion journal.

    shoot_ids: key id -> shoot id. Safe to repeat: a resumed purge keeps the first recorded time.
    The journal is separate because restoring a backup resets the database."""
    known = KeyDestruction.objects.filter(ring=ring, key_id__in=shoot_ids).values_list("key_id", flat=True)
    what = deletions.DeletionKind.PHOTOS if ring == Ring.SOURCE else deletions.DeletionKind.HEADSHOTS
    deletions.record_deletions(what, shoot_ids.keys() - set(known))
    KeyDestruction.objects.bulk_create(
        (KeyDestruction(ring=ring, key_id=key_id, shoot_id=shoot_id) for key_id, shoot_id in shoot_ids.items()),
        ignore_conflicts=True,
    )


def record_contents_deleted(*, ring: str, counts: Mapping[UUID, Mapping[str, int]]) -> None:
    """Record that the contents encrypted with these keys are deleted.

    counts: key id -> kind -> number. The record of a key that encrypted nothing is removed."""
    # Most shoots have the same counts. Use one statement for all keys with equal counts.
    alike: dict[frozenset[tuple[str, int]], list[UUID]] = {}
    for key_id, count_of_kind in counts.items():
        alike.setdefault(frozenset(count_of_kind.items()), []).append(key_id)
    for same, key_ids in alike.items():
        unfinished = KeyDestruction.objects.filter(ring=ring, key_id__in=key_ids, done_at=None)
        if any(count for _, count in same):
            unfinished.update(done_at=timezone.now(), counts=dict(sorted(same)))
        else:
            unfinished.delete()


def issue_certificates(*, shoots: Collection[Shoot], requested_by: Mapping[UUID, str]) -> list[DeletionCertificate]:
    """Issue a certificate for each shoot, covering what was deleted since its last one, and mail it after the commit.

    requested_by: shoot id -> actor. Call this in the transaction that ends the deletion.
    Shoots with no new deletions get no certificate. Shoots of an account that is being deleted get none either:
    `fill_account_certificate` covers these shoots."""
    staying = {shoot.pk: shoot.owner for shoot in shoots if not (shoot.owner and shoot.owner.deletion_requested_at)}
    rings: dict[UUID, set[str]] = {}
    named = []
    for destruction_id, shoot_id, ring in _without_certificate(staying).values_list("pk", "shoot_id", "ring"):
        named.append(destruction_id)
        rings.setdefault(shoot_id, set()).add(ring)
    certificates = []
    for shoot_id in rings:
        certificate = DeletionCertificate(
            kind=DeletionCertificate.Kind.SHOOT,
            owner=staying[shoot_id],
            shoot_id=shoot_id,
            requested_by=requested_by[shoot_id],
        )
        _fill(certificate, rings[shoot_id])
        certificate.done_at = certificate.begun_at
        certificates.append(certificate)
    DeletionCertificate.objects.bulk_create(certificates)
    # Link each key destruction to the certificate of its shoot, with one statement for all.
    own = DeletionCertificate.objects.filter(
        pk__in=[certificate.pk for certificate in certificates], shoot_id=OuterRef("shoot_id")
    )
    KeyDestruction.objects.filter(pk__in=named).update(certificate=Subquery(own.order_by().values("pk")[:1]))
    for certificate in certificates:
        if certificate.owner:
            send_on_commit("retention.mail_certificate", str(certificate.pk))
    return certificates


def begin_account_certificate(*, owner: User, certificate_id: UUID, requested_by: str) -> DeletionCertificate:
    """Return the certificate of an account whose deletion begins, and create it on the first call.

    certificate_id: the id of a new certificate. Raises IntegrityError if another certificate has this id."""
    certificate, _ = DeletionCertificate.objects.get_or_create(
        owner=owner,
        kind=DeletionCertificate.Kind.ACCOUNT,
        defaults={"id": certificate_id, "requested_by": requested_by, "keep_until": _keep_until(timezone.now())},
    )
    return certificate


def fill_account_certificate(certificate: DeletionCertificate) -> None:
    """Write into an account's certificate what was deleted and what is kept. Safe to repeat.

    Call this after the account's shoots are purged. Does nothing once the account is deleted, because its shoots can't
    be found then."""
    shoots = Shoot.objects.filter(owner=certificate.owner_id)
    with transaction.atomic():
        # Lock the account, because another process may be finishing the same deletion right now.
        if not User.objects.select_for_update().filter(deletion_certificates=certificate).exists():
            return
        new = list(_without_certificate(shoots.values_list("pk", flat=True)).values_list("pk", flat=True))
        KeyDestruction.objects.filter(pk__in=new).update(certificate=certificate)
        _fill(certificate, set(certificate.key_destructions.values_list("ring", flat=True)))
        certificate.account = {
            "consents": [
                {"consent": row.consent_version, "is_me": row.is_me_version, "given_at": row.given_at.isoformat()}
                for row in Consent.objects.filter(shoot__in=shoots).order_by("given_at")
            ],
            "payments": Payment.objects.filter(owner=certificate.owner_id, paid_at__isnull=False).count(),
            "given_back": Refund.objects.filter(
                payment__owner=certificate.owner_id, reason=Refund.Reason.ACCOUNT_DELETED
            ).count(),
            "payments_until": (timezone.now() + timedelta(days=settings.HEADSHOTS_PAYMENT_RETENTION_DAYS)).isoformat(),
        }
        # Leave out `mailed_at`: another process may have set it since this certificate was read.
        certificate.save(update_fields=["keep_until", "backups_until", "result_keys_until", "account"])


def requesters_of(shoot_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the actor who last requested the purge of each shoot, `system` if unknown."""
    asked = Event.objects.filter(shoot_id__in=shoot_ids, name="shoot.purging").order_by("at", "id")
    return dict.fromkeys(shoot_ids, Event.Actor.SYSTEM.value) | dict(asked.values_list("shoot_id", "actor"))


def _without_certificate(shoot_ids: "Collection[UUID] | QuerySet[Shoot, UUID]") -> QuerySet[KeyDestruction]:
    # Lock the rows: if two deletions end at once, each key destruction must be linked to only one certificate.
    done = KeyDestruction.objects.filter(shoot_id__in=shoot_ids, certificate=None, done_at__isnull=False)
    return done.select_for_update()


def _fill(certificate: DeletionCertificate, rings: Collection[str]) -> None:
    """Set how long backups keep the deleted data, and how long the certificate is kept.

    Uses today's settings. Later changes of the settings do not affect what this certificate states."""
    now = timezone.now()
    backups, keys = settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS
    certificate.keep_until = _keep_until(now)
    certificate.backups_until = now + timedelta(days=backups) if backups else None
    if keys and Ring.RESULT in rings:
        certificate.result_keys_until = now + timedelta(days=keys)


def _keep_until(now: datetime) -> datetime:
    return now + timedelta(days=settings.HEADSHOTS_DELETION_RECORD_DAYS)


log = logging.getLogger(__name__)
# Mailing is retried for this long. After that, the certificate is available on its page only.
RETRY_WINDOW = timedelta(days=2)
_GRACE = timedelta(minutes=2)


def mail_certificate(certificate: DeletionCertificate) -> bool:
    """Mail the certificate to its owner, at most once. Returns True if the mail was sent, now or before.

    Returns False if there is no account to mail, or if the mail server fails."""
    # Load the owner in the same query, because the account may be deleted between two queries.
    certificate.refresh_from_db(from_queryset=DeletionCertificate.objects.select_related("owner"))
    if certificate.mailed_at or certificate.owner is None:
        return certificate.mailed_at is not None
    if certificate.kind == DeletionCertificate.Kind.SHOOT and certificate.owner.deletion_requested_at:
        # An account that is being deleted only gets its account certificate.
        return False
    # Set `mailed_at` before sending. A crash in between loses the mail, but no mail is sent twice.
    if not DeletionCertificate.objects.filter(pk=certificate.pk, mailed_at=None).update(mailed_at=timezone.now()):
        return True
    context = {
        "certificate": certificate,
        "destructions": certificate.key_destructions.all(),
        "site_url": settings.HEADSHOTS_SITE_URL,
        "photo_retention": humanize_duration(settings.HEADSHOTS_PHOTO_TTL_SECONDS),
        "database_keeps": keeps_deleted_rows(),
        "headshot_retention": humanize_days(settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS),
    }
    # The account is deleted after this mail is sent, so the customer reads the mail when the account is gone.
    title = "Your account is deleted" if certificate.kind == DeletionCertificate.Kind.ACCOUNT else certificate.title
    text = render_to_string("retention/mail/certificate.txt", context)
    try:
        send_mail(f"{title} ({certificate.reference})", text, None, [certificate.owner.email])
    except (OSError, SMTPException) as error:
        DeletionCertificate.objects.filter(pk=certificate.pk).update(mailed_at=None)
        log.error("certificate %s could not be mailed: %s", certificate.pk, type(error).__name__)
        return False
    return True


def mail_waiting_certificates() -> int:
    """Mail the shoot certificates that were not mailed because of a lost message or a mail server outage.

    Returns how many are mailed now."""
    now = timezone.now()
    waiting = DeletionCertificate.objects.filter(
        kind=DeletionCertificate.Kind.SHOOT,
        mailed_at=None,
        owner__isnull=False,
        owner__deletion_requested_at=None,
        begun_at__range=(now - RETRY_WINDOW, now - _GRACE),
    )
    return sum(mail_certificate(certificate) for certificate in waiting)
