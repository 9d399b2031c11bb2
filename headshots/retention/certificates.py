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
from headshots.retention.models import Destruction, Receipt
from headshots.retention.wal import keeps_deleted_rows
from headshots.shoots.models import Consent, Event, Shoot
from headshots.vault.models import Ring
from headshots.web.humanize import humanize_days, humanize_duration


def keys_died(*, ring: str, shoot_ids: Mapping[UUID, UUID]) -> None:
    """Note that these keys (key id -> shoot id) are dead, once: a purge that is resumed keeps the first time.

    In the database, and in the journal that outlives a restored one."""
    known = Destruction.objects.filter(ring=ring, key_id__in=shoot_ids).values_list("key_id", flat=True)
    what = deletions.What.PHOTOS if ring == Ring.SOURCE else deletions.What.HEADSHOTS
    deletions.note(what, shoot_ids.keys() - set(known))
    Destruction.objects.bulk_create(
        (Destruction(ring=ring, key_id=key_id, shoot_id=shoot_id) for key_id, shoot_id in shoot_ids.items()),
        ignore_conflicts=True,
    )


def destroyed(*, ring: str, counts: Mapping[UUID, Mapping[str, int]]) -> None:
    """Note that what these keys opened has gone as well. A key that never opened anything leaves no proof."""
    # Most shoots lose the same: one statement for all that do.
    alike: dict[frozenset[tuple[str, int]], list[UUID]] = {}
    for key_id, count_of_kind in counts.items():
        alike.setdefault(frozenset(count_of_kind.items()), []).append(key_id)
    for same, key_ids in alike.items():
        unfinished = Destruction.objects.filter(ring=ring, key_id__in=key_ids, done_at=None)
        if any(count for _, count in same):
            unfinished.update(done_at=timezone.now(), counts=dict(sorted(same)))
        else:
            unfinished.delete()


def issue_receipts(*, shoots: Collection[Shoot], asked_by: Mapping[UUID, str]) -> list[Receipt]:
    """For each of these shoots the receipt for what of it went since the last one, mailed after the commit; none for
    nothing. `asked_by`: shoot id -> actor.

    An account that is being deleted gets one for all, see `fill_account_receipt`. To be called in the
    transaction that ends the deletion."""
    staying = {shoot.pk: shoot.owner for shoot in shoots if not (shoot.owner and shoot.owner.deletion_requested_at)}
    rings: dict[UUID, set[str]] = {}
    named = []
    for proof_id, shoot_id, ring in _without_receipt(staying).values_list("pk", "shoot_id", "ring"):
        named.append(proof_id)
        rings.setdefault(shoot_id, set()).add(ring)
    receipts = []
    for shoot_id in rings:
        receipt = Receipt(
            kind=Receipt.Kind.SHOOT, owner=staying[shoot_id], shoot_id=shoot_id, asked_by=asked_by[shoot_id]
        )
        _fill(receipt, rings[shoot_id])
        receipt.done_at = receipt.begun_at
        receipts.append(receipt)
    Receipt.objects.bulk_create(receipts)
    # Each proof goes to the receipt of its shoot, all of them in one statement.
    own = Receipt.objects.filter(pk__in=[receipt.pk for receipt in receipts], shoot_id=OuterRef("shoot_id"))
    Destruction.objects.filter(pk__in=named).update(receipt=Subquery(own.order_by().values("pk")[:1]))
    for receipt in receipts:
        if receipt.owner:
            send_on_commit("retention.mail_receipt", str(receipt.pk))
    return receipts


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
    """Put into an account's receipt what went and what stays, once its shoots are purged. Safe to repeat.

    Nothing is changed once the account has gone: then nobody knows any more which shoots were its."""
    shoots = Shoot.objects.filter(owner=receipt.owner_id)
    with transaction.atomic():
        # Locked against somebody else who finishes the same deletion at this moment.
        if not User.objects.select_for_update().filter(receipts=receipt).exists():
            return
        new = list(_without_receipt(shoots.values_list("pk", flat=True)).values_list("pk", flat=True))
        Destruction.objects.filter(pk__in=new).update(receipt=receipt)
        _fill(receipt, set(receipt.destructions.values_list("ring", flat=True)))
        receipt.account = {
            "consents": [
                {"consent": row.consent_version, "is_me": row.is_me_version, "given_at": row.given_at.isoformat()}
                for row in Consent.objects.filter(shoot__in=shoots).order_by("given_at")
            ],
            "payments": Payment.objects.filter(owner=receipt.owner_id, paid_at__isnull=False).count(),
            "given_back": Refund.objects.filter(
                payment__owner=receipt.owner_id, reason=Refund.Reason.ACCOUNT_DELETED
            ).count(),
            "payments_until": (timezone.now() + timedelta(days=settings.HEADSHOTS_PAYMENT_RETENTION_DAYS)).isoformat(),
        }
        # Not whether it is mailed: that somebody else may have noted since it was read.
        receipt.save(update_fields=["proof_until", "backups_until", "result_keys_until", "account"])


def who_asked(shoot_ids: Collection[UUID]) -> dict[UUID, str]:
    """Who had each of these shoots purged the last time."""
    asked = Event.objects.filter(shoot_id__in=shoot_ids, name="shoot.purging").order_by("at", "id")
    return dict.fromkeys(shoot_ids, Event.Actor.SYSTEM.value) | dict(asked.values_list("shoot_id", "actor"))


def _without_receipt(shoot_ids: "Collection[UUID] | QuerySet[Shoot, UUID]") -> QuerySet[Destruction]:
    # Locked: of two that end at once each proof goes to one receipt.
    done = Destruction.objects.filter(shoot_id__in=shoot_ids, receipt=None, done_at__isnull=False)
    return done.select_for_update()


def _fill(receipt: Receipt, rings: Collection[str]) -> None:
    """Until when backups hold what, by the settings of this day: later ones do not change what was promised."""
    now = timezone.now()
    backups, keys = settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS
    receipt.proof_until = _proof_until(now)
    receipt.backups_until = now + timedelta(days=backups) if backups else None
    if keys and Ring.RESULT in rings:
        receipt.result_keys_until = now + timedelta(days=keys)


def _proof_until(now: datetime) -> datetime:
    return now + timedelta(days=settings.HEADSHOTS_DELETION_RECORD_DAYS)


log = logging.getLogger(__name__)
# A mail server may be away this long; afterwards the page alone has the receipt.
RETRY_WINDOW = timedelta(days=2)
_GRACE = timedelta(minutes=2)


def mail_receipt(receipt: Receipt) -> bool:
    """Whether it is mailed, now or before. False for nobody to mail to, and for a mail server that refuses."""
    # With its owner: the account may go between two looks.
    receipt.refresh_from_db(from_queryset=Receipt.objects.select_related("owner"))
    if receipt.mailed_at or receipt.owner is None:
        return receipt.mailed_at is not None
    if receipt.kind == Receipt.Kind.SHOOT and receipt.owner.deletion_requested_at:
        # The account's own receipt is all that is still written to it.
        return False
    # Claimed first: a crash between the two lines costs the mail, never sends it twice.
    if not Receipt.objects.filter(pk=receipt.pk, mailed_at=None).update(mailed_at=timezone.now()):
        return True
    context = {
        "receipt": receipt,
        "proofs": receipt.destructions.all(),
        "site_url": settings.HEADSHOTS_SITE_URL,
        "photos_life": humanize_duration(settings.HEADSHOTS_PHOTO_TTL_SECONDS),
        "database_keeps": keeps_deleted_rows(),
        "headshots_life": humanize_days(settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS),
    }
    # The account is there until this mail has left; whoever reads it has none.
    title = "Your account is deleted" if receipt.kind == Receipt.Kind.ACCOUNT else receipt.title
    text = render_to_string("retention/mail/receipt.txt", context)
    try:
        send_mail(f"{title} ({receipt.reference})", text, None, [receipt.owner.email])
    except (OSError, SMTPException) as error:
        Receipt.objects.filter(pk=receipt.pk).update(mailed_at=None)
        log.error("receipt %s could not be mailed: %s", receipt.pk, type(error).__name__)
        return False
    return True


def mail_waiting_receipts() -> int:
    """Mail the receipts whose message was lost or whose mail server was away; how many."""
    now = timezone.now()
    waiting = Receipt.objects.filter(
        kind=Receipt.Kind.SHOOT,
        mailed_at=None,
        owner__isnull=False,
        owner__deletion_requested_at=None,
        begun_at__range=(now - RETRY_WINDOW, now - _GRACE),
    )
    return sum(mail_receipt(receipt) for receipt in waiting)
