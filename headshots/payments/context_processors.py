"""Template context of payments: test mode, the price of a pack, the support address, the imprint."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from headshots import engine
from headshots.payments.prices import current_mode, get_price, is_for_sale, payments_in_test_mode


def payments(request: HttpRequest) -> dict[str, object]:
    """Add `payments_in_test_mode`, `pack_price`, `has_orders`, `support_email` and `has_imprint` to the context.

    `pack_price` is empty if nothing is sold. `has_orders` is False if this installation takes no payments."""
    return {
        "payments_in_test_mode": payments_in_test_mode(),
        "pack_price": SimpleLazyObject(_price),
        "has_orders": current_mode() is not None,
        "support_email": settings.HEADSHOTS_SUPPORT_EMAIL,
        "has_imprint": bool(settings.HEADSHOTS_OPERATOR),
    }


def _price() -> str:
    return str(get_price(engine.engine_name())) if is_for_sale() else ""
