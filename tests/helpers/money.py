"""Short ways through the purchase of a pack, for tests."""

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.checkout.orders import Order, checkout_url, count_orders, order_with_money
from headshots.payments.models import Credit, LedgerEntry, Payment
from headshots.payments.product_copy import CheckoutUrls
from headshots.shoots.models import Pack, Photo, Shoot, Style
from headshots.vault.models import Blob
from tests.helpers.fake_stripe import Body, FakeStripe, signed

HOME = CheckoutUrls("http://testserver")
WEBHOOK = "/stripe/webhook/"


def looks(count: int = 3) -> list[Style]:
    return list(Style.objects.filter(active=True)[:count])


def bare_shoot(owner: User) -> Shoot:
    """A shoot with a usable photo as far as an order is concerned; nothing of it lies in the vault."""
    shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + timedelta(hours=23))
    blob = Blob.objects.create(ring="source", key_id=shoot.pk, kind="photo", size=1)
    Photo.objects.create(shoot=shoot, position=0, state=Photo.State.ACCEPTED, blob=blob)
    return shoot


def order_of(shoot: Shoot, count: int = 3) -> Order:
    return Order(shoot, looks(count), known_orders=count_orders(shoot))


def open_checkout(shoot: Shoot, owner: User | None = None) -> Payment:
    """A payment of this shoot's pack, its checkout open at Stripe."""
    buyer = owner or shoot.owner
    assert buyer is not None
    payment = order_with_money(order=order_of(shoot), owner=buyer)
    assert checkout_url(payment=payment, urls=HOME)
    return payment


def paid(stripe: FakeStripe, shoot: Shoot) -> Payment:
    """The same, paid, and its webhook delivered."""
    payment = open_checkout(shoot)
    deliver(stripe.pay(session_of(payment)))
    payment.refresh_from_db()
    return payment


def session_of(payment: Payment) -> str:
    assert payment.session_id is not None
    return payment.session_id


def deliver(*events: Body) -> list[int]:
    """What the webhook answers to each of these events."""
    statuses = []
    for event in events:
        body, signature = signed(event)
        answer = Client().post(WEBHOOK, body, content_type="application/json", headers={"Stripe-Signature": signature})
        statuses.append(answer.status_code)
    return statuses


def ledger_sum() -> int:
    return LedgerEntry.objects.aggregate(sum=Sum("amount"))["sum"] or 0


def states(*payments: Payment) -> Iterable[tuple[str, str | None, str | None]]:
    """Of payment, credit and pack, as the database has them."""
    for payment in payments:
        fresh = Payment.objects.select_related("pack").get(pk=payment.pk)
        credit = Credit.objects.filter(payment=fresh).first()
        pack = Pack.objects.filter(pk=fresh.pack_id).first() if fresh.pack_id else None
        yield fresh.state, credit and credit.state, pack and pack.state


def state(payment: Payment) -> tuple[str, str | None, str | None]:
    """Of one payment, its credit and its pack."""
    (found,) = states(payment)
    return found
