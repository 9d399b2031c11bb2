"""Mails that did not arrive, sent again. The address is read from the account when they are."""

from headshots.celery import send_on_commit
from headshots.dashboard.actions.audit_actions import Action, Answers, Changed
from headshots.dashboard.actions.targets import load_credit, load_pack, load_receipt
from headshots.payments.models import Credit, Refund
from headshots.retention.models import Receipt
from headshots.shoots.models import Pack


def _why_no_receipt(receipt: Receipt) -> str:
    if receipt.owner is None:
        return "The account is gone: there is nobody to send it to. Its page is still there."
    return "" if receipt.mailed_at else "It has not been sent yet; beat sends it."


def _resend_receipt(receipt: Receipt, answers: Answers) -> str:
    if not Receipt.objects.filter(pk=receipt.pk, mailed_at=receipt.mailed_at).update(mailed_at=None):
        raise Changed
    send_on_commit("retention.mail_receipt", str(receipt.pk))
    return "The receipt is on its way again."


def _why_no_credit_mail(credit: Credit) -> str:
    if credit.owner is None or not credit.owner.is_active:
        return "There is nobody to send it to."
    refund = _refund_of(credit)
    if credit.state != Credit.State.OPEN and refund is None:
        return "There is nothing to be told of it."
    return "It is about to be sent." if credit.pending_mail or (refund and refund.mail_due) else ""


def _refund_of(credit: Credit) -> Refund | None:
    """The last refund that a mail tells of, of a credit whose money went back."""
    if credit.state != Credit.State.REFUNDED or credit.payment is None:
        return None
    return credit.payment.refunds.filter(state__in=Refund.ACCEPTED_STATES).last()


def _resend_credit_mail(credit: Credit, answers: Answers) -> str:
    refund = _refund_of(credit)
    if refund is not None:
        if not Refund.objects.filter(pk=refund.pk, mail_due=False).update(mail_due=True):
            raise Changed
        send_on_commit("payments.mail_refund", str(refund.pk))
        return "The mail is on its way again."
    is_new = credit.payment is not None and credit.payment.pack is None and not credit.return_reason
    kind = Credit.Mail.PURCHASED if is_new else Credit.Mail.AVAILABLE
    if not Credit.objects.filter(pk=credit.pk, state=Credit.State.OPEN, pending_mail=Credit.Mail.NONE).update(
        pending_mail=kind
    ):
        raise Changed
    send_on_commit("payments.send_mail", str(credit.pk))
    return "The mail is on its way again."


def _why_no_delivery_mail(pack: Pack) -> str:
    if pack.state != Pack.State.DELIVERED or pack.kind == Pack.Kind.TRIAL:
        return "Only a delivered pack has such a mail."
    if pack.shoot.owner is None or not pack.shoot.owner.is_active:
        return "There is nobody to send it to."
    return "It is about to be sent." if pack.mail_due else ""


def _resend_delivery_mail(pack: Pack, answers: Answers) -> str:
    if not Pack.objects.filter(pk=pack.pk, state=Pack.State.DELIVERED, mail_due=False).update(mail_due=True):
        raise Changed
    send_on_commit("shoots.mail_delivered", str(pack.pk))
    return "The mail is on its way again."


ACTIONS = (
    Action(
        code="resend-delivery-mail",
        title="Send the delivery mail again",
        question="Send the mail that says that this pack is ready again?",
        effects=("The mail goes to the address that the account has now.",),
        way_back="A mail that was sent cannot be taken back.",
        subject="pack",
        permission="dashboard.resend_mail",
        load=load_pack,
        state_of=lambda pack: f"{pack.state} {pack.mail_due}",
        why_not=_why_no_delivery_mail,
        do=_resend_delivery_mail,
        shoot_of=lambda pack: pack.shoot_id,
    ),
    Action(
        code="resend-receipt",
        title="Send the receipt again",
        question="Send this deletion receipt again?",
        effects=("The receipt goes to the address that the account has now.",),
        way_back="A mail that was sent cannot be taken back.",
        subject="receipt",
        permission="dashboard.resend_mail",
        load=load_receipt,
        state_of=lambda receipt: str(receipt.mailed_at or ""),
        why_not=_why_no_receipt,
        do=_resend_receipt,
        shoot_of=lambda receipt: receipt.shoot_id,
    ),
    Action(
        code="resend-credit-mail",
        title="Send its mail again",
        question="Send the mail about this credit again?",
        effects=("The mail goes to the address that the account has now.",),
        way_back="A mail that was sent cannot be taken back.",
        subject="credit",
        permission="dashboard.resend_mail",
        load=load_credit,
        state_of=lambda credit: credit.state,
        why_not=_why_no_credit_mail,
        do=_resend_credit_mail,
    ),
)
