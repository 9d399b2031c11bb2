"""What every page may know of payments: that they are not real here, what a pack costs, and who answers for it."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from headshots import engine
from headshots.payments.prices import is_sold, payments_are_a_test, price_of


def payments(request: HttpRequest) -> dict[str, object]:
    """`payments_are_a_test`; `pack_price`, which is empty where nothing is sold; `support_email`."""
    return {
        "payments_are_a_test": payments_are_a_test(),
        "pack_price": SimpleLazyObject(_price),
        "support_email": settings.HEADSHOTS_SUPPORT_EMAIL,
    }


def _price() -> str:
    return str(price_of(engine.engine_name())) if is_sold() else ""
