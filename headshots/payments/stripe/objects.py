"""Frozen dataclasses for Stripe's checkout sessions and events, and the signatures of webhooks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe
from django.conf import settings
from django.utils.crypto import salted_hmac

from headshots.payments.errors import BadSignature
from headshots.payments.models import Payment
from headshots.payments.prices import current_mode

# The default of Stripe's library: a signature is valid for five minutes.
TOLERANCE_SECONDS = 300


@dataclass(frozen=True)
class CheckoutSession:
    """A checkout session, reduced to the fields that are used here.

    Attributes:
        status: open, complete or expired.
        payment_status: paid, unpaid or no_payment_required.
        amount: total in the currency's smallest unit, including tax."""

    id: str
    url: str
    status: str
    payment_status: str
    payment_intent: str
    amount: int | None
    amount_tax: int | None
    currency: str

    @property
    def is_paid(self) -> bool:
        return self.status == "complete" and self.payment_status in {"paid", "no_payment_required"}


@dataclass(frozen=True)
class StripeEvent:
    """An event, reduced to the fields that are used here. None of them can identify a customer."""

    id: str
    type: str
    created_at: datetime
    object_id: str = ""
    payment_intent: str = ""
    amount: int | None = None
    amount_tax: int | None = None
    currency: str = ""
    status: str = ""
    # The ids that were sent to Stripe as metadata of the session or the refund.
    payment_id: UUID | None = None
    refund_id: UUID | None = None


def read_webhook(payload: bytes, signature: str) -> StripeEvent:
    """Verify a webhook and read its event.

    Raises BadSignature, also for a body that holds no event."""
    try:
        stripe.WebhookSignature.verify_header(payload, signature, webhook_secret(), TOLERANCE_SECONDS)
        return read_event(json.loads(payload))
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise BadSignature from error


def sign_webhook(payload: str) -> str:
    """Return the signature header for a webhook of the test checkout."""
    return str(stripe.WebhookSignature.generate_signature_header(payload, webhook_secret()))


def webhook_secret() -> str:
    """Return the secret that webhooks are signed with; empty if none is set."""
    if current_mode() == Payment.Mode.LOCAL:
        return "whsec_" + salted_hmac("headshots.payments.local", "webhook").hexdigest()
    return str(settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET)


def read_checkout_session(answer: stripe.checkout.Session) -> CheckoutSession:
    """Convert Stripe's session to a CheckoutSession."""
    body = as_dict(answer)
    return CheckoutSession(
        id=body["id"],
        url=body.get("url") or "",
        status=body["status"],
        payment_status=body["payment_status"],
        payment_intent=_id_of(body.get("payment_intent")),
        amount=body.get("amount_total"),
        amount_tax=(body.get("total_details") or {}).get("amount_tax"),
        currency=body.get("currency") or "",
    )


def read_refund(answer: stripe.Refund) -> StripeEvent:
    """Convert Stripe's refund to the event that would report the refund."""
    body = as_dict(answer)
    return read_event({"id": "", "type": "refund.updated", "created": body["created"], "data": {"object": body}})


def read_event(body: Mapping[str, Any]) -> StripeEvent:
    """Convert the JSON of an event to a StripeEvent.

    Raises KeyError, TypeError or ValueError if the JSON is not an event."""
    event_id, kind, created = str(body["id"]), str(body["type"])[:64], datetime.fromtimestamp(int(body["created"]), UTC)
    about = (body.get("data") or {}).get("object") or {}
    is_session = about.get("object") == "checkout.session"
    metadata = about.get("metadata") or {}
    return StripeEvent(
        id=event_id,
        type=kind,
        created_at=created,
        object_id=_id_of(about.get("id")),
        payment_intent=_id_of(about.get("payment_intent")),
        amount=about.get("amount_total") if is_session else about.get("amount"),
        amount_tax=(about.get("total_details") or {}).get("amount_tax"),
        currency=str(about.get("currency") or "")[:3],
        status=str(about.get("payment_status" if is_session else "status") or "")[:32],
        payment_id=_uuid(metadata.get("payment")),
        refund_id=_uuid(metadata.get("refund")),
    )


def as_dict(answer: stripe.StripeObject) -> dict[str, Any]:
    return answer.to_dict()


def _id_of(value: object) -> str:
    """Return the id in a field that holds an id or an expanded object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return str(value or "")[:255]


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None
