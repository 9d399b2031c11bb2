"""The price of a pack, and whether it is sold here."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings

from headshots import engine
from headshots.payments.errors import NotForSale
from headshots.payments.models import Payment

# How many digits the smallest unit stands behind the point, where that is not two (Stripe, "Supported currencies").
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
# Their smallest coin in Stripe's smallest units: three digits are taken in steps of ten, and ISK and UGX, which Stripe
# counts with two digits, as whole ones. (HUF and TWD are whole in payouts only: their prices may have two digits.)
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
    """How many digits stand behind the point."""
    return _MINOR_UNIT_DIGITS.get(currency, 2)


def format_money(amount: int, currency: str) -> str:
    """How people write it: $19, €18.50, 19.00 CHF; amounts below zero with a minus in front."""
    digits = minor_unit_digits(currency)
    number = f"{abs(amount) / 10**digits:,.{digits}f}"
    minus = "−" if amount < 0 else ""
    sign = _SYMBOLS.get(currency)
    return f"{minus}{sign}{number.removesuffix('.00')}" if sign else f"{minus}{number} {currency.upper()}"


def format_decimal_money(text: str, currency: str) -> str:
    """The same for an amount that was written down in the currency's own unit: "4.50" is $4.50."""
    return format_money(int(Decimal(text).scaleb(minor_unit_digits(currency))), currency)


def parse_price(text: str, currency: str) -> int:
    """Return a price as people write it in the smallest unit. Raises ValueError when it is none or has no coin."""
    try:
        amount = Decimal(text).scaleb(minor_unit_digits(currency))
        is_payable = amount.is_finite() and amount % _SMALLEST_COINS.get(currency, 1) == 0
    except ArithmeticError as error:  # no number, or one too large to count with
        raise ValueError(f"{text[:20]!r} is not a price") from error
    if not is_payable:
        raise ValueError(f"{text[:20]!r} cannot be paid in {currency}")
    return int(amount)


def get_price(engine_name: str) -> Price:
    """What a pack of this engine costs."""
    text = settings.HEADSHOTS_STUDIO_PRICE if engine_name == "studio" else settings.HEADSHOTS_PRICE
    return Price(parse_price(text, settings.HEADSHOTS_CURRENCY), settings.HEADSHOTS_CURRENCY)


def current_mode() -> str | None:
    """Which Stripe money is paid at: `live`, `test`, our own test checkout (`local`), or none at all."""
    if settings.HEADSHOTS_STRIPE_SECRET_KEY:
        return Payment.Mode.LIVE if settings.HEADSHOTS_LIVE_PAYMENTS else Payment.Mode.TEST
    # Twice as careful as the system check: what gives packs away for nothing must not open by one wrong variable.
    return Payment.Mode.LOCAL if settings.HEADSHOTS_TEST_CHECKOUT and settings.DEBUG else None


def payments_in_test_mode() -> bool:
    """Whether packs can be paid here, and not with real money."""
    return current_mode() in {Payment.Mode.LOCAL, Payment.Mode.TEST}


def require_for_sale(engine_name: str) -> str:
    """The mode in which packs of this engine are sold now. Raises NotForSale."""
    mode = current_mode()
    if mode is None:
        raise NotForSale
    if mode == Payment.Mode.LIVE:
        if engine_name == "studio" and not settings.HEADSHOTS_SELL_STUDIO:
            raise NotForSale
        if engine.refusals():
            raise NotForSale
    return mode


def is_for_sale() -> bool:
    """Whether somebody can buy a pack here now."""
    try:
        require_for_sale(engine.engine_name())
    except (NotForSale, engine.PipelineError):
        return False
    return True
