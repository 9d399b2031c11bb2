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


@register.inclusion_tag("payments/_pack_waiting.html", takes_context=True)
def pack_waiting(context: Context) -> dict[str, object]:
    """Above the upload: whether a pack waits for what is uploaded here."""
    return {"credit": open_credits(context["request"].user).first()}


@register.inclusion_tag("payments/_pack_ended.html")
def pack_ended(pack_id: UUID, reason: str, shoot: Shoot) -> dict[str, object]:
    """Under a pack that came to nothing: what became of the right to it, and of its price."""
    rights = Credit.objects.select_related("payment")
    credit = rights.filter(pack=pack_id).first() or rights.filter(payment__pack=pack_id).first()
    is_used = credit is not None and credit.state == Credit.State.USED and credit.pack_id != pack_id
    return {"credit": credit, "is_used_elsewhere": is_used, "reason": reason, "shoot": shoot}


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
