"""Template tags: what a shoot's page says about orders and payments."""

from uuid import UUID

from django import template
from django.conf import settings
from django.template import Context

from headshots import engine
from headshots.payments.accounting.credits import can_redo, open_credits
from headshots.payments.accounting.receipts import find_payment_of_pack
from headshots.payments.accounting.refunds import refundable_amount
from headshots.payments.checkout.deadlines import can_order_from, checkout_deadline, has_time_left
from headshots.payments.models import Credit
from headshots.payments.prices import format_money
from headshots.shoots.models import Pack, Shoot

register = template.Library()

# Ends that no other photo would have helped against.
_REASONS_UNRELATED_TO_THE_PHOTO = {
    Pack.Reason.ON_REQUEST,
    Pack.Reason.STAFF,
    Pack.Reason.PHOTOS_LOST,
    Pack.Reason.PHOTOS_DELETED,
    Pack.Reason.STORAGE_FAILED,
    Pack.Reason.ENGINE_BROKEN,
}


@register.inclusion_tag("payments/_offer.html", takes_context=True)
def pack_offer(context: Context, shoot: Shoot) -> dict[str, object]:
    """The way to a pack of this shoot: with one that the person has, for money, or with another upload first."""
    name, count = engine.engine_name(), settings.HEADSHOTS_PREMIUM_COUNT
    credit = open_credits(context["request"].user).first()
    deadline = has_time_left if credit else checkout_deadline
    return {
        "shoot": shoot,
        "credit": credit,
        "price": str(context["pack_price"]),
        "has_time_left": bool(deadline(shoot, engine_name=name, count=count)),
    }


@register.inclusion_tag("payments/_pack_waiting.html", takes_context=True)
def pack_waiting(context: Context) -> dict[str, object]:
    """Above the upload: whether a pack waits for what is uploaded here."""
    return {"credit": open_credits(context["request"].user).first()}


@register.inclusion_tag("payments/_pack_ended.html")
def pack_ended(pack_id: UUID, reason: str, shoot: Shoot) -> dict[str, object]:
    """Under a pack that came to nothing: what became of the right to it, and what can be done with it now."""
    rights = Credit.objects.select_related("payment")
    credit = rights.filter(pack=pack_id).first() or rights.filter(payment__pack=pack_id).first()
    if credit is None and shoot.owner:
        # One that was granted, a redo, or bought without a shoot does not know what it was once used for, only why it
        # came back.
        theirs = open_credits(shoot.owner).select_related("payment").filter(payment__pack=None, return_reason=reason)
        credit = theirs.first()
    is_used_elsewhere = credit is not None and credit.state == Credit.State.USED and credit.pack_id != pack_id
    left = refundable_amount(credit.payment) if credit and credit.payment and not is_used_elsewhere else 0
    return {
        "credit": credit,
        "is_used_elsewhere": is_used_elsewhere,
        "money": format_money(left, credit.payment.currency) if credit and credit.payment and left else "",
        "may_order": can_order_from(shoot),
        "photo_is_fine": reason in _REASONS_UNRELATED_TO_THE_PHOTO,
        "shoot": shoot,
    }


@register.inclusion_tag("payments/_pack_receipt.html")
def pack_receipt(pack_id: UUID) -> dict[str, object]:
    """Under a pack that was paid for: its receipt, and the free redo while there is one to ask for or to use."""
    pack = Pack.objects.select_related("shoot").get(pk=pack_id)
    payment = find_payment_of_pack(pack_id)
    return {
        "pack": pack,
        "receipt": payment if payment and payment.paid_at else None,
        "is_redo": Credit.objects.filter(pack=pack, source=Credit.Source.REDO).exists(),
        "redo": Credit.objects.filter(redo_of=pack).select_related("pack").first(),
        "can_redo": can_redo(pack),
    }
