"""Credits: grant, return, redo and requeue, and refund the unused ones of a deleted account."""

from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from headshots.accounts.models import User
from headshots.celery import send_on_commit
from headshots.payments.accounting.payment_state import reopen_credit
from headshots.payments.accounting.refunds import refund_credit
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import current_mode
from headshots.shoots.lifecycle import advance, record
from headshots.shoots.models import Event, Pack, Shoot
from headshots.shoots.packs.recovery import reset_for_retry

_MAX_PACKS_CHECKED = 5
_ENDED_WITHOUT_HEADSHOTS = (Pack.State.FAILED, Pack.State.CANCELED)


def open_credits(owner: User) -> QuerySet[Credit]:
    """Select the credits that an account can use now, oldest first.

    A paid credit is usable only in the mode that it was paid in."""
    paid_here = Q(payment=None) | Q(payment__mode=current_mode())
    return Credit.objects.filter(paid_here, owner=owner, state=Credit.State.OPEN).order_by("open_since")


def count_open_credits(owner: User) -> int:
    """Count the credits that an account can use now."""
    return open_credits(owner).count()


def return_credit(*, pack: Pack) -> bool:
    """Open the credit of a pack that ended without headshots again.

    Returns True if this call opened the credit."""
    with transaction.atomic():
        ended = Q(pack__state__in=_ENDED_WITHOUT_HEADSHOTS) | Q(pack__state=Pack.State.DELETED, pack__delivered_at=None)
        used = Credit.objects.filter(ended, pack=pack, state=Credit.State.USED)
        # The customer deleted the shoot when headshots were already available, so the pack counts as used.
        used = used.exclude(pack__reason=Pack.Reason.USED_AFTER_DELIVERY)
        credit = used.select_for_update(of=("self",)).first()
        if credit is None:
            return False
        record("credit.returned", shoot_id=pack.shoot_id, pack_id=pack.pk)
        reopen_credit(credit)
    return True


def request_redo(*, pack: Pack) -> Credit | None:
    """Create the credit for a free redo of a delivered pack.

    Returns None if the pack has no free redo, or if the redo was already requested."""
    if not can_redo(pack):
        return None
    try:
        with transaction.atomic():
            credit = Credit.objects.create(owner=pack.shoot.owner, source=Credit.Source.REDO, redo_of=pack)
            record("credit.redo", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=Event.Actor.PERSON)
    except IntegrityError:
        # A concurrent request has created the redo.
        return None
    return credit


def can_redo(pack: Pack) -> bool:
    """Return True if a free redo of this pack can be requested.

    A premium pack has one redo, within HEADSHOTS_REDO_DAYS of delivery. A redo has none, nor has a pack whose payment
    was refunded or disputed."""
    since = timezone.now() - timedelta(days=settings.HEADSHOTS_REDO_DAYS)
    if pack.kind != Pack.Kind.PREMIUM or pack.delivered_at is None or pack.delivered_at < since:
        return False
    credit = Credit.objects.select_related("payment").filter(pack=pack, state=Credit.State.USED).first()
    if credit is None or credit.source == Credit.Source.REDO or Credit.objects.filter(redo_of=pack).exists():
        return False
    return credit.payment is None or credit.payment.state == Payment.State.PAID


def find_pack_to_redo(owner: User) -> Pack | None:
    """Find the newest delivered pack of an account that has a free redo.

    Checks only the last few packs."""
    delivered = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREMIUM, delivered_at__isnull=False)
    newest = delivered.order_by("-delivered_at")[:_MAX_PACKS_CHECKED]
    return next((pack for pack in newest if can_redo(pack)), None)


def grant_credit(*, owner: User, reason: Credit.GrantReason) -> Credit:
    """Grant an account a free pack, and email the customer."""
    with transaction.atomic():
        credit = Credit.objects.create(
            owner=owner, source=Credit.Source.GRANT, reason=reason, pending_mail=Credit.Mail.AVAILABLE
        )
        send_on_commit("payments.send_mail", str(credit.pk))
    return credit


def requeue_pack(*, pack: Pack, actor: str = Event.Actor.STAFF) -> bool:
    """Queue a failed pack again, paid with an open credit of its owner.

    Returns True if this call queued the pack. Returns False if the shoot is closed or has another order, or if no
    credit is open. Finished headshots are kept, and all other shots start over."""
    owner = pack.shoot.owner
    with transaction.atomic():
        if not Shoot.objects.select_for_update().filter(pk=pack.shoot_id, state=Shoot.State.OPEN).exists():
            return False
        return_credit(pack=pack)
        if Pack.objects.filter(shoot=pack.shoot_id, kind=Pack.Kind.PREMIUM, state__in=Pack.LIVE).exists():
            # The customer has ordered again, and a shoot has one order at a time.
            return False
        credit = open_credits(owner).select_for_update(of=("self",)).first() if owner else None
        if credit is None or pack.state != Pack.State.FAILED or not advance(pack, Pack.State.QUEUED, actor=actor):
            return False
        # A refunded credit may still name this pack. Without a pack, that credit is opened if its refund fails.
        Credit.objects.filter(pack=pack).update(pack=None)
        credit.state, credit.pack, credit.pending_mail = Credit.State.USED, pack, Credit.Mail.NONE
        credit.save(update_fields=["state", "pack", "pending_mail"])
        record("credit.used", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=actor)
        reset_for_retry(pack)
    return True


def refund_undelivered_credits(*, owner: User) -> int:
    """Refund every paid, undelivered credit of an account that is being deleted.

    Returns how many credits were refunded. Makes no network calls and is idempotent. Call before the account's rows are
    deleted. Beat sends the refunds, closes open checkouts, and refunds later payments."""
    packs = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREMIUM)
    for pack in packs.filter(state__in=[Pack.State.QUEUED, Pack.State.RENDERING]):
        advance(pack, Pack.State.CANCELED, actor=Event.Actor.PERSON, reason=Pack.Reason.ACCOUNT_DELETED)
    for pack in packs.filter(credit__state=Credit.State.USED):
        return_credit(pack=pack)
    # No emails: the address is deleted with the account, and the page names the refunds.
    Credit.objects.filter(owner=owner).update(pending_mail=Credit.Mail.NONE)
    Refund.objects.filter(payment__owner=owner).update(mail_due=False)
    paid = Credit.objects.filter(owner=owner, state=Credit.State.OPEN, payment__amount_paid__gt=0)
    return sum(
        refund_credit(credit=credit, reason=Refund.Reason.ACCOUNT_DELETED, actor=Event.Actor.PERSON)
        for credit in paid.select_related("payment")
    )
