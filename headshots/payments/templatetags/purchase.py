"""What the page of a shoot says of money, which the room of the shoots knows nothing of."""

from uuid import UUID

from django import template
from django.conf import settings
from django.template import Context

from headshots import engine
from headshots.payments.clock import checkout_closes, is_time_left
from headshots.payments.credits import open_credits, redo_is_possible
from headshots.payments.models import Credit
from headshots.payments.receipts import payment_behind
from headshots.shoots.models import Pack, Shoot

register = template.Library()


@register.inclusion_tag("payments/_offer.html", takes_context=True)
def pack_offer(context: Context, shoot: Shoot) -> dict[str, object]:
    """The way to a pack of this shoot: with one that the person has, for money, or with another upload first."""
    name, count = engine.engine_name(), settings.HEADSHOTS_PREMIUM_COUNT
    credit = open_credits(context["request"].user).first()
    clock = is_time_left if credit else checkout_closes
    return {
        "shoot": shoot,
        "credit": credit,
        "price": str(context["pack_price"]),
        "time_left": bool(clock(shoot, engine_name=name, count=count)),
    }


@register.inclusion_tag("payments/_pack_money.html")
def pack_money(pack_id: UUID) -> dict[str, object]:
    """Under a pack that was paid for: its receipt, and the free redo while there is one to ask for or to use."""
    pack = Pack.objects.select_related("shoot").get(pk=pack_id)
    payment = payment_behind(pack_id)
    return {
        "pack": pack,
        "receipt": payment if payment and payment.paid_at else None,
        "is_redo": Credit.objects.filter(pack=pack, source=Credit.Source.REDO).exists(),
        "redo": Credit.objects.filter(redo_of=pack).select_related("pack").first(),
        "redo_is_possible": redo_is_possible(pack),
    }
