"""Client of Stripe: create checkouts and refunds, fetch events."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import stripe
from django.conf import settings

from headshots.payments.errors import StripeRefused, StripeUnavailable
from headshots.payments.models import Payment, Refund
from headshots.payments.prices import current_mode
from headshots.payments.stripe.local import LocalStripe
from headshots.payments.stripe.objects import (
    CheckoutSession,
    StripeEvent,
    as_dict,
    read_checkout_session,
    read_event,
    read_refund,
)

if TYPE_CHECKING:
    from stripe.params import EventListParams, RefundCreateParams
    from stripe.params.checkout import SessionCreateParams

# Longer than Stripe needs, but short enough for a customer who is waiting for the page.
_TIMEOUT_SECONDS = 15
_RETRIES = 2

stripe.enable_telemetry = False
_Response = TypeVar("_Response")


def create_checkout_session(
    payment: Payment, *, name: str, description: str, submit_message: str, success_url: str, cancel_url: str
) -> CheckoutSession:
    """Create the checkout session of a payment.

    Idempotent: a repeated call returns the first session. Raises StripeUnavailable, StripeRefused.

    Args:
        payment: gives the amount, the currency and the time when the session expires.
        name: name of the product on Stripe's page.
        description: description of the product.
        submit_message: the line under the button.
        success_url: where Stripe sends a customer who has paid.
        cancel_url: where Stripe sends a customer who has not paid."""
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
        "custom_text": {"submit": {"message": submit_message}},
        "allowed_payment_method_types": list(settings.HEADSHOTS_PAYMENT_METHODS),
        "allow_promotion_codes": settings.HEADSHOTS_PROMOTION_CODES,
        "automatic_tax": {"enabled": settings.HEADSHOTS_AUTOMATIC_TAX},
        # Charge in the payment's own currency, because the ledger is kept in that currency.
        "adaptive_pricing": {"enabled": False},
        "expires_at": int(payment.expires_at.timestamp()),
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    key = f"session-{payment.pk}"
    return read_checkout_session(
        _call(lambda client: client.v1.checkout.sessions.create(params, {"idempotency_key": key}))
    )


def fetch_checkout_session(session_id: str) -> CheckoutSession:
    """Fetch the current state of a checkout session. Raises StripeUnavailable, StripeRefused."""
    return read_checkout_session(_call(lambda client: client.v1.checkout.sessions.retrieve(session_id)))


def expire_checkout_session(session_id: str) -> CheckoutSession:
    """Expire a checkout session so that it cannot be paid.

    Raises StripeUnavailable. Raises StripeRefused if the session is already paid or closed."""
    return read_checkout_session(_call(lambda client: client.v1.checkout.sessions.expire(session_id)))


def create_refund(refund: Refund) -> StripeEvent:
    """Create a refund at Stripe.

    Idempotent: a repeated call makes no second refund. Returns the refund as an event about the refund would.
    Raises StripeUnavailable, StripeRefused."""
    reasons = {Refund.Reason.DUPLICATE: "duplicate", Refund.Reason.FRAUDULENT: "fraudulent"}
    params: RefundCreateParams = {
        "payment_intent": refund.payment.payment_intent,
        "amount": refund.amount,
        "reason": reasons.get(Refund.Reason(refund.reason), "requested_by_customer"),
        "metadata": {"refund": str(refund.pk)},
    }
    key = f"refund-{refund.pk}"
    return read_refund(_call(lambda client: client.v1.refunds.create(params, {"idempotency_key": key})))


def list_refunds(payment: Payment) -> Iterator[StripeEvent]:
    """List the refunds of a payment, each as an event about the refund. Raises StripeUnavailable, StripeRefused."""
    with _translate_errors():
        pages = _client().v1.refunds.list({"payment_intent": payment.payment_intent, "limit": 100})
        for refund in pages.auto_paging_iter():
            yield read_refund(refund)


def list_events_since(since: datetime, types: Sequence[str]) -> Iterator[StripeEvent]:
    """List Stripe's events of these types since a time, newest first. Raises StripeUnavailable, StripeRefused."""
    params: EventListParams = {"types": list(types), "created": {"gte": int(since.timestamp())}, "limit": 100}
    with _translate_errors():
        pages = _client().v1.events.list(params)
        for event in pages.auto_paging_iter():
            yield read_event(as_dict(event))


def _client() -> stripe.StripeClient:
    if current_mode() == Payment.Mode.LOCAL:
        return stripe.StripeClient("sk_test_local", http_client=LocalStripe())
    url = settings.HEADSHOTS_STRIPE_API_URL or stripe.DEFAULT_API_BASE
    return _cached_client(settings.HEADSHOTS_STRIPE_SECRET_KEY, url, _RETRIES)


@cache
def _cached_client(key: str, url: str, retries: int) -> stripe.StripeClient:
    """Return a client that is reused, so that each thread keeps its connection to Stripe."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": url},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=_TIMEOUT_SECONDS),
    )


def _call(request: Callable[[stripe.StripeClient], _Response]) -> _Response:
    with _translate_errors():
        return request(_client())


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate errors of Stripe's library to StripeUnavailable and StripeRefused.

    Drops the messages, because a message may quote what was sent."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeUnavailable from error
    except stripe.StripeError as error:
        # Without an answer, and after a 5xx or a 409, the request may still have been carried out.
        if error.http_status is None or error.http_status >= 500 or error.http_status == 409:
            raise StripeUnavailable from error
        raise StripeRefused(error.code or type(error).__name__) from error
