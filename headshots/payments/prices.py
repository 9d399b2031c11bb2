"""Prices of packs, and the conditions for selling them."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings

from headshots import engine
from headshots.payments.errors import NotForSale
from headshots.payments.models import Payment
from headshots.payments.seller import missing_seller_settings

# Currencies that do not have two decimal digits (Stripe, "Supported currencies").
_ZERO_DECIMAL = [
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
]
_MINOR_UNIT_DIGITS = {
    **dict.fromkeys(_ZERO_DECIMAL, 0),
    **dict.fromkeys(["bhd", "jod", "kwd", "omr", "tnd"], 3),
}
# The step of payable amounts in Stripe's smallest units, where the step is not 1. Stripe takes currencies with three
# digits in steps of ten. ISK and UGX have two digits at Stripe, but only whole units can be paid. (HUF and TWD are
# whole in payouts only, so their prices can have two digits.)
_SMALLEST_COINS = {**{name: 10 for name, digits in _MINOR_UNIT_DIGITS.items() if digits == 3}, "isk": 100, "ugx": 100}
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


@dataclass(frozen=True)
class Price:
    """An amount in the currency's smallest unit."""

    amount: int
    currency: str

    def __str__(self) -> str:
        return format_money(self.amount, self.currency)


def minor_unit_digits(currency: str) -> int:
    """Return the number of decimal digits of a currency."""
    return _MINOR_UNIT_DIGITS.get(currency, 2)


def format_money(amount: int, currency: str) -> str:
    """Format an amount in the smallest unit for display: $19, €18.50, 19.00 CHF, −$19."""
    digits = minor_unit_digits(currency)
    number = f"{abs(amount) / 10**digits:,.{digits}f}"
    minus = "−" if amount < 0 else ""
    sign = _SYMBOLS.get(currency)
    return f"{minus}{sign}{number.removesuffix('.00')}" if sign else f"{minus}{number} {currency.upper()}"


def format_decimal_money(text: str, currency: str) -> str:
    """Format a decimal amount in the currency's main unit for display: "4.50" is $4.50."""
    return format_money(int(Decimal(text).scaleb(minor_unit_digits(currency))), currency)


def parse_price(text: str, currency: str) -> int:
    """Convert a price such as "18.50" to the currency's smallest unit.

    Raises ValueError if the text is not a number, or if the amount cannot be paid in the currency."""
    try:
        amount = Decimal(text).scaleb(minor_unit_digits(currency))
        is_payable = amount.is_finite() and amount % _SMALLEST_COINS.get(currency, 1) == 0
    except ArithmeticError as error:  # not a number, or too large
        raise ValueError(f"{text[:20]!r} is not a price") from error
    if not is_payable:
        raise ValueError(f"{text[:20]!r} cannot be paid in {currency}")
    return int(amount)


def share_of_amount(amount: int, currency: str, *, part: int, whole: int) -> int:
    """Return `part / whole` of an amount in the smallest unit, rounded up to what can be paid in the currency."""
    coin = _SMALLEST_COINS.get(currency, 1)
    return -(-amount * part // (whole * coin)) * coin


def get_price(engine_name: str) -> Price:
    """Return the price of a pack of this engine."""
    text = settings.HEADSHOTS_STUDIO_PRICE if engine_name == "studio" else settings.HEADSHOTS_PRICE
    return Price(parse_price(text, settings.HEADSHOTS_CURRENCY), settings.HEADSHOTS_CURRENCY)


def current_mode() -> str | None:
    """Return the payment mode: Stripe in `live` or `test` mode, the test checkout (`local`), or None."""
    if settings.HEADSHOTS_STRIPE_SECRET_KEY:
        return Payment.Mode.LIVE if settings.HEADSHOTS_LIVE_PAYMENTS else Payment.Mode.TEST
    # A system check tests DEBUG too. One wrong variable must not open a checkout that gives packs away.
    return Payment.Mode.LOCAL if settings.HEADSHOTS_TEST_CHECKOUT and settings.DEBUG else None


def payments_in_test_mode() -> bool:
    """Return True if packs can be paid here, but not with real money."""
    return current_mode() in {Payment.Mode.LOCAL, Payment.Mode.TEST}


def require_for_sale(engine_name: str) -> str:
    """Return the mode in which packs of this engine are sold. Raises NotForSale."""
    mode = current_mode()
    if mode is None:
        raise NotForSale
    if mode == Payment.Mode.LIVE:
        if engine_name == "studio" and not settings.HEADSHOTS_SELL_STUDIO:
            raise NotForSale
        if engine.refusals() or missing_seller_settings():
            raise NotForSale
    return mode


def is_for_sale() -> bool:
    """Return True if a pack of the current engine can be bought here now."""
    try:
        require_for_sale(engine.engine_name())
    except (NotForSale, engine.PipelineError):
        return False
    return True
