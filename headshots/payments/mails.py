"""Emails about payments. The address is read when an email is sent, and stored nowhere else."""

from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse

from headshots.accounts.models import User
from headshots.payments.accounting.incomplete import build_offer
from headshots.payments.checkout.early_start import find_agreed_text
from headshots.payments.models import Credit, Payment, Refund, Withdrawal
from headshots.payments.prices import format_money
from headshots.payments.product_copy import get_product_copy
from headshots.payments.seller import seller_in_words
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Pack


def send_credit_mail(*, credit: Credit) -> bool:
    """Send the email that is due about a credit.

    Returns True if this call sent the email. Raises OSError if sending fails; the email is then due again."""
    kind = credit.pending_mail
    if not kind or not Credit.objects.filter(pk=credit.pk, pending_mail=kind).update(pending_mail=Credit.Mail.NONE):
        return False
    payment = credit.payment
    context = {
        "credit": credit,
        "refunded_at": credit.open_since + timedelta(days=settings.HEADSHOTS_REFUND_DAYS),
        # A credit without a return reason is open because its refund failed, or because it was paid for too late.
        "refund_failed": bool(payment and payment.refunds.filter(state=Refund.State.FAILED).exists()),
        "money": format_money(payment.amount_paid, payment.currency) if payment and payment.amount_paid else "",
    }
    if kind == Credit.Mail.ORDERED and payment and credit.pack:
        context |= {
            "payment": payment,
            "tax_amount": format_money(payment.amount_tax, payment.currency) if payment.amount_tax else "",
            "product": get_product_copy(engine_name=credit.pack.engine),
            "seller": seller_in_words(),
            "begin_now": find_agreed_text(shoot_id=credit.pack.shoot_id, pack_id=credit.pack.pk),
            "receipt_url": settings.HEADSHOTS_SITE_URL + reverse("payments:payment", args=[payment.pk]),
        }
    try:
        about = credit.pack or (payment and payment.pack) or credit.redo_of
        return _send(credit.owner, about, kind, context)
    except OSError:
        # Beat sends the email later.
        Credit.objects.filter(pk=credit.pk, pending_mail=Credit.Mail.NONE).update(pending_mail=kind)
        raise


def send_refund_mail(*, refund: Refund) -> bool:
    """Email the customer that Stripe accepted a refund, or that the refund failed afterwards.

    Returns True if this call sent the email. Raises OSError if sending fails; the email is then due again."""
    due = Refund.objects.filter(pk=refund.pk, mail_due=True).exclude(state=Refund.State.REQUESTED)
    if not due.update(mail_due=False):
        return False
    payment = refund.payment
    is_part, failed = refund.amount < payment.amount_paid, refund.state == Refund.State.FAILED
    if failed and not is_part and Credit.objects.filter(payment=payment, state=Credit.State.OPEN).exists():
        # The email about the opened credit reports the failure.
        return False
    context = {
        "refund": refund,
        "money": format_money(refund.amount, payment.currency),
        "is_part": is_part,
        "receipt_url": settings.HEADSHOTS_SITE_URL + reverse("payments:payment", args=[payment.pk]),
    }
    try:
        return _send(payment.owner, payment.pack, "refund_failed" if failed else "refunded", context)
    except OSError:
        Refund.objects.filter(pk=refund.pk).update(mail_due=True)
        raise


def send_question_mail(*, pack: Pack) -> bool:
    """Email the customer that their pack is incomplete and awaits an answer.

    Returns True if this call sent the email. Raises OSError if sending fails; the email is then due again."""
    asking = Pack.objects.filter(pk=pack.pk, state=Pack.State.AWAITING_ANSWER)
    if not asking.filter(mail_due=True).update(mail_due=False):
        return False
    page = settings.HEADSHOTS_SITE_URL + pack.shoot.get_absolute_url()
    try:
        return _send(pack.shoot.owner, pack, "question", {"offer": build_offer(pack), "pack": pack, "page": page})
    except OSError:
        asking.update(mail_due=True)
        raise


def send_withdrawal_link(*, payment: Payment, url: str) -> bool:
    """Email the customer the link that confirms a withdrawal. Returns True if it was sent. Raises OSError."""
    return _send(payment.owner, None, "withdrawal_link", {"payment": payment, "url": url}, to_blocked=True)


def send_withdrawal_mail(*, withdrawal: Withdrawal) -> bool:
    """Acknowledge a withdrawal by email.

    Returns True if this call sent the email. Raises OSError if sending fails; the email is then due again."""
    due = Withdrawal.objects.filter(pk=withdrawal.pk, mail_due=True)
    if not due.update(mail_due=False):
        return False
    payment = withdrawal.payment
    context = {
        "withdrawal": withdrawal,
        "payment": payment,
        "product": get_product_copy(engine_name=payment.engine),
        "receipt_url": settings.HEADSHOTS_SITE_URL + reverse("payments:payment", args=[payment.pk]),
    }
    try:
        return _send(payment.owner, payment.pack, "withdrawn", context, to_blocked=True)
    except OSError:
        Withdrawal.objects.filter(pk=withdrawal.pk).update(mail_due=True)
        raise


def _send(
    owner: User | None, pack: Pack | None, kind: str, context: dict[str, object], *, to_blocked: bool = False
) -> bool:
    if owner is None or not (owner.is_active or to_blocked):
        return False
    context |= {
        "count": settings.HEADSHOTS_PREMIUM_COUNT,
        "refund_days": settings.HEADSHOTS_REFUND_DAYS,
        "upload_url": settings.HEADSHOTS_SITE_URL + reverse("shoots:new"),
        "withdrawal_url": settings.HEADSHOTS_SITE_URL + reverse("payments:withdrawals"),
        "history_url": settings.HEADSHOTS_SITE_URL + reverse("payments:history"),
        "support_email": settings.HEADSHOTS_SUPPORT_EMAIL,
        "has_site_url": bool(settings.HEADSHOTS_SITE_URL),
        "Reason": Pack.Reason,
    }
    subject = render_to_string(f"payments/mail/{kind}_subject.txt", context).strip()
    send_mail(subject, render_to_string(f"payments/mail/{kind}.txt", context), None, [owner.email])
    if pack is not None:
        # Events belong to a shoot, and a credit may not have been used with one.
        record("credit.mailed", shoot_id=pack.shoot_id, pack_id=pack.pk, codes={"mail": kind})
    return True
