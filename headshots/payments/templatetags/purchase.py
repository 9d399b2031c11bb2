"""Template tags for orders and payments on the page of a shoot."""

from uuid import UUID

from django import template
from django.conf import settings
from django.template import Context

from headshots import engine
from headshots.payments.accounting.credits import can_redo, open_credits
from headshots.payments.accounting.incomplete import build_offer, find_refund_for_missing
from headshots.payments.accounting.receipts import find_payment_of_pack
from headshots.payments.accounting.refunds import refundable_amount
from headshots.payments.checkout.deadlines import can_order_from, checkout_deadline, has_time_left
from headshots.payments.models import Credit
from headshots.payments.prices import format_money
from headshots.shoots.models import Pack, Shoot

register = template.Library()

# Packs that ended for these reasons would have ended with any photo.
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
    """Offer a pack of this shoot: with an open credit, for money, or after another upload."""
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
    """Show above the upload form that an open credit can be used for the photos."""
    return {"credit": open_credits(context["request"].user).first()}


@register.inclusion_tag("payments/_pack_ended.html")
def pack_ended(pack_id: UUID, reason: str, shoot: Shoot) -> dict[str, object]:
    """Show below a pack without headshots what happened to its credit, and the next steps."""
    rights = Credit.objects.select_related("payment")
    credit = rights.filter(pack=pack_id).first() or rights.filter(payment__pack=pack_id).first()
    if credit is None and shoot.owner:
        # A credit that was granted, is a redo, or was bought without a shoot does not store its earlier packs. Only
        # `return_reason` says why the last of these packs ended.
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


@register.inclusion_tag("payments/_pack_question.html")
def pack_question(pack_id: UUID) -> dict[str, object]:
    """Ask on the page of a shoot what happens to an incomplete pack."""
    return {"offer": build_offer(Pack.objects.select_related("shoot").get(pk=pack_id))}


@register.inclusion_tag("payments/_pack_receipt.html")
def pack_receipt(pack_id: UUID) -> dict[str, object]:
    """Show below a pack the receipt of its payment, the refund for missing headshots, and its free redo."""
    pack = Pack.objects.select_related("shoot").get(pk=pack_id)
    payment = find_payment_of_pack(pack_id)
    return {
        "pack": pack,
        "receipt": payment if payment and payment.paid_at else None,
        "refund": find_refund_for_missing(pack),
        "support_email": settings.HEADSHOTS_SUPPORT_EMAIL,
        "is_redo": Credit.objects.filter(pack=pack, source=Credit.Source.REDO).exists(),
        "redo": Credit.objects.filter(redo_of=pack).select_related("pack").first(),
        "can_redo": can_redo(pack),
    }
