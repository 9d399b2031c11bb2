"""Before an account goes: what it has paid and not had is given back."""

from headshots.accounts.models import User
from headshots.payments.credits import give_back_credit
from headshots.payments.models import Credit, Refund
from headshots.payments.refunds import refund_credit
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack


def close_account(*, owner: User) -> int:
    """How many paid credits were turned back into money. Asks nobody outside, may be repeated.

    To be called before the account's rows go. Beat sends the refunds, closes the checkouts that are still open, and
    gives back what is paid in spite of that: no paid credit stays open without an account."""
    packs = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREMIUM)
    for pack in packs.filter(state__in=[Pack.State.QUEUED, Pack.State.RENDERING]):
        advance(pack, Pack.State.CANCELLED, actor=Event.Actor.PERSON, reason="account_deleted")
    for pack in packs.filter(credit__state=Credit.State.USED):
        give_back_credit(pack=pack)
    # No mails: the address goes with the account, and the page says what is given back.
    Credit.objects.filter(owner=owner).update(mail=Credit.Mail.NONE)
    Refund.objects.filter(payment__owner=owner).update(mail_due=False)
    paid = Credit.objects.filter(owner=owner, state=Credit.State.OPEN, payment__amount_paid__gt=0)
    return sum(
        refund_credit(credit=credit, reason=Refund.Reason.ACCOUNT_DELETED, actor=Event.Actor.PERSON)
        for credit in paid.select_related("payment")
    )
