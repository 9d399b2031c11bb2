"""Deletion certificates: what was deleted, when its key was destroyed, what backups still hold.

Written in the transaction of the deletion, and mailed afterwards.
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
from headshots.web.humanize import days_in_words, in_words


def record_key_destructions(*, ring: str, shoot_ids: Mapping[UUID, UUID]) -> None:
    """Note that these keys (key id -> shoot id) are dead, once: a purge that is resumed keeps the first time.

    In the database, and in the journal that outlives a restored one."""
    known = KeyDestruction.objects.filter(ring=ring, key_id__in=shoot_ids).values_list("key_id", flat=True)
    what = deletions.DeletionKind.PHOTOS if ring == Ring.SOURCE else deletions.DeletionKind.HEADSHOTS
    deletions.record_deletions(what, shoot_ids.keys() - set(known))
    KeyDestruction.objects.bulk_create(
        (KeyDestruction(ring=ring, key_id=key_id, shoot_id=shoot_id) for key_id, shoot_id in shoot_ids.items()),
        ignore_conflicts=True,
    )


def record_contents_deleted(*, ring: str, counts: Mapping[UUID, Mapping[str, int]]) -> None:
    """Note that what these keys opened has gone as well. A key that never opened anything leaves no proof."""
    # Most shoots lose the same: one statement for all that do.
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
    """Issue a certificate for each shoot, for what was deleted of it since its last one. Mail it after the commit.

    A shoot of which nothing was deleted gets none. `requested_by`: shoot id -> actor.

    An account that is being deleted gets one for all, see `fill_account_certificate`. To be called in the
    transaction that ends the deletion."""
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
    # Each key destruction goes to the certificate of its shoot, all of them in one statement.
    own = DeletionCertificate.objects.filter(
        pk__in=[certificate.pk for certificate in certificates], shoot_id=OuterRef("shoot_id")
    )
    KeyDestruction.objects.filter(pk__in=named).update(certificate=Subquery(own.order_by().values("pk")[:1]))
    for certificate in certificates:
        if certificate.owner:
            send_on_commit("retention.mail_certificate", str(certificate.pk))
    return certificates


def begin_account_certificate(*, owner: User, certificate_id: UUID, requested_by: str) -> DeletionCertificate:
    """The certificate of an account whose deletion begins; the same one however often that is asked.

    certificate_id: its id, unless there is one. Raises IntegrityError for an id that somebody else's has."""
    certificate, _ = DeletionCertificate.objects.get_or_create(
        owner=owner,
        kind=DeletionCertificate.Kind.ACCOUNT,
        defaults={"id": certificate_id, "requested_by": requested_by, "keep_until": _keep_until(timezone.now())},
    )
    return certificate


def fill_account_certificate(certificate: DeletionCertificate) -> None:
    """Put into an account's certificate what went and what stays, once its shoots are purged. Safe to repeat.

    Nothing is changed once the account has gone: then nobody knows any more which shoots were its."""
    shoots = Shoot.objects.filter(owner=certificate.owner_id)
    with transaction.atomic():
        # Locked against somebody else who finishes the same deletion at this moment.
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
            "payments_until": (timezone.now() + timedelta(days=settings.HEADSHOTS_PAYMENT_DAYS)).isoformat(),
        }
        # Not whether it is mailed: that somebody else may have noted since it was read.
        certificate.save(update_fields=["keep_until", "backups_until", "result_keys_until", "account"])


def requesters_of(shoot_ids: Collection[UUID]) -> dict[UUID, str]:
    """Who had each of these shoots purged the last time."""
    asked = Event.objects.filter(shoot_id__in=shoot_ids, name="shoot.purging").order_by("at", "id")
    return dict.fromkeys(shoot_ids, Event.Actor.SYSTEM.value) | dict(asked.values_list("shoot_id", "actor"))


def _without_certificate(shoot_ids: "Collection[UUID] | QuerySet[Shoot, UUID]") -> QuerySet[KeyDestruction]:
    # Locked: of two that end at once each key destruction goes to one certificate.
    done = KeyDestruction.objects.filter(shoot_id__in=shoot_ids, certificate=None, done_at__isnull=False)
    return done.select_for_update()


def _fill(certificate: DeletionCertificate, rings: Collection[str]) -> None:
    """Until when backups hold what, by the settings of this day: later ones do not change what was promised."""
    now = timezone.now()
    backups, keys = settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_RESULT_KEY_BACKUP_DAYS
    certificate.keep_until = _keep_until(now)
    certificate.backups_until = now + timedelta(days=backups) if backups else None
    if keys and Ring.RESULT in rings:
        certificate.result_keys_until = now + timedelta(days=keys)


def _keep_until(now: datetime) -> datetime:
    return now + timedelta(days=settings.HEADSHOTS_PROOF_DAYS)


log = logging.getLogger(__name__)
# A mail server may be away this long; afterwards the page alone has the certificate.
PATIENCE = timedelta(days=2)
_GRACE = timedelta(minutes=2)


def mail_certificate(certificate: DeletionCertificate) -> bool:
    """Whether it is mailed, now or before. False for nobody to mail to, and for a mail server that refuses."""
    # With its owner: the account may go between two looks.
    certificate.refresh_from_db(from_queryset=DeletionCertificate.objects.select_related("owner"))
    if certificate.mailed_at or certificate.owner is None:
        return certificate.mailed_at is not None
    if certificate.kind == DeletionCertificate.Kind.SHOOT and certificate.owner.deletion_requested_at:
        # The account's own certificate is all that is still written to it.
        return False
    # Claimed first: a crash between the two lines costs the mail, never sends it twice.
    if not DeletionCertificate.objects.filter(pk=certificate.pk, mailed_at=None).update(mailed_at=timezone.now()):
        return True
    context = {
        "certificate": certificate,
        "destructions": certificate.key_destructions.all(),
        "site_url": settings.HEADSHOTS_SITE_URL,
        "photo_retention": in_words(settings.HEADSHOTS_SOURCE_TTL_SECONDS),
        "database_keeps": keeps_deleted_rows(),
        "headshot_retention": days_in_words(settings.HEADSHOTS_RESULT_DAYS),
    }
    # The account is there until this mail has left; whoever reads it has none.
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
    """Mail the certificates whose message was lost or whose mail server was away; how many."""
    now = timezone.now()
    waiting = DeletionCertificate.objects.filter(
        kind=DeletionCertificate.Kind.SHOOT,
        mailed_at=None,
        owner__isnull=False,
        owner__deletion_requested_at=None,
        begun_at__range=(now - PATIENCE, now - _GRACE),
    )
    return sum(mail_certificate(certificate) for certificate in waiting)
