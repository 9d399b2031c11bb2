"""Receipts by mail: once each, to the address that the account has at that moment."""

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import timezone

from headshots.retention.journal import keeps_deleted_rows
from headshots.retention.models import Receipt
from headshots.web.durations import days_in_words, in_words

log = logging.getLogger(__name__)

# A mail server may be away this long; afterwards the page alone has the receipt.
PATIENCE = timedelta(days=2)
_GRACE = timedelta(minutes=2)


def mail_receipt(receipt: Receipt) -> bool:
    """Whether it is mailed, now or before. False for nobody to mail to, and for a mail server that refuses."""
    # With its owner: the account may go between two looks.
    receipt.refresh_from_db(from_queryset=Receipt.objects.select_related("owner"))
    if receipt.mailed_at or receipt.owner is None:
        return receipt.mailed_at is not None
    if receipt.kind == Receipt.Kind.SHOOT and receipt.owner.leaving_at:
        # The account's own receipt is all that is still written to it.
        return False
    # Claimed first: a crash between the two lines costs the mail, never sends it twice.
    if not Receipt.objects.filter(pk=receipt.pk, mailed_at=None).update(mailed_at=timezone.now()):
        return True
    context = {
        "receipt": receipt,
        "proofs": receipt.destructions.all(),
        "site_url": settings.HEADSHOTS_SITE_URL,
        "photos_life": in_words(settings.HEADSHOTS_SOURCE_TTL_SECONDS),
        "database_keeps": keeps_deleted_rows(),
        "headshots_life": days_in_words(settings.HEADSHOTS_RESULT_DAYS),
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
        owner__leaving_at=None,
        begun_at__range=(now - PATIENCE, now - _GRACE),
    )
    return sum(mail_receipt(receipt) for receipt in waiting)
