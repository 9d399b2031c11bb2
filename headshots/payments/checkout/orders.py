"""Order a pack: with an open credit, or with money at Stripe's checkout.

A shoot has one order at a time, and a pack has at most one payment. Before an order replaces another one, the other
order's checkout is expired at Stripe. So a customer can never pay for two orders of a shoot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.celery import send_on_commit
from headshots.payments.accounting.credits import open_credits
from headshots.payments.accounting.payment_state import apply_checkout_session, close_payment, expire_unopened_payment
from headshots.payments.checkout.deadlines import MAX_CHECKOUT_TIME, checkout_deadline, has_time_left
from headshots.payments.checkout.early_start import record_request_to_begin
from headshots.payments.errors import OrderRefused, Refusal, StripeRefused
from headshots.payments.models import Credit, Payment
from headshots.payments.prices import current_mode, get_price, require_for_sale
from headshots.payments.product_copy import CheckoutUrls, get_product_copy
from headshots.payments.stripe import client
from headshots.payments.stripe.objects import CheckoutSession
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, Headshot, Pack, Pause, Shoot, Style
from headshots.shoots.packs.orders import CannotOrder, order_premium
from headshots.shoots.pauses import is_paused

_REFUSAL_CODES = {
    CannotOrder.Reason.SHOOT_CLOSED: Refusal.PHOTOS_GONE,
    CannotOrder.Reason.NO_PHOTO: Refusal.NO_PHOTO,
    CannotOrder.Reason.PACK_IS_LIVE: Refusal.PACK_IS_LIVE,
    CannotOrder.Reason.TOO_FEW_LOOKS: Refusal.TOO_FEW_LOOKS,
}


@dataclass(frozen=True)
class Order:
    """An order for one pack of a shoot.

    Attributes:
        styles: the looks of the pack.
        known_orders: number of orders when the page was shown, used to refuse a repeated order.
        keep_photos: True if the photos are kept for another order.
        begin_now: version of the text with which the customer asked to begin before the right of withdrawal ends."""

    shoot: Shoot
    styles: Sequence[Style]
    known_orders: int
    keep_photos: bool = False
    begin_now: str = ""


def count_orders(shoot: Shoot) -> int:
    """Count the premium packs of a shoot, without unpaid and canceled ones.

    An order page stores the count, so that a repeated order is noticed."""
    unpaid = (Pack.State.AWAITING_PAYMENT, Pack.State.CANCELED)
    return shoot.packs.filter(kind=Pack.Kind.PREMIUM).exclude(state__in=unpaid).count()


def find_unpaid_payment(shoot: Shoot) -> Payment | None:
    """Find the unpaid payment of the pack of a shoot that awaits payment."""
    waiting = Payment.objects.select_related("pack").filter(pack__shoot=shoot, state__in=Payment.UNPAID)
    return waiting.filter(pack__state=Pack.State.AWAITING_PAYMENT).first()


def order_with_credit(*, order: Order, owner: User, actor: str = Event.Actor.PERSON) -> Pack | None:
    """Order a pack with the owner's oldest open credit, and queue the pack.

    Returns None if the owner has no open credit. Raises OrderRefused, StripeUnavailable, StripeRefused."""
    _expire_other_payment(order.shoot, styles=None)
    with transaction.atomic():
        _validate(order)
        credit = open_credits(owner).select_for_update(of=("self",)).first()
        if credit is None:
            return None
        count = settings.HEADSHOTS_PREMIUM_COUNT
        if not has_time_left(order.shoot, engine_name=engine.engine_name(), count=count):
            raise OrderRefused(Refusal.TOO_LATE)
        pack = _create_pack(order, queued=True)
        mail = Credit.Mail.ORDERED if credit.payment_id else Credit.Mail.NONE
        credit.state, credit.pack, credit.pending_mail = Credit.State.USED, pack, mail
        credit.save(update_fields=["state", "pack", "pending_mail"])
        record("credit.used", shoot_id=order.shoot.pk, pack_id=pack.pk, actor=actor)
        if credit.pending_mail:
            send_on_commit("payments.send_mail", str(credit.pk))
    return pack


def order_with_money(*, order: Order, owner: User) -> Payment:
    """Create the payment of an order, or return the open payment of an equal order.

    Raises OrderRefused, NotForSale, StripeUnavailable, StripeRefused."""
    _refuse_if_credit_is_open(owner)
    require_for_sale(engine.engine_name())
    try:
        return _expire_other_payment(order.shoot, styles=order.styles) or _open_payment(order, owner)
    except OrderRefused as refused:
        if refused.refusal != Refusal.PACK_IS_LIVE:
            raise
    # A concurrent request has created a payment. Return that payment if it is for the same looks.
    return _expire_other_payment(order.shoot, styles=order.styles) or _open_payment(order, owner)


def buy_credit(*, owner: User) -> Payment:
    """Create a payment for a credit without a shoot, or return an earlier one.

    An open payment is returned if its price still holds and there is time left to pay. Any other open payment is
    expired. A payment that turns out to be paid or processing is returned too.
    Raises OrderRefused, NotForSale, StripeUnavailable, StripeRefused."""
    _refuse_if_credit_is_open(owner)
    if is_paused(Pause.Part.UPLOADS):
        # Do not sell a pack whose photos cannot be uploaded.
        raise OrderRefused(Refusal.UPLOADS_PAUSED)
    name = engine.engine_name()
    mode, price = require_for_sale(name), get_price(name)
    for payment in Payment.objects.filter(owner=owner, pack=None, state=Payment.State.OPEN):
        if payment.mode == mode:
            # The payment may have been paid or closed at Stripe before its webhook arrives here.
            sync_with_stripe(payment=payment)
        asked = (payment.mode, payment.engine, payment.amount, payment.currency)
        same = asked == (mode, name, price.amount, price.currency)
        is_good = same and payment.expires_at > timezone.now() + MAX_CHECKOUT_TIME / 24
        if (payment.state == Payment.State.OPEN and is_good) or not expire_payment(payment=payment):
            return payment
    try:
        with transaction.atomic():
            _refuse_if_credit_is_open(owner)
            return Payment.objects.create(
                owner=owner,
                engine=name,
                mode=mode,
                amount=price.amount,
                currency=price.currency,
                expires_at=timezone.now() + MAX_CHECKOUT_TIME,
            )
    except IntegrityError:
        # A concurrent request has created the payment.
        return Payment.objects.get(owner=owner, pack=None, state=Payment.State.OPEN)


def checkout_url(*, payment: Payment, urls: CheckoutUrls) -> str:
    """Return the URL of the checkout of a payment, and create its session if there is none.

    Returns "" if the payment is not open.
    Raises StripeUnavailable, StripeRefused."""
    if payment.state != Payment.State.OPEN:
        return ""
    if not payment.session_id:
        session = _open_session(payment, urls)
        Payment.objects.filter(pk=payment.pk, session_id=None).update(session_id=session.id, session_url=session.url)
        payment.refresh_from_db()
    return payment.session_url if payment.state == Payment.State.OPEN else ""


def sync_with_stripe(*, payment: Payment) -> None:
    """Apply the state of the checkout session at Stripe to its payment.

    Expires an overdue payment that has no session. Raises StripeUnavailable, StripeRefused."""
    Payment.objects.filter(pk=payment.pk).update(last_stripe_call_at=timezone.now())
    if payment.session_id:
        apply_checkout_session(payment=payment, session=client.fetch_checkout_session(payment.session_id))
    elif payment.expires_at < timezone.now():
        # Without a session, no customer was sent to a checkout.
        expire_unopened_payment(payment=payment)
    payment.refresh_from_db()


def expire_payment(*, payment: Payment) -> bool:
    """Expire an open payment, and its checkout session at Stripe.

    Returns True if the payment can no longer be paid. Returns False for a paid or processing payment.
    Raises StripeUnavailable, StripeRefused; the payment may then still be open."""
    if payment.state == Payment.State.OPEN and payment.mode != current_mode():
        close_payment(payment=payment, to=Payment.State.EXPIRED)
    elif expire_unopened_payment(payment=payment):
        # If Stripe's answer was lost, a session exists, but no customer has its URL.
        return True
    payment.refresh_from_db()
    if payment.state == Payment.State.OPEN and payment.session_id:
        try:
            session = client.expire_checkout_session(payment.session_id)
        except StripeRefused:
            session = client.fetch_checkout_session(payment.session_id)
        apply_checkout_session(payment=payment, session=session)
        payment.refresh_from_db()
    return payment.state in {Payment.State.EXPIRED, Payment.State.FAILED}


def _expire_other_payment(shoot: Shoot, *, styles: Sequence[Style] | None) -> Payment | None:
    """Expire the unpaid payment of a shoot, unless that payment is for these looks.

    Returns an open payment with the same looks, engine and mode. styles: None expires any payment.
    Raises OrderRefused if the payment is paid or processing. Raises StripeUnavailable, StripeRefused."""
    payment = find_unpaid_payment(shoot)
    if payment is None or payment.pack is None:
        return None
    if styles is not None and payment.state == Payment.State.OPEN and payment.mode == current_mode():
        same_looks = {style.pk for style in styles} == style_ids_of(payment.pack)
        if same_looks and payment.engine == engine.engine_name():
            # The payment may have been paid or closed at Stripe before its webhook arrives here.
            sync_with_stripe(payment=payment)
            if payment.state == Payment.State.OPEN and payment.expires_at > timezone.now():
                return payment
    if not expire_payment(payment=payment):
        raise OrderRefused(Refusal.PACK_IS_LIVE)
    return None


def style_ids_of(pack: Pack) -> set[int]:
    """Return the ids of the looks that a pack was ordered in."""
    return set(Headshot.objects.filter(pack=pack).values_list("style_id", flat=True))


@transaction.atomic
def _open_payment(order: Order, owner: User) -> Payment:
    _validate(order)
    _refuse_if_credit_is_open(owner)
    name = engine.engine_name()
    deadline = checkout_deadline(order.shoot, engine_name=name, count=settings.HEADSHOTS_PREMIUM_COUNT)
    if deadline is None:
        raise OrderRefused(Refusal.TOO_LATE)
    pack = _create_pack(order, queued=False)
    price = get_price(pack.engine)
    payment = Payment.objects.create(
        owner=owner,
        pack=pack,
        engine=pack.engine,
        mode=require_for_sale(pack.engine),
        amount=price.amount,
        currency=price.currency,
        expires_at=deadline,
    )
    numbers = {"amount": price.amount}
    record("payment.opened", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=Event.Actor.PERSON, numbers=numbers)
    return payment


def _refuse_if_credit_is_open(owner: User) -> None:
    """Refuse to sell a pack to a customer who has an open credit. Raises OrderRefused.

    Called before Stripe is asked, which can take seconds, and again when the payment is stored. In between, another
    request or a webhook may have opened a credit."""
    if open_credits(owner).exists():
        raise OrderRefused(Refusal.HAS_OPEN_CREDIT)


def _validate(order: Order) -> None:
    """Lock the shoot of an order, and check that the shoot is open and has the orders that the page showed.

    Stores `keep_photos`. Raises OrderRefused. The lock is held until the transaction ends."""
    shoots = Shoot.objects.select_for_update().filter(pk=order.shoot.pk, state=Shoot.State.OPEN)
    if not shoots.exists():
        raise OrderRefused(Refusal.PHOTOS_GONE)
    if order.shoot.packs.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.IN_WORK).exists():
        raise OrderRefused(Refusal.PACK_IS_LIVE)
    if count_orders(order.shoot) != order.known_orders:
        raise OrderRefused(Refusal.ORDER_CHANGED)
    shoots.update(keep_photos=order.keep_photos)


def _create_pack(order: Order, *, queued: bool) -> Pack:
    try:
        pack = order_premium(shoot=order.shoot, styles=order.styles, queued=queued)
    except CannotOrder as refused:
        raise OrderRefused(_REFUSAL_CODES[refused.reason]) from refused
    if order.begin_now:
        record_request_to_begin(pack=pack, version=order.begin_now)
    return pack


def _open_session(payment: Payment, urls: CheckoutUrls) -> CheckoutSession:
    product = get_product_copy(engine_name=payment.engine)
    return client.create_checkout_session(
        payment,
        name=product.name,
        description=product.description,
        submit_message=product.submit_message,
        success_url=urls.success_url(payment),
        cancel_url=urls.cancel_url(payment),
    )
