"""Order a pack: with an open credit, or with money at Stripe's checkout.

A shoot has one order at a time, and a pack one payment, ever. Before an order takes the place of another, the other's
checkout is closed at Stripe: so at no time can two of them be paid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.payments.accounting.credits import open_credits
from headshots.payments.accounting.payment_state import apply_checkout_session, close_payment, expire_unopened_payment
from headshots.payments.checkout.deadlines import MAX_CHECKOUT_TIME, checkout_deadline, has_time_left
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
    """An order for one pack of a shoot. known_orders: how many orders the page had shown, to refuse a repeated one."""

    shoot: Shoot
    styles: Sequence[Style]
    known_orders: int
    keep_photos: bool = False


def count_orders(shoot: Shoot) -> int:
    """How many packs of this shoot have been paid for in one way or another: an order page shows the next one."""
    unpaid = (Pack.State.AWAITING_PAYMENT, Pack.State.CANCELED)
    return shoot.packs.filter(kind=Pack.Kind.PREMIUM).exclude(state__in=unpaid).count()


def find_unpaid_payment(shoot: Shoot) -> Payment | None:
    """The payment that an order of this shoot waits for."""
    waiting = Payment.objects.select_related("pack").filter(pack__shoot=shoot, state__in=Payment.UNPAID)
    return waiting.filter(pack__state=Pack.State.AWAITING_PAYMENT).first()


def order_with_credit(*, order: Order, owner: User, actor: str = Event.Actor.PERSON) -> Pack | None:
    """The queued pack, paid with the owner's oldest open credit; None when they have none. actor: who orders it.

    Raises OrderRefused, StripeUnavailable."""
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
        credit.state, credit.pack, credit.pending_mail = Credit.State.USED, pack, Credit.Mail.NONE
        credit.save(update_fields=["state", "pack", "pending_mail"])
        record("credit.used", shoot_id=order.shoot.pk, pack_id=pack.pk, actor=actor)
    return pack


def order_with_money(*, order: Order, owner: User) -> Payment:
    """The payment of this order; the same one for the same order.

    Raises OrderRefused, NotForSale, StripeUnavailable, StripeRefused."""
    _refuse_if_credit_is_open(owner)
    require_for_sale(engine.engine_name())
    try:
        return _expire_other_payment(order.shoot, styles=order.styles) or _open_payment(order, owner)
    except OrderRefused as refused:
        if refused.refusal != Refusal.PACK_IS_LIVE:
            raise
    # Two clicks at once: the other one's payment is as good, if it is for the same looks.
    return _expire_other_payment(order.shoot, styles=order.styles) or _open_payment(order, owner)


def buy_credit(*, owner: User) -> Payment:
    """A payment for a pack whose photos are still to come; the same one while it is open, or when it was just made.

    Raises OrderRefused, NotForSale, StripeUnavailable, StripeRefused."""
    _refuse_if_credit_is_open(owner)
    if is_paused(Pause.Part.UPLOADS):
        # Nobody pays for what could not be begun.
        raise OrderRefused(Refusal.UPLOADS_PAUSED)
    name = engine.engine_name()
    mode, price = require_for_sale(name), get_price(name)
    for payment in Payment.objects.filter(owner=owner, pack=None, state=Payment.State.OPEN):
        if payment.mode == mode:
            # It may have been paid or closed without us having heard of it.
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
        # Two clicks at once: the other one's is as good.
        return Payment.objects.get(owner=owner, pack=None, state=Payment.State.OPEN)


def checkout_url(*, payment: Payment, urls: CheckoutUrls) -> str:
    """Where to pay. Empty when there is nothing to pay any more: it was paid, or its checkout has closed.

    Raises StripeUnavailable, StripeRefused."""
    if payment.state != Payment.State.OPEN:
        return ""
    if not payment.session_id:
        session = _open_session(payment, urls)
        Payment.objects.filter(pk=payment.pk, session_id=None).update(session_id=session.id, session_url=session.url)
        payment.refresh_from_db()
    return payment.session_url if payment.state == Payment.State.OPEN else ""


def sync_with_stripe(*, payment: Payment) -> None:
    """Bring a payment to where Stripe says it is. Raises StripeUnavailable, StripeRefused."""
    Payment.objects.filter(pk=payment.pk).update(last_stripe_call_at=timezone.now())
    if payment.session_id:
        apply_checkout_session(payment=payment, session=client.fetch_checkout_session(payment.session_id))
    elif payment.expires_at < timezone.now():
        # Nobody was ever sent to its checkout.
        expire_unopened_payment(payment=payment)
    payment.refresh_from_db()


def expire_payment(*, payment: Payment) -> bool:
    """Whether this payment can be made no more. False: it has been made, or is under way.

    Raises StripeUnavailable, and then nothing is known."""
    if payment.state == Payment.State.OPEN and payment.mode != current_mode():
        close_payment(payment=payment, to=Payment.State.EXPIRED)
    elif expire_unopened_payment(payment=payment):
        # An answer of Stripe's that was lost opened a checkout whose address nobody has.
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
    """The shoot's open payment when it is for these looks, with this engine, and still open; every other one is closed
    first. Raises OrderRefused when that one has been paid meanwhile."""
    payment = find_unpaid_payment(shoot)
    if payment is None or payment.pack is None:
        return None
    if styles is not None and payment.state == Payment.State.OPEN and payment.mode == current_mode():
        same_looks = {style.pk for style in styles} == style_ids_of(payment.pack)
        if same_looks and payment.engine == engine.engine_name():
            # It may have been paid or closed without us having heard of it.
            sync_with_stripe(payment=payment)
            if payment.state == Payment.State.OPEN and payment.expires_at > timezone.now():
                return payment
    if not expire_payment(payment=payment):
        raise OrderRefused(Refusal.PACK_IS_LIVE)
    return None


def style_ids_of(pack: Pack) -> set[int]:
    """The looks that a pack was ordered in."""
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
    """Nobody pays who has a pack already. Looked at before Stripe is asked, which may take seconds, and again when the
    payment is written: it may have come meanwhile, to another request or from a webhook."""
    if open_credits(owner).exists():
        raise OrderRefused(Refusal.HAS_OPEN_CREDIT)


def _validate(order: Order) -> None:
    """The shoot is open and as the person saw it, and stays so until the transaction ends."""
    shoots = Shoot.objects.select_for_update().filter(pk=order.shoot.pk, state=Shoot.State.OPEN)
    if not shoots.exists():
        raise OrderRefused(Refusal.PHOTOS_GONE)
    in_work = (Pack.State.QUEUED, Pack.State.RENDERING)
    if order.shoot.packs.filter(kind=Pack.Kind.PREMIUM, state__in=in_work).exists():
        raise OrderRefused(Refusal.PACK_IS_LIVE)
    if count_orders(order.shoot) != order.known_orders:
        raise OrderRefused(Refusal.ORDER_CHANGED)
    shoots.update(keep_photos=order.keep_photos)


def _create_pack(order: Order, *, queued: bool) -> Pack:
    try:
        return order_premium(shoot=order.shoot, styles=order.styles, queued=queued)
    except CannotOrder as refused:
        raise OrderRefused(_REFUSAL_CODES[refused.reason]) from refused


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
