"""Links in emails that confirm a withdrawal without signing in."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.urls import reverse

from headshots.payments.models import Payment

MAX_AGE = timedelta(days=7)
_SALT = "headshots.payments.withdrawal"


def confirmation_url(*, payment: Payment, at: datetime) -> str:
    """Return the URL on which the customer confirms the withdrawal that they stated at this time."""
    token = signing.dumps({"payment": str(payment.pk), "at": at.isoformat()}, salt=_SALT)
    return str(settings.HEADSHOTS_SITE_URL) + reverse("payments:confirm_withdrawal", args=[token])


def read_token(token: str) -> tuple[UUID, datetime] | None:
    """Return the payment's id and the time of the statement. Returns None for a token that is forged or too old."""
    try:
        content = signing.loads(token, salt=_SALT, max_age=MAX_AGE)
    except signing.BadSignature:
        return None
    return UUID(content["payment"]), datetime.fromisoformat(content["at"])
