"""Staff actions on emails: send one again that did not arrive."""

from headshots.celery import send_on_commit
from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_certificate, load_credit, load_pack
from headshots.payments.models import Credit, Refund
from headshots.retention.models import DeletionCertificate
from headshots.shoots.models import Pack


def _certificate_blocked_reason(certificate: DeletionCertificate) -> str:
    if certificate.owner is None:
        return "The account has been deleted, so the certificate can't be sent. Its page still exists."
    return "" if certificate.mailed_at else "It hasn't been sent yet. It will be sent automatically."


def _resend_certificate(certificate: DeletionCertificate, answers: Answers) -> str:
    if not DeletionCertificate.objects.filter(pk=certificate.pk, mailed_at=certificate.mailed_at).update(
        mailed_at=None
    ):
        raise StaleTargetError
    send_on_commit("retention.mail_certificate", str(certificate.pk))
    return "The certificate is being sent again."


def _credit_mail_blocked_reason(credit: Credit) -> str:
    if credit.owner is None or not credit.owner.is_active:
        return "The account is blocked or deleted."
    refund = _refund_of(credit)
    if credit.state != Credit.State.OPEN and refund is None:
        return "There is no email to send about this credit."
    return "This email is already waiting to be sent." if credit.pending_mail or (refund and refund.mail_due) else ""


def _refund_of(credit: Credit) -> Refund | None:
    """Return the last accepted refund of a refunded credit's payment. Returns None if there is none."""
    if credit.state != Credit.State.REFUNDED or credit.payment is None:
        return None
    return credit.payment.refunds.filter(state__in=Refund.ACCEPTED_STATES).last()


def _resend_credit_mail(credit: Credit, answers: Answers) -> str:
    refund = _refund_of(credit)
    if refund is not None:
        if not Refund.objects.filter(pk=refund.pk, mail_due=False).update(mail_due=True):
            raise StaleTargetError
        send_on_commit("payments.mail_refund", str(refund.pk))
        return "The email is being sent again."
    is_new = credit.payment is not None and credit.payment.pack is None and not credit.return_reason
    kind = Credit.Mail.PURCHASED if is_new else Credit.Mail.AVAILABLE
    if not Credit.objects.filter(pk=credit.pk, state=Credit.State.OPEN, pending_mail=Credit.Mail.NONE).update(
        pending_mail=kind
    ):
        raise StaleTargetError
    send_on_commit("payments.send_mail", str(credit.pk))
    return "The email is being sent again."


def _delivery_mail_blocked_reason(pack: Pack) -> str:
    if pack.state != Pack.State.DELIVERED or pack.kind == Pack.Kind.TRIAL:
        return "Only delivered packs have a delivery email."
    if pack.shoot.owner is None or not pack.shoot.owner.is_active:
        return "The account is blocked or deleted."
    return "This email is already waiting to be sent." if pack.mail_due else ""


def _resend_delivery_mail(pack: Pack, answers: Answers) -> str:
    if not Pack.objects.filter(pk=pack.pk, state=Pack.State.DELIVERED, mail_due=False).update(mail_due=True):
        raise StaleTargetError
    send_on_commit("shoots.mail_delivered", str(pack.pk))
    return "The email is being sent again."


ACTIONS = (
    Action(
        code="resend-delivery-mail",
        title="Resend delivery email",
        question="Send the delivery email for this pack again?",
        effects=("The email is sent to the account's current email address.",),
        undo_note="A sent email can't be recalled.",
        target_type="pack",
        permission="dashboard.resend_mail",
        load=load_pack,
        state_of=lambda pack: f"{pack.state} {pack.mail_due}",
        blocked_reason=_delivery_mail_blocked_reason,
        do=_resend_delivery_mail,
        shoot_of=lambda pack: pack.shoot_id,
    ),
    Action(
        code="resend-certificate",
        title="Resend certificate",
        question="Send this deletion certificate again?",
        effects=("The certificate is sent to the account's current email address.",),
        undo_note="A sent email can't be recalled.",
        target_type="certificate",
        permission="dashboard.resend_mail",
        load=load_certificate,
        state_of=lambda certificate: str(certificate.mailed_at or ""),
        blocked_reason=_certificate_blocked_reason,
        do=_resend_certificate,
        shoot_of=lambda certificate: certificate.shoot_id,
    ),
    Action(
        code="resend-credit-mail",
        title="Resend credit email",
        question="Send the email about this credit again?",
        effects=("The email is sent to the account's current email address.",),
        undo_note="A sent email can't be recalled.",
        target_type="credit",
        permission="dashboard.resend_mail",
        load=load_credit,
        state_of=lambda credit: credit.state,
        blocked_reason=_credit_mail_blocked_reason,
        do=_resend_credit_mail,
    ),
)
