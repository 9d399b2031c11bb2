"""A program of the tests: one person with many tabs, each a process, and all of them order at the same moment.

    python -m tests.chaos.order_processes [--full]

Runs on the database that the environment names, against a Stripe on this machine at which the tabs pay, and prints
what it saw as JSON."""

import gc
import json
import random
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import django

django.setup()

import requests
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.accounting.webhooks import receive_webhook
from headshots.payments.checkout.orders import Order, buy_credit, checkout_url, order_with_credit, order_with_money
from headshots.payments.errors import OrderRefused, Refusal
from headshots.payments.models import Credit, Payment
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Event, Pack, Photo, Shoot
from headshots.vault.models import Blob
from tests.chaos.forks import at_once
from tests.helpers.fake_stripe import KEY, FakeStripe, running, signed
from tests.helpers.money import HOME, ledger_sum, looks

TABS = 8
FULL = "--full" in sys.argv
Body = dict[str, Any]


class Till(FakeStripe):
    """With the page at which people pay."""

    def _route(self, method: str, path: str, asked: Body) -> Body:
        found = re.fullmatch(r"/c/pay/(\w+)", path)
        return self.pay(found[1]) if found else super()._route(method, path, asked)

    def paid_sessions(self) -> list[Body]:
        return [session for session in self.sessions.values() if session["payment_status"] == "paid"]


def new_shoot() -> Shoot:
    shoot = Shoot.objects.create(owner=BUYER, delete_after=timezone.now() + timedelta(hours=23))
    blob = Blob.objects.create(ring="source", key_id=shoot.pk, kind="photo", size=1)
    Photo.objects.create(shoot=shoot, position=0, state=Photo.State.ACCEPTED, blob=blob)
    return shoot


def grant(count: int) -> None:
    for _ in range(count):
        Credit.objects.create(owner=BUYER, source=Credit.Source.GRANT)


# What a tab does -----------------------------------------------------------------------------------------------------


def until_served(act: Callable[[], object]) -> object:
    """A database that is busy or broke a deadlock is an error page: the person presses again."""
    for _ in range(20):
        try:
            return act()
        except OperationalError:
            connection.close()
            time.sleep(0.05)
    raise AssertionError("never served")


def go_to_checkout(shoot: Shoot, count: int) -> str:
    """The address to which the order page leads; empty when it says that there is nothing to pay."""
    order = Order(shoot, looks(count), known_orders=0)
    payment = order_with_money(order=order, owner=BUYER)
    return checkout_url(payment=payment, urls=HOME)


def pay(address: str) -> None:
    """Press the button at Stripe; a checkout that has closed meanwhile says so."""
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": uuid.uuid4().hex}
    requests.post(address, headers=headers, timeout=30)


@contextmanager
def refusal() -> Iterator[None]:
    """A page may say that another tab was faster, and nothing else."""
    try:
        yield
    except OrderRefused as refused:
        if refused.refusal not in {Refusal.PACK_IS_LIVE, Refusal.ORDER_CHANGED, Refusal.HAS_OPEN_CREDIT}:
            raise


def order_and_pay(shoot: Shoot, count: int) -> None:
    def act() -> None:
        with refusal():
            if address := go_to_checkout(shoot, count):
                pay(address)

    until_served(act)


def use_credit(shoot: Shoot) -> None:
    def act() -> None:
        with refusal():
            order_with_credit(order=Order(shoot, looks(2), known_orders=0), owner=BUYER)

    until_served(act)


# What must be true afterwards ----------------------------------------------------------------------------------------


def deliver_everything() -> None:
    """All events, from several processes at once and in orders of their own."""
    webhooks = [signed(event) for event in TILL.events]

    def deliver_one() -> None:
        random.Random().shuffle(webhooks)
        for payload, signature in webhooks:
            until_served(partial(receive_webhook, payload=payload, signature=signature))

    assert at_once([deliver_one] * 4) == 0


def queued(shoot: Shoot) -> int:
    return Event.objects.filter(shoot_id=shoot.pk, name="pack.queued").count()


def hold_the_books() -> None:
    deliver_everything()
    assert ledger_sum() == TILL.balance
    paid = [session["metadata"]["payment"] for session in TILL.paid_sessions()]
    asked = [session["metadata"]["payment"] for session in TILL.sessions.values()]
    assert len(asked) == len(set(asked))
    for payment in Payment.objects.filter(pk__in=paid):
        assert payment.paid_at is not None
        assert Credit.objects.filter(payment=payment).count() == 1
    made = Pack.objects.filter(kind=Pack.Kind.PREMIUM, state=Pack.State.QUEUED)
    assert not made.exclude(credit__state=Credit.State.USED).exists()


def charges_of(shoot: Shoot) -> int:
    payments = {str(pk) for pk in Payment.objects.filter(pack__shoot=shoot).values_list("pk", flat=True)}
    return sum(session["metadata"]["payment"] in payments for session in TILL.paid_sessions())


# The storms ----------------------------------------------------------------------------------------------------------


def the_same_order_in_every_tab() -> str:
    """One checkout, to which every tab leads."""
    shoot = new_shoot()

    def act() -> None:
        assert until_served(lambda: go_to_checkout(shoot, 2))

    assert at_once([act] * TABS) == 0
    (payment,) = Payment.objects.filter(pack__shoot=shoot)
    assert [each["status"] for each in TILL.sessions.values() if each["id"] == payment.session_id] == ["open"]
    assert at_once([lambda: order_and_pay(shoot, 2)] * TABS) == 0
    hold_the_books()
    assert (charges_of(shoot), queued(shoot)) == (1, 1)
    return "1 charge"


def another_order_in_every_tab() -> str:
    """Each order closes the others' checkouts: one of them is paid, at most, and the next try is."""
    shoot = new_shoot()
    assert at_once([lambda tab=tab: order_and_pay(shoot, 2 + tab % 3) for tab in range(TABS)]) == 0
    charges = charges_of(shoot)
    hold_the_books()
    assert charges <= 1
    assert queued(shoot) == charges
    order_and_pay(shoot, 2)
    hold_the_books()
    assert (charges_of(shoot), queued(shoot)) == (1, 1)
    return f"{charges} charges in the storm"


def one_credit_in_every_tab() -> str:
    """Eight shoots want it: one of them gets it."""
    grant(1)
    shoots = [new_shoot() for _ in range(TABS)]
    assert at_once([lambda shoot=shoot: use_credit(shoot) for shoot in shoots]) == 0
    hold_the_books()
    assert sum(queued(shoot) for shoot in shoots) == 1
    return "1 pack"


def many_credits_for_one_shoot() -> str:
    """The same click in every tab: one pack, one credit."""
    grant(3)
    shoot = new_shoot()
    assert at_once([lambda: use_credit(shoot)] * TABS) == 0
    hold_the_books()
    assert queued(shoot) == 1
    assert Credit.objects.filter(owner=BUYER, state=Credit.State.OPEN).count() == 2
    return "1 credit"


def money_and_a_credit_at_once() -> str:
    """Half of the tabs want to pay, half use the pack that was paid before: it is used, and nobody pays beside it."""
    grant(1)
    shoot = new_shoot()
    works: list[Callable[[], object]] = [lambda: use_credit(shoot), lambda: order_and_pay(shoot, 2)]
    assert at_once(works * (TABS // 2)) == 0
    hold_the_books()
    charges = charges_of(shoot)
    left = Credit.objects.filter(owner=BUYER, state=Credit.State.OPEN).count()
    assert (queued(shoot), charges, left) == (1, 0, 0), (queued(shoot), charges, left)
    return "credit"


def many_clicks_on_the_price_page() -> str:
    """One purchase, paid once."""
    before = len(TILL.paid_sessions())

    def act() -> None:
        with refusal():
            address = until_served(lambda: checkout_url(payment=buy_credit(owner=BUYER), urls=HOME))
            if address:
                pay(str(address))

    assert at_once([act] * TABS) == 0
    hold_the_books()
    bought = Payment.objects.filter(owner=BUYER, pack=None).exclude(state=Payment.State.EXPIRED)
    # A tab that came between the payment and the news of it began a purchase of its own.
    assert len(TILL.paid_sessions()) - before == bought.filter(state=Payment.State.PAID).count()
    assert bought.filter(state=Payment.State.OPEN).count() <= 1
    return f"{len(TILL.paid_sessions()) - before} charges"


STORMS = (
    the_same_order_in_every_tab,
    another_order_in_every_tab,
    one_credit_in_every_tab,
    many_credits_for_one_shoot,
    money_and_a_credit_at_once,
    many_clicks_on_the_price_page,
)


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    seed_styles()
    settings.HEADSHOTS_ENGINE = "studio"
    settings.HEADSHOTS_PREMIUM_COUNT = 2
    TILL = Till()
    seen: dict[str, list[str]] = {}
    for _ in running(TILL):
        settings.HEADSHOTS_STRIPE_API_URL = TILL.url
        # What is there already is not looked at by the children's garbage collectors, and so never copied.
        gc.freeze()
        gc.disable()
        for number in range(len(STORMS) * (10 if FULL else 1)):
            storm = STORMS[number % len(STORMS)]
            BUYER = User.objects.create_user(f"buyer{number}@example.org", "a long enough pass phrase")
            seen.setdefault(storm.__name__, []).append(storm())
    print(json.dumps(seen))
