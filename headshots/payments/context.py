"""What every page may know of payments: that they are not real here, what a pack costs, and who has one already."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from headshots import engine
from headshots.payments.credits import count_open_credits
from headshots.payments.prices import is_sold, payments_are_a_test, price_of


def payments(request: HttpRequest) -> dict[str, object]:
    """`payments_are_a_test`; `pack_price`, which is empty where nothing is sold; `packs_to_use`, how many packs this
    person may order without paying."""
    return {
        "payments_are_a_test": payments_are_a_test(),
        "pack_price": SimpleLazyObject(_price),
        # Lazy, so that only a page that names it asks the database.
        "packs_to_use": SimpleLazyObject(lambda: _packs_to_use(request)),
    }


def _price() -> str:
    return str(price_of(engine.engine_name())) if is_sold() else ""


def _packs_to_use(request: HttpRequest) -> int:
    return count_open_credits(request.user) if request.user.is_authenticated else 0
