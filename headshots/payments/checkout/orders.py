"""From chosen looks to a pack: paid with an open credit, or with money at Stripe's checkout.

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
from headshots.payments.accounting.payment_state import apply_session, close, close_unopened
from headshots.payments.checkout.deadlines import LONGEST, checkout_closes, is_time_left
from headshots.payments.errors import OrderRefused, StripeRefused
from headshots.payments.models import Credit, Payment
from headshots.payments.prices import current_mode, price_of, require_sale
from headshots.payments.product_copy import Returns, describe
from headshots.payments.stripe import client
from headshots.payments.stripe.objects import Session
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, Headshot, Pack, Pause, Shoot, Style
from headshots.shoots.packs.orders import CannotOrder, order_premium
from headshots.shoots.pauses import is_paused

_REFUSED_AS = {"shoot_closed": "photos_gone"}


@dataclass(frozen=True)
class Order:
    """What a person wants of a shoot. `number`: how many packs of it there were when they saw the page."""

    shoot: Shoot
    styles: Sequence[Style]
    number: int
    keep_photos: bool = False


def orders_so_far(shoot: Shoot) -> int:
    """How many packs of this shoot have been paid for in one way or another: an order page shows the next one."""
    unpaid = (Pack.State.AWAITING_PAYMENT, Pack.State.CANCELLED)
    return shoot.packs.filter(kind=Pack.Kind.PREMIUM).exclude(state__in=unpaid).count()


def waiting_payment(shoot: Shoot) -> Payment | None:
    """The payment that an order of this shoot waits for."""
    waiting = Payment.objects.select_related("pack").filter(pack__shoot=shoot, state__in=Payment.UNPAID)
    return waiting.filter(pack__state=Pack.State.AWAITING_PAYMENT).first()


def order_with_credit(*, order: Order, owner: User, actor: str = Event.Actor.PERSON) -> Pack | None:
    """The queued pack, paid with the owner's oldest open credit; None when they have none. actor: who orders it.

    Raises OrderRefused, StripeAway."""
    _retire_other(order.shoot, styles=None)
    with transaction.atomic():
        _check(order)
        credit = open_credits(owner).select_for_update(of=("self",)).first()
        if credit is None:
            return None
        count = settings.HEADSHOTS_PREMIUM_COUNT
        if not is_time_left(order.shoot, engine_name=engine.engine_name(), count=count):
            raise OrderRefused("too_late")
        pack = _place(order, queued=True)
        credit.state, credit.pack, credit.mail = Credit.State.USED, pack, Credit.Mail.NONE
        credit.save(update_fields=["state", "pack", "mail"])
        record("credit.used", shoot_id=order.shoot.pk, pack_id=pack.pk, actor=actor)
    return pack


def order_with_money(*, order: Order, owner: User) -> Payment:
    """The payment of this order; the same one for the same order.

    Raises OrderRefused, NotForSale, StripeAway, StripeRefused."""
    _refuse_beside_a_pack(owner)
    require_sale(engine.engine_name())
    try:
        return _retire_other(order.shoot, styles=order.styles) or _open_payment(order, owner)
    except OrderRefused as refused:
        if refused.code != "pack_is_live":
            raise
    # Two clicks at once: the other one's payment is as good, if it is for the same looks.
    return _retire_other(order.shoot, styles=order.styles) or _open_payment(order, owner)


def buy_credit(*, owner: User) -> Payment:
    """A payment for a pack whose photos are still to come; the same one while it is open, or when it was just made.

    Raises OrderRefused, NotForSale, StripeAway, StripeRefused."""
    _refuse_beside_a_pack(owner)
    if is_paused(Pause.Part.UPLOADS):
        # Nobody pays for what could not be begun.
        raise OrderRefused("uploads_paused")
    name = engine.engine_name()
    mode, price = require_sale(name), price_of(name)
    for payment in Payment.objects.filter(owner=owner, pack=None, state=Payment.State.OPEN):
        if payment.mode == mode:
            # It may have been paid or closed without us having heard of it.
            ask_stripe(payment=payment)
        asked = (payment.mode, payment.engine, payment.amount, payment.currency)
        same = asked == (mode, name, price.amount, price.currency)
        is_good = same and payment.expires_at > timezone.now() + LONGEST / 24
        if (payment.state == Payment.State.OPEN and is_good) or not retire(payment=payment):
            return payment
    try:
        with transaction.atomic():
            _refuse_beside_a_pack(owner)
            return Payment.objects.create(
                owner=owner,
                engine=name,
                mode=mode,
                amount=price.amount,
                currency=price.currency,
                expires_at=timezone.now() + LONGEST,
            )
    except IntegrityError:
        # Two clicks at once: the other one's is as good.
        return Payment.objects.get(owner=owner, pack=None, state=Payment.State.OPEN)


def checkout_url(*, payment: Payment, returns: Returns) -> str:
    """Where to pay. Empty when there is nothing to pay any more: it was paid, or its checkout has closed.

    Raises StripeAway, StripeRefused."""
    if payment.state != Payment.State.OPEN:
        return ""
    if not payment.session_id:
        session = _open_session(payment, returns)
        Payment.objects.filter(pk=payment.pk, session_id=None).update(session_id=session.id, session_url=session.url)
        payment.refresh_from_db()
    return payment.session_url if payment.state == Payment.State.OPEN else ""


def ask_stripe(*, payment: Payment) -> None:
    """Bring a payment to where Stripe says it is. Raises StripeAway, StripeRefused."""
    Payment.objects.filter(pk=payment.pk).update(asked_at=timezone.now())
    if payment.session_id:
        apply_session(payment=payment, session=client.fetch_session(payment.session_id))
    elif payment.expires_at < timezone.now():
        # Nobody was ever sent to its checkout.
        close_unopened(payment=payment)
    payment.refresh_from_db()


def retire(*, payment: Payment) -> bool:
    """Whether this payment can be made no more. False: it has been made, or is under way.

    Raises StripeAway, and then nothing is known."""
    if payment.state == Payment.State.OPEN and payment.mode != current_mode():
        close(payment=payment, to=Payment.State.EXPIRED)
    elif close_unopened(payment=payment):
        # An answer of Stripe's that was lost opened a checkout whose address nobody has.
        return True
    payment.refresh_from_db()
    if payment.state == Payment.State.OPEN and payment.session_id:
        try:
            session = client.expire_session(payment.session_id)
        except StripeRefused:
            session = client.fetch_session(payment.session_id)
        apply_session(payment=payment, session=session)
        payment.refresh_from_db()
    return payment.state in {Payment.State.EXPIRED, Payment.State.FAILED}


def _retire_other(shoot: Shoot, *, styles: Sequence[Style] | None) -> Payment | None:
    """The shoot's open payment when it is for these looks, with this engine, and still open; every other one is closed
    first. Raises OrderRefused when that one has been paid meanwhile."""
    payment = waiting_payment(shoot)
    if payment is None or payment.pack is None:
        return None
    if styles is not None and payment.state == Payment.State.OPEN and payment.mode == current_mode():
        same_looks = {style.pk for style in styles} == looks_of(payment.pack)
        if same_looks and payment.engine == engine.engine_name():
            # It may have been paid or closed without us having heard of it.
            ask_stripe(payment=payment)
            if payment.state == Payment.State.OPEN and payment.expires_at > timezone.now():
                return payment
    if not retire(payment=payment):
        raise OrderRefused("pack_is_live")
    return None


def looks_of(pack: Pack) -> set[int]:
    """The looks that a pack was ordered in."""
    return set(Headshot.objects.filter(pack=pack).values_list("style_id", flat=True))


@transaction.atomic
def _open_payment(order: Order, owner: User) -> Payment:
    _check(order)
    _refuse_beside_a_pack(owner)
    name = engine.engine_name()
    closes = checkout_closes(order.shoot, engine_name=name, count=settings.HEADSHOTS_PREMIUM_COUNT)
    if closes is None:
        raise OrderRefused("too_late")
    pack = _place(order, queued=False)
    price = price_of(pack.engine)
    payment = Payment.objects.create(
        owner=owner,
        pack=pack,
        engine=pack.engine,
        mode=require_sale(pack.engine),
        amount=price.amount,
        currency=price.currency,
        expires_at=closes,
    )
    numbers = {"amount": price.amount}
    record("payment.opened", shoot_id=pack.shoot_id, pack_id=pack.pk, actor=Event.Actor.PERSON, numbers=numbers)
    return payment


def _refuse_beside_a_pack(owner: User) -> None:
    """Nobody pays who has a pack already. Looked at before Stripe is asked, which may take seconds, and again when the
    payment is written: it may have come meanwhile, to another request or from a webhook."""
    if open_credits(owner).exists():
        raise OrderRefused("has_a_pack")


def _check(order: Order) -> None:
    """The shoot is open and as the person saw it, and stays so until the transaction ends."""
    shoots = Shoot.objects.select_for_update().filter(pk=order.shoot.pk, state=Shoot.State.OPEN)
    if not shoots.exists():
        raise OrderRefused("photos_gone")
    in_work = (Pack.State.QUEUED, Pack.State.RENDERING)
    if order.shoot.packs.filter(kind=Pack.Kind.PREMIUM, state__in=in_work).exists():
        raise OrderRefused("pack_is_live")
    if orders_so_far(order.shoot) != order.number:
        raise OrderRefused("order_changed")
    shoots.update(keep_photos=order.keep_photos)


def _place(order: Order, *, queued: bool) -> Pack:
    try:
        return order_premium(shoot=order.shoot, styles=order.styles, queued=queued)
    except CannotOrder as refused:
        raise OrderRefused(_REFUSED_AS.get(refused.code, refused.code)) from refused


def _open_session(payment: Payment, returns: Returns) -> Session:
    words = describe(engine_name=payment.engine)
    return client.create_session(
        payment,
        name=words.name,
        description=words.description,
        promise=words.promise,
        home=returns.home(payment),
        back=returns.back(payment),
    )
