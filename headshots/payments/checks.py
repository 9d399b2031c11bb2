"""System checks of payments. They refuse settings that make payments unsafe."""

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from headshots import engine
from headshots.payments.prices import parse_price
from headshots.payments.seller import missing_seller_settings

_KEYS = ("sk_live_", "rk_live_", "sk_test_", "rk_test_")


@register(Tags.security)
def check_prices(**_: object) -> list[CheckMessage]:
    """Check the currency, the prices, and the refund and redo periods."""
    currency = settings.HEADSHOTS_CURRENCY
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        return [Error("HEADSHOTS_CURRENCY must be a three-letter currency code, such as usd.", id="payments.E001")]
    found: list[CheckMessage] = []
    for name in ("HEADSHOTS_PRICE", "HEADSHOTS_STUDIO_PRICE"):
        try:
            if parse_price(getattr(settings, name), currency) <= 0:
                found.append(Error(f"{name} must be above zero.", id="payments.E002"))
        except ValueError:
            hint = "Use a number such as 19 or 18.50, with no more decimals than the currency has."
            found.append(Error(f"{name} is not a price.", hint=hint, id="payments.E002"))
    counts = ("HEADSHOTS_REFUND_DAYS", "HEADSHOTS_REDO_DAYS")
    wrong = [name for name in counts if getattr(settings, name) < 1]
    return [*found, *(Error(f"{name} must be 1 or more.", id="payments.E003") for name in wrong)]


@register(Tags.security)
def check_test_checkout(**_: object) -> list[CheckMessage]:
    """Check that the test checkout, which gives packs away, is used in development only."""
    found: list[CheckMessage] = []
    if settings.HEADSHOTS_TEST_CHECKOUT and not settings.DEBUG:
        found.append(Error("HEADSHOTS_TEST_CHECKOUT is on, but HEADSHOTS_DEBUG is off.", id="payments.E004"))
    if settings.HEADSHOTS_STRIPE_API_URL and (settings.HEADSHOTS_LIVE_PAYMENTS or not settings.DEBUG):
        found.append(Error("HEADSHOTS_STRIPE_API_URL is for tests only.", id="payments.E005"))
    return found


@register(Tags.security)
def check_stripe(**_: object) -> list[CheckMessage]:
    """Check Stripe's secret key and webhook secret, if a key is set."""
    key = settings.HEADSHOTS_STRIPE_SECRET_KEY
    if not key:
        return []
    found: list[CheckMessage] = []
    if not key.startswith(_KEYS):
        found.append(
            Error("HEADSHOTS_STRIPE_SECRET_KEY is not a Stripe secret key (sk_... or rk_...).", id="payments.E006")
        )
    if not settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET.startswith("whsec_"):
        hint = "Stripe shows it (whsec_...) next to the webhook endpoint. See docs/payments.md."
        found.append(
            Error(
                "HEADSHOTS_STRIPE_WEBHOOK_SECRET is not set or does not begin with whsec_.",
                hint=hint,
                id="payments.E007",
            )
        )
    return found


@register(Tags.security)
def check_live_payments(**_: object) -> list[CheckMessage]:
    """Check what live payments need.

    headshots.E007 checks for weights without a commercial license."""
    if not settings.HEADSHOTS_LIVE_PAYMENTS:
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(Error("HEADSHOTS_DEBUG must be off when payments are live.", id="payments.E008"))
    if not settings.HEADSHOTS_SITE_URL.startswith("https://") or not settings.HEADSHOTS_HTTPS:
        hint = "Set HEADSHOTS_SITE_URL to https://... and leave HEADSHOTS_HTTPS on."
        found.append(Error("Live payments need HTTPS.", hint=hint, id="payments.E009"))
    if not settings.HEADSHOTS_SELL_STUDIO and _engine_name() == "studio":
        hint = "It makes no new pictures. To sell its packs, set HEADSHOTS_SELL_STUDIO and HEADSHOTS_STUDIO_PRICE."
        found.append(
            Error("Live payments are on, but the studio engine is not for sale.", hint=hint, id="payments.E010")
        )
    if missing := missing_seller_settings():
        hint = "Customers must know who sells before they order. Set your name, postal address and contact address."
        found.append(Error(f"Live payments need {', '.join(missing)}.", hint=hint, id="payments.E011"))
    return found


def _engine_name() -> str:
    try:
        return engine.engine_name()
    except engine.PipelineError:
        # headshots.E007 reports this already.
        return ""
