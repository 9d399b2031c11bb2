"""The door to Stripe: what we ask of it, and what of its answers we read. Nothing else imports its library."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import stripe
from django.conf import settings
from django.utils.crypto import salted_hmac

from headshots.payments.errors import BadSignature, StripeAway, StripeRefused
from headshots.payments.models import Payment, Refund
from headshots.payments.prices import current_mode

if TYPE_CHECKING:
    from stripe.params import EventListParams, RefundCreateParams
    from stripe.params.checkout import SessionCreateParams

# Longer than Stripe needs; a person waits for it.
_TIMEOUT_SECONDS = 15
_RETRIES = 2
# Stripe's own default: a signed webhook is good for five minutes.
TOLERANCE_SECONDS = 300

stripe.enable_telemetry = False
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Session:
    """A checkout: `status` is open, complete or expired; `payment_status` paid, unpaid or no_payment_required."""

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
    """What we read of an event: nothing that could name a person."""

    id: str
    type: str
    created_at: datetime
    object_id: str = ""
    payment_intent: str = ""
    amount: int | None = None
    amount_tax: int | None = None
    currency: str = ""
    status: str = ""
    # What we gave to the session or the refund as metadata.
    payment_id: UUID | None = None
    refund_id: UUID | None = None


def create_session(payment: Payment, *, name: str, description: str, promise: str, home: str, back: str) -> Session:
    """The checkout of this payment: asked again, it is the same one. Raises StripeAway, StripeRefused.

    name, description: what is sold; promise: the line under the button; home, back: where Stripe sends the person
    once they have paid, or not."""
    ids = {"payment": str(payment.pk)}
    params: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": str(payment.pk),
        "metadata": ids,
        "payment_intent_data": {"metadata": ids},
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": payment.currency,
                    "unit_amount": payment.amount,
                    "product_data": {"name": name, "description": description},
                },
            }
        ],
        "custom_text": {"submit": {"message": promise}},
        "allowed_payment_method_types": list(settings.HEADSHOTS_PAYMENT_METHODS),
        "allow_promotion_codes": settings.HEADSHOTS_PROMOTION_CODES,
        "automatic_tax": {"enabled": settings.HEADSHOTS_AUTOMATIC_TAX},
        # In the currency that the ledger is kept in.
        "adaptive_pricing": {"enabled": False},
        "expires_at": int(payment.expires_at.timestamp()),
        "success_url": home,
        "cancel_url": back,
    }
    key = f"session-{payment.pk}"
    return _session(_ask(lambda client: client.v1.checkout.sessions.create(params, {"idempotency_key": key})))


def fetch_session(session_id: str) -> Session:
    """How this checkout stands now. Raises StripeAway, StripeRefused."""
    return _session(_ask(lambda client: client.v1.checkout.sessions.retrieve(session_id)))


def expire_session(session_id: str) -> Session:
    """Close a checkout: from then on it cannot be paid. Raises StripeAway, StripeRefused (it was paid or closed)."""
    return _session(_ask(lambda client: client.v1.checkout.sessions.expire(session_id)))


def create_refund(refund: Refund) -> StripeEvent:
    """Money back: asked again, it is the same refund. Returns what an event about it would say.

    Raises StripeAway, StripeRefused."""
    reasons = {Refund.Reason.DUPLICATE: "duplicate", Refund.Reason.FRAUDULENT: "fraudulent"}
    params: RefundCreateParams = {
        "payment_intent": refund.payment.payment_intent,
        "amount": refund.amount,
        "reason": reasons.get(Refund.Reason(refund.reason), "requested_by_customer"),
        "metadata": {"refund": str(refund.pk)},
    }
    key = f"refund-{refund.pk}"
    return _about_refund(_ask(lambda client: client.v1.refunds.create(params, {"idempotency_key": key})))


def refunds_of(payment: Payment) -> Iterator[StripeEvent]:
    """What events about each refund of this payment would say. Raises StripeAway, StripeRefused."""
    with _errors():
        pages = _client().v1.refunds.list({"payment_intent": payment.payment_intent, "limit": 100})
        for refund in pages.auto_paging_iter():
            yield _about_refund(refund)


def events_since(since: datetime, types: Sequence[str]) -> Iterator[StripeEvent]:
    """Events of these types that Stripe has made since then, newest first. Raises StripeAway, StripeRefused."""
    params: EventListParams = {"types": list(types), "created": {"gte": int(since.timestamp())}, "limit": 100}
    with _errors():
        pages = _client().v1.events.list(params)
        for event in pages.auto_paging_iter():
            yield _read_event(_plain(event))


def read_webhook(payload: bytes, signature: str) -> StripeEvent:
    """The event in a webhook's body. Raises BadSignature."""
    try:
        stripe.WebhookSignature.verify_header(payload, signature, webhook_secret(), TOLERANCE_SECONDS)
        return _read_event(json.loads(payload))
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise BadSignature from error


def sign_webhook(payload: str) -> str:
    """The header with which a webhook of the test checkout comes."""
    return str(stripe.WebhookSignature.generate_signature_header(payload, webhook_secret()))


def webhook_secret() -> str:
    """The secret that webhooks are signed with here; none when nothing is sold."""
    if current_mode() == Payment.Mode.LOCAL:
        return "whsec_" + salted_hmac("headshots.payments.local", "webhook").hexdigest()
    return str(settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET)


def _client() -> stripe.StripeClient:
    if current_mode() == Payment.Mode.LOCAL:
        from headshots.payments.local_stripe import LocalStripe

        return stripe.StripeClient("sk_test_local", http_client=LocalStripe())
    url = settings.HEADSHOTS_STRIPE_API_URL or stripe.DEFAULT_API_BASE
    return _client_of(settings.HEADSHOTS_STRIPE_SECRET_KEY, url, _RETRIES)


@cache
def _client_of(key: str, url: str, retries: int) -> stripe.StripeClient:
    """Kept, and with it the connection: each thread has one of its own."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": url},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=_TIMEOUT_SECONDS),
    )


def _ask(question: Callable[[stripe.StripeClient], _Answer]) -> _Answer:
    with _errors():
        return question(_client())


@contextmanager
def _errors() -> Iterator[None]:
    """Stripe's errors as ours. Their texts are dropped: they may quote what was sent."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeAway from error
    except stripe.StripeError as error:
        # Only what Stripe answered is a no; a 5xx may have been done all the same.
        if error.http_status is None or error.http_status >= 500 or error.http_status == 409:
            raise StripeAway from error
        raise StripeRefused(error.code or type(error).__name__) from error


def _session(answer: stripe.checkout.Session) -> Session:
    body = _plain(answer)
    return Session(
        id=body["id"],
        url=body.get("url") or "",
        status=body["status"],
        payment_status=body["payment_status"],
        payment_intent=_id_of(body.get("payment_intent")),
        amount=body.get("amount_total"),
        amount_tax=(body.get("total_details") or {}).get("amount_tax"),
        currency=body.get("currency") or "",
    )


def _about_refund(answer: stripe.Refund) -> StripeEvent:
    body = _plain(answer)
    return _read_event({"id": "", "type": "refund.updated", "created": body["created"], "data": {"object": body}})


def _read_event(body: Mapping[str, Any]) -> StripeEvent:
    """Raises KeyError, TypeError, ValueError for what is no event."""
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


def _plain(answer: stripe.StripeObject) -> dict[str, Any]:
    return answer.to_dict()


def _id_of(value: object) -> str:
    """Stripe gives an id, or the object itself where it was asked to."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return str(value or "")[:255]


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None
