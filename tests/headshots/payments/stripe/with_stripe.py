"""A program of the tests: a purchase from the order to the refund, at Stripe itself, in its test mode.

    HEADSHOTS_TEST_STRIPE_KEY=sk_test_... pytest tests/headshots/payments/stripe/test_with_stripe.py

is how it is started. The card is given to Stripe as its own command line tool does it for `stripe trigger
checkout.session.completed`: by the address behind the button of the payment page, which is not part of the documented
interface. No webhook reaches this machine: what happened is fetched, as beat does where webhooks are lost."""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django

django.setup()

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.accounting.refunds import request_refund, send_refund
from headshots.payments.checkout.orders import Order, buy_credit, checkout_url, expire_payment, order_with_money
from headshots.payments.errors import OrderRefused
from headshots.payments.models import Credit, Payment, Refund, WebhookEvent
from headshots.payments.prices import minor_unit_digits
from headshots.payments.reconciliation import replay_events
from headshots.payments.stripe import client
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Pack, Photo, Shoot
from headshots.vault.models import Blob
from tests.helpers.money import HOME, ledger_sum, looks, session_of, state

_TIMEOUT_SECONDS = 90


def refuse_real_money() -> None:
    if settings.HEADSHOTS_LIVE_PAYMENTS or not settings.HEADSHOTS_STRIPE_SECRET_KEY.startswith(
        ("sk_test_", "rk_test_")
    ):
        sys.exit("Only a key of Stripe's test mode is taken here.")


def ask(method: str, path: str, **params: Any) -> dict[str, Any]:
    """What Stripe answers at an address that the product itself does not use."""
    answer: dict[str, Any] = client._client().raw_request(method, path, **params).data
    return answer


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Fetch what happened until it is known here."""
    give_up = time.monotonic() + _TIMEOUT_SECONDS
    while not is_so():
        assert time.monotonic() < give_up, f"not known after {_TIMEOUT_SECONDS} s: {what}"
        replay_events()
        time.sleep(float(settings.HEADSHOTS_STRIPE_API_URL == ""))


def order(shoot: Shoot, buyer: User) -> Payment:
    payment = order_with_money(order=Order(shoot, looks(2), known_orders=0), owner=buyer)
    address = checkout_url(payment=payment, urls=HOME)
    again = order_with_money(order=Order(shoot, looks(2), known_orders=0), owner=buyer)
    assert again == payment
    assert checkout_url(payment=again, urls=HOME) == address != ""
    return payment


def pay(payment: Payment) -> None:
    """Card 4242 4242 4242 4242."""
    page = f"/v1/payment_pages/{session_of(payment)}"
    ask("get", page)
    billing = {"email": "buyer@example.org", "name": "A Buyer", "address": {"country": "US", "postal_code": "94103"}}
    method = ask("post", "/v1/payment_methods", type="card", card={"token": "tok_visa"}, billing_details=billing)
    ask("post", f"{page}/confirm", payment_method=method["id"], expected_amount=payment.amount)


def balance_of(payment: Payment) -> int:
    """What Stripe's balance transactions about this payment add up to, before its fees."""
    charge = ask("get", f"/v1/payment_intents/{payment.payment_intent}")["latest_charge"]
    moved = [ask("get", f"/v1/charges/{charge}")["balance_transaction"]]
    refunds = ask("get", "/v1/refunds", payment_intent=payment.payment_intent, limit=100)["data"]
    moved += [refund["balance_transaction"] for refund in refunds]
    return sum(ask("get", f"/v1/balance_transactions/{each}")["amount"] for each in moved)


def give_back(payment: Payment, amount: int | None) -> None:
    refund = request_refund(payment=payment, reason=Refund.Reason.PERSON, amount=amount)
    assert refund is not None
    send_refund(refund=refund)
    # Asked for again it would be the same one.
    Refund.objects.filter(pk=refund.pk).update(state=Refund.State.REQUESTED)
    refund.refresh_from_db()
    send_refund(refund=refund)
    wait_until(lambda: Refund.objects.get(pk=refund.pk).state == Refund.State.SUCCEEDED, "the refund")


def buy_and_refund(shoot: Shoot, buyer: User) -> dict[str, object]:
    payment = order(shoot, buyer)
    pay(payment)
    wait_until(lambda: state(payment)[0] == "paid", "the payment")
    assert state(payment) == ("paid", "used", "queued")
    with pytest.raises(OrderRefused, match="pack_is_live"):
        order_with_money(order=Order(shoot, looks(2), known_orders=0), owner=buyer)
    payment.refresh_from_db()
    assert ledger_sum() == balance_of(payment) == payment.amount_paid == payment.amount
    give_back(payment, payment.amount // 4)
    assert state(payment) == ("paid", "used", "queued")
    assert ledger_sum() == balance_of(payment)
    give_back(payment, None)
    wait_until(lambda: state(payment)[0] == "refunded", "the whole refund")
    assert state(payment) == ("refunded", "refunded", "revoked")
    assert ledger_sum() == balance_of(payment) == 0
    return {"paid": payment.amount_paid, "currency": payment.currency}


def open_and_close(buyer: User) -> None:
    """A purchase from the price page whose checkout is closed: its event says so too."""
    payment = buy_credit(owner=buyer)
    assert checkout_url(payment=payment, urls=HOME)
    assert expire_payment(payment=payment)
    expired = WebhookEvent.objects.filter(object_id=session_of(payment), type="checkout.session.expired")
    wait_until(expired.exists, "the closed checkout")
    assert state(payment) == ("expired", None, None)


def main() -> None:
    call_command("migrate", verbosity=0)
    seed_styles()
    # What the account is paid out in: the balance is kept in it.
    settings.HEADSHOTS_CURRENCY = ask("get", "/v1/account")["default_currency"]
    settings.HEADSHOTS_STUDIO_PRICE = "19" if minor_unit_digits(settings.HEADSHOTS_CURRENCY) else "1900"
    settings.HEADSHOTS_ENGINE = "studio"
    settings.HEADSHOTS_PREMIUM_COUNT = 2
    buyer = User.objects.create_user("buyer@example.org", "a long enough pass phrase")
    shoot = Shoot.objects.create(owner=buyer, delete_after=timezone.now() + timedelta(hours=23))
    blob = Blob.objects.create(ring="source", key_id=shoot.pk, kind="photo", size=1)
    Photo.objects.create(shoot=shoot, position=0, state=Photo.State.ACCEPTED, blob=blob)
    seen = buy_and_refund(shoot, buyer)
    open_and_close(buyer)
    known = WebhookEvent.objects.exclude(payment=None).count()
    assert replay_events() == 0
    assert Credit.objects.count() == Pack.objects.filter(kind=Pack.Kind.PREMIUM).count() == 1
    print(json.dumps({**seen, "events": known}))


if __name__ == "__main__":
    refuse_real_money()
    main()
