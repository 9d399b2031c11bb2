"""Rights to a pack: granted, returned, asked for again, closed with an account."""

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
from headshots.shoots.packs.recovery import make_again

_MAX_PACKS_CHECKED = 5
_ENDED_WITHOUT_HEADSHOTS = (Pack.State.FAILED, Pack.State.CANCELLED)


def open_credits(owner: User) -> QuerySet[Credit]:
    """What this person may use now, the oldest first. What the test checkout sold is worth nothing elsewhere."""
    paid_here = Q(payment=None) | Q(payment__mode=current_mode())
    return Credit.objects.filter(paid_here, owner=owner, state=Credit.State.OPEN).order_by("open_since")


def count_open_credits(owner: User) -> int:
    """How many packs this person has paid for and not yet ordered."""
    return open_credits(owner).count()


def return_credit(*, pack: Pack) -> bool:
    """Whether this caller made the credit of a pack that failed or was cancelled open again."""
    with transaction.atomic():
        ended = Q(pack__state__in=_ENDED_WITHOUT_HEADSHOTS) | Q(
            pack__state=Pack.State.FORGOTTEN, pack__delivered_at=None
        )
        used = Credit.objects.filter(ended, pack=pack, state=Credit.State.USED)
        # Deleted by its person's own wish, with headshots to take along: that is having it.
        used = used.exclude(pack__reason=Pack.HAD_PICTURES)
        credit = used.select_for_update(of=("self",)).first()
        if credit is None:
            return False
        record("credit.returned", shoot_id=pack.shoot_id, pack_id=pack.pk)
        reopen_credit(credit)
    return True


def request_redo(*, pack: Pack) -> Credit | None:
    """The credit for a free redo of a delivered pack; None when there is none to ask for, or no longer."""
    if not can_redo(pack):
        return None
    try:
        with transaction.atomic():
            credit = Credit.objects.create(owner=pack.shoot.owner, source=Credit.Source.REDO, redo_of=pack)
            record("credit.redo", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=Event.Actor.PERSON)
    except IntegrityError:
        # Asked twice at once.
        return None
    return credit


def can_redo(pack: Pack) -> bool:
    """One redo, within some days of delivery, of a pack that was not a redo itself and is still paid for."""
    since = timezone.now() - timedelta(days=settings.HEADSHOTS_REDO_DAYS)
    if pack.kind != Pack.Kind.PREMIUM or pack.delivered_at is None or pack.delivered_at < since:
        return False
    credit = Credit.objects.select_related("payment").filter(pack=pack, state=Credit.State.USED).first()
    if credit is None or credit.source == Credit.Source.REDO or Credit.objects.filter(redo_of=pack).exists():
        return False
    return credit.payment is None or credit.payment.state == Payment.State.PAID


def find_pack_to_redo(owner: User) -> Pack | None:
    """The last delivered pack that this person may have made once more, free."""
    delivered = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREMIUM, delivered_at__isnull=False)
    newest = delivered.order_by("-delivered_at")[:_MAX_PACKS_CHECKED]
    return next((pack for pack in newest if can_redo(pack)), None)


def grant_credit(*, owner: User, reason: str) -> Credit:
    """A right to one pack as a present of the operator's; the person is told."""
    with transaction.atomic():
        credit = Credit.objects.create(
            owner=owner, source=Credit.Source.GRANT, reason=reason, pending_mail=Credit.Mail.AVAILABLE
        )
        send_on_commit("payments.send_mail", str(credit.pk))
    return credit


def requeue_pack(*, pack: Pack, actor: str = Event.Actor.STAFF) -> bool:
    """Whether a failed pack is on its way again, with an open credit of its owner's, while its photos are there and
    its shoot has no other order.

    What is done stays; what was given up is shot anew."""
    owner = pack.shoot.owner
    with transaction.atomic():
        if not Shoot.objects.select_for_update().filter(pk=pack.shoot_id, state=Shoot.State.OPEN).exists():
            return False
        return_credit(pack=pack)
        if Pack.objects.filter(shoot=pack.shoot_id, kind=Pack.Kind.PREMIUM, state__in=Pack.LIVE).exists():
            # Its person has ordered again meanwhile, and a shoot has one order at a time.
            return False
        credit = open_credits(owner).select_for_update(of=("self",)).first() if owner else None
        if credit is None or pack.state != Pack.State.FAILED or not advance(pack, Pack.State.QUEUED, actor=actor):
            return False
        # One whose money went back before it was given back: should that money return, it is open, not this pack's.
        Credit.objects.filter(pack=pack).update(pack=None)
        credit.state, credit.pack, credit.pending_mail = Credit.State.USED, pack, Credit.Mail.NONE
        credit.save(update_fields=["state", "pack", "pending_mail"])
        record("credit.used", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=actor)
        make_again(pack)
    return True


def refund_undelivered_credits(*, owner: User) -> int:
    """How many paid credits were turned back into money. Asks nobody outside, may be repeated.

    To be called before the account's rows go. Beat sends the refunds, closes the checkouts that are still open, and
    gives back what is paid in spite of that: no paid credit stays open without an account."""
    packs = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREMIUM)
    for pack in packs.filter(state__in=[Pack.State.QUEUED, Pack.State.RENDERING]):
        advance(pack, Pack.State.CANCELLED, actor=Event.Actor.PERSON, reason="account_deleted")
    for pack in packs.filter(credit__state=Credit.State.USED):
        return_credit(pack=pack)
    # No mails: the address goes with the account, and the page says what is given back.
    Credit.objects.filter(owner=owner).update(pending_mail=Credit.Mail.NONE)
    Refund.objects.filter(payment__owner=owner).update(mail_due=False)
    paid = Credit.objects.filter(owner=owner, state=Credit.State.OPEN, payment__amount_paid__gt=0)
    return sum(
        refund_credit(credit=credit, reason=Refund.Reason.ACCOUNT_DELETED, actor=Event.Actor.PERSON)
        for credit in paid.select_related("payment")
    )
