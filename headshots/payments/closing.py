"""Before an account goes: what it has paid and not had is given back. And what is known of it, for an export."""

from headshots.accounts.models import User
from headshots.payments.credits import give_back_credit
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import as_money
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
    paid = Credit.objects.filter(owner=owner, state=Credit.State.OPEN, payment__amount_paid__gt=0)
    return sum(
        refund_credit(credit=credit, reason=Refund.Reason.ACCOUNT_DELETED, actor=Event.Actor.PERSON)
        for credit in paid.select_related("payment")
    )


def describe_account(owner: User) -> dict[str, object]:
    """What there is about this person's money, in words that they can read."""
    payments = Payment.objects.filter(owner=owner).prefetch_related("refunds").order_by("created_at")
    return {
        "payments": [_payment(payment) for payment in payments],
        "packs_to_order": [
            {"from": credit.source, "state": credit.state, "since": credit.open_since}
            for credit in Credit.objects.filter(owner=owner).order_by("created_at")
        ],
    }


def _payment(payment: Payment) -> dict[str, object]:
    return {
        "id": payment.pk,
        "state": payment.state,
        "amount": as_money(payment.amount_paid or payment.amount, payment.currency),
        "tax": as_money(payment.amount_tax, payment.currency),
        "asked_for_at": payment.created_at,
        "paid_at": payment.paid_at,
        "stripe_session": payment.session_id,
        "stripe_payment": payment.payment_intent or None,
        "is_a_test": payment.mode != Payment.Mode.LIVE,
        "refunds": [
            {"amount": as_money(refund.amount, payment.currency), "state": refund.state, "at": refund.created_at}
            for refund in payment.refunds.all()
        ],
    }
