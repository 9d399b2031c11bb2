"""System checks of payments: no setting may make taking money unsafe."""

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from headshots import engine
from headshots.payments.prices import parse_price

_KEYS = ("sk_live_", "rk_live_", "sk_test_", "rk_test_")


@register(Tags.security)
def check_prices(**_: object) -> list[CheckMessage]:
    """Always: a price is an amount above zero that can be paid in the currency."""
    currency = settings.HEADSHOTS_CURRENCY
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        return [Error("HEADSHOTS_CURRENCY must be a currency's three letters, such as usd.", id="payments.E001")]
    found: list[CheckMessage] = []
    for name in ("HEADSHOTS_PRICE", "HEADSHOTS_STUDIO_PRICE"):
        try:
            if parse_price(getattr(settings, name), currency) <= 0:
                found.append(Error(f"{name} must be above zero.", id="payments.E002"))
        except ValueError:
            hint = "Write it as 19 or 18.50, no finer than the currency's smallest coin."
            found.append(Error(f"{name} is not a price.", hint=hint, id="payments.E002"))
    counts = ("HEADSHOTS_REFUND_DAYS", "HEADSHOTS_REDO_DAYS")
    wrong = [name for name in counts if getattr(settings, name) < 1]
    return [*found, *(Error(f"{name} must be 1 or more.", id="payments.E003") for name in wrong)]


@register(Tags.security)
def check_test_checkout(**_: object) -> list[CheckMessage]:
    """The test checkout gives packs away: it is for a computer of one's own, and never beside a real one."""
    found: list[CheckMessage] = []
    if settings.HEADSHOTS_TEST_CHECKOUT and not settings.DEBUG:
        found.append(Error("HEADSHOTS_TEST_CHECKOUT is on and HEADSHOTS_DEBUG is off.", id="payments.E004"))
    if settings.HEADSHOTS_STRIPE_API_URL and (settings.HEADSHOTS_LIVE_PAYMENTS or not settings.DEBUG):
        found.append(Error("HEADSHOTS_STRIPE_API_URL is for tests.", id="payments.E005"))
    return found


@register(Tags.security)
def check_stripe(**_: object) -> list[CheckMessage]:
    """With a key of Stripe's: its webhooks can be trusted, and people find the way back."""
    key = settings.HEADSHOTS_STRIPE_SECRET_KEY
    if not key:
        return []
    found: list[CheckMessage] = []
    if not key.startswith(_KEYS):
        found.append(Error("HEADSHOTS_STRIPE_SECRET_KEY is not a secret key of Stripe's.", id="payments.E006"))
    if not settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET.startswith("whsec_"):
        hint = "Stripe shows it (whsec_...) beside the webhook endpoint; see docs/operations.md."
        found.append(Error("HEADSHOTS_STRIPE_WEBHOOK_SECRET is not set.", hint=hint, id="payments.E007"))
    return found


@register(Tags.security)
def check_live_payments(**_: object) -> list[CheckMessage]:
    """What holds for real money alone. (Weights that are not for business: headshots.E007.)"""
    if not settings.HEADSHOTS_LIVE_PAYMENTS:
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(Error("Payments are live and HEADSHOTS_DEBUG is on.", id="payments.E008"))
    if not settings.HEADSHOTS_SITE_URL.startswith("https://") or not settings.HEADSHOTS_HTTPS:
        hint = "Set HEADSHOTS_SITE_URL to https://... and leave HEADSHOTS_HTTPS on."
        found.append(Error("People would come back from live payments by http.", hint=hint, id="payments.E009"))
    if not settings.HEADSHOTS_SELL_STUDIO and _engine_name() == "studio":
        hint = "It makes no new pictures of a person: to sell it, set HEADSHOTS_SELL_STUDIO and HEADSHOTS_STUDIO_PRICE."
        found.append(Error("Payments are live and the studio engine works here.", hint=hint, id="payments.E010"))
    if not settings.HEADSHOTS_SUPPORT_EMAIL:
        hint = (
            "It stands on receipts and in mails about money; without it whoever is not happy finds nobody to write to."
        )
        found.append(checks.Warning("HEADSHOTS_SUPPORT_EMAIL is not set.", hint=hint, id="payments.W001"))
    return found


def _engine_name() -> str:
    try:
        return engine.engine_name()
    except engine.PipelineError:
        # Said by headshots.E007 already.
        return ""
