"""What people are told by mail. The address is read when a mail is sent, and stands nowhere else."""

from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse

from headshots.payments.models import Credit
from headshots.payments.prices import as_money
from headshots.shoots.lifecycle import record


def send_credit_mail(*, credit: Credit) -> bool:
    """Whether this caller sent the mail that is due about a credit."""
    kind = credit.mail
    if not kind or not Credit.objects.filter(pk=credit.pk, mail=kind).update(mail=Credit.Mail.NONE):
        return False
    if credit.owner is None or not credit.owner.is_active:
        return False
    context = {
        "credit": credit,
        "count": settings.HEADSHOTS_PREMIUM_COUNT,
        "refund_days": settings.HEADSHOTS_REFUND_DAYS,
        "refunded_at": credit.open_since + timedelta(days=settings.HEADSHOTS_REFUND_DAYS),
        "upload": settings.HEADSHOTS_SITE_URL + reverse("shoots:new"),
        "history": settings.HEADSHOTS_SITE_URL + reverse("payments:history"),
        "has_address": bool(settings.HEADSHOTS_SITE_URL),
        "money": as_money(credit.payment.amount_paid, credit.payment.currency) if credit.payment else "",
    }
    subject = render_to_string(f"payments/mail/{kind}_subject.txt", context).strip()
    message = render_to_string(f"payments/mail/{kind}.txt", context)
    try:
        send_mail(subject, message, None, [credit.owner.email])
    except OSError:
        # Beat comes back for it.
        Credit.objects.filter(pk=credit.pk, mail=Credit.Mail.NONE).update(mail=kind)
        raise
    # Of a present that no shoot has used there is no story to tell it in.
    pack = credit.pack or (credit.payment and credit.payment.pack) or credit.redo_of
    if pack is not None:
        record("credit.mailed", shoot_id=pack.shoot_id, pack_id=pack.pk, codes={"mail": kind})
    return True
