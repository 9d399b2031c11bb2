"""A local replacement for Stripe's API, for use without a Stripe key.

Answers the requests of Stripe's library from the database. Supports checkout sessions and refunds, but takes no money.
Reports changes as Stripe does, in signed webhooks.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe
from django.db import transaction
from django.urls import reverse

from headshots.payments.models import LocalStripeObject
from headshots.payments.stripe.objects import sign_webhook

_Body = dict[str, Any]
# Called with the `payload` and `signature` of each webhook. PaymentsConfig adds the product's own endpoint.
webhook_endpoints: list[Callable[..., object]] = []
_SESSION = re.compile(r"/v1/checkout/sessions/(cs_test_\w+)(/expire)?")


class LocalStripe(stripe.HTTPClient):
    """An HTTP client for Stripe's library that answers from the database."""

    name = "local"

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer one request. Returns the body, the status and the headers."""
        address = urlsplit(url)
        params = dict(parse_qsl(post_data if isinstance(post_data, str) else address.query))
        try:
            body = _handle_request(method.upper(), address.path, params, (headers or {}).get("Idempotency-Key"))
        except _Refused as refused:
            error = {"type": "invalid_request_error", "code": str(refused), "message": str(refused)}
            return json.dumps({"error": error}), 400, {}
        return json.dumps(body), 200, {}

    def close(self) -> None:
        """Do nothing, because no connection is open."""


class _Refused(Exception):
    """A request that Stripe would refuse. The message is Stripe's error code."""


def find_session(session_id: str) -> _Body | None:
    """Return a session of the test checkout in its current state, or None.

    A session past its expiry is returned as expired."""
    row = LocalStripeObject.objects.filter(pk=session_id).first()
    if row is None:
        return None
    is_over = row.body["status"] == "open" and row.body["expires_at"] <= time.time()
    body: _Body = row.body
    return body | {"status": "expired", "url": None} if is_over else body


def pay_session(session_id: str) -> _Body | None:
    """Pay a session of the test checkout, if the session is open, and send the webhook.

    Returns the session in its new state, or None if there is none."""
    with transaction.atomic():
        LocalStripeObject.objects.select_for_update().filter(pk=session_id).exists()
        session = find_session(session_id)
        if session is None or session["status"] != "open":
            return session
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": _new_id("pi"), "url": None}
        LocalStripeObject.objects.filter(pk=session_id).update(body=session)
    _send_webhook("checkout.session.completed", session)
    return session


def _handle_request(method: str, path: str, params: dict[str, str], key: str | None) -> _Body:
    if (method, path) == ("POST", "/v1/checkout/sessions"):
        return _create_session(params, key)
    if found := _SESSION.fullmatch(path):
        return _expire(found[1]) if found[2] else _get(found[1])
    if (method, path) == ("POST", "/v1/refunds"):
        return _create_refund(params, key)
    if (method, path) == ("GET", "/v1/refunds"):
        refunds = _refunds(params["payment_intent"])
        return {"object": "list", "url": path, "has_more": False, "data": refunds}
    raise _Refused("unknown_address")


def _create_session(params: dict[str, str], key: str | None) -> _Body:
    session_id = _new_id("cs_test", key)
    session = {
        "id": session_id,
        "object": "checkout.session",
        "status": "open",
        "payment_status": "unpaid",
        "payment_intent": None,
        "amount_total": int(params["line_items[0][price_data][unit_amount]"]),
        "total_details": {"amount_tax": 0},
        "currency": params["line_items[0][price_data][currency]"],
        "metadata": {"payment": params["metadata[payment]"]},
        "expires_at": int(params["expires_at"]),
        "success_url": params["success_url"],
        "cancel_url": params["cancel_url"],
        "url": reverse("payments:test_checkout", args=[session_id]),
        # Shown on the test checkout page.
        "name": params["line_items[0][price_data][product_data][name]"],
        "description": params["line_items[0][price_data][product_data][description]"],
        "submit_message": params["custom_text[submit][message]"],
    }
    LocalStripeObject.objects.get_or_create(pk=session_id, defaults={"body": session})
    return _get(session_id)


def _get(session_id: str) -> _Body:
    session = find_session(session_id)
    if session is None:
        raise _Refused("resource_missing")
    return session


def _expire(session_id: str) -> _Body:
    with transaction.atomic():
        LocalStripeObject.objects.select_for_update().filter(pk=session_id).exists()
        session = _get(session_id)
        if session["status"] != "open":
            raise _Refused("checkout_session_not_open")
        session |= {"status": "expired", "url": None}
        LocalStripeObject.objects.filter(pk=session_id).update(body=session)
    _send_webhook("checkout.session.expired", session)
    return session


def _create_refund(params: dict[str, str], key: str | None) -> _Body:
    refund_id, payment_intent = _new_id("re", key), params["payment_intent"]
    with transaction.atomic():
        paid = LocalStripeObject.objects.select_for_update().filter(body__payment_intent=payment_intent)
        session = paid.filter(body__object="checkout.session").get().body
        refunded = sum(refund["amount"] for refund in _refunds(payment_intent) if refund["id"] != refund_id)
        if refunded + int(params["amount"]) > session["amount_total"]:
            raise _Refused("charge_already_refunded")
        refund = {
            "id": refund_id,
            "object": "refund",
            "amount": int(params["amount"]),
            "currency": session["currency"],
            "status": "succeeded",
            "payment_intent": payment_intent,
            "metadata": {"refund": params["metadata[refund]"]},
            "created": int(time.time()),
        }
        row, is_new = LocalStripeObject.objects.get_or_create(pk=refund_id, defaults={"body": refund})
    if is_new:
        _send_webhook("refund.created", refund)
    body: _Body = row.body
    return body


def _refunds(payment_intent: str) -> list[_Body]:
    rows = LocalStripeObject.objects.filter(body__object="refund", body__payment_intent=payment_intent)
    return [row.body for row in rows]


def _send_webhook(kind: str, about: _Body) -> None:
    event = {"id": _new_id("evt"), "type": kind, "created": int(time.time()), "data": {"object": about}}
    payload = json.dumps(event)
    for endpoint in webhook_endpoints:
        endpoint(payload=payload.encode(), signature=sign_webhook(payload))


def _new_id(kind: str, key: str | None = None) -> str:
    """Return a new id, or the id that belongs to an idempotency key."""
    return f"{kind}_{hashlib.sha256(key.encode()).hexdigest()[:24] if key else secrets.token_hex(12)}"
