"""What money is not taken with: settings that the product refuses to start with."""

from pathlib import Path

import pytest
from django.conf import LazySettings

from headshots.payments import checks
from headshots.payments.errors import NotForSale
from headshots.payments.prices import require_for_sale
from headshots.runtime.operator import OperatorDetails
from tests.headshots.test_settings import COMPLETE, run_check

LIVE = {
    "HEADSHOTS_STRIPE_SECRET_KEY": "sk_live_1",
    "HEADSHOTS_STRIPE_WEBHOOK_SECRET": "whsec_1",
    "HEADSHOTS_SELL_STUDIO": True,
    "HEADSHOTS_LIVE_PAYMENTS": True,
    "HEADSHOTS_SITE_URL": "https://headshots.example.org",
    "HEADSHOTS_HTTPS": True,
    "HEADSHOTS_TEST_CHECKOUT": False,
    "HEADSHOTS_ENGINE": "studio",
    "HEADSHOTS_SUPPORT_EMAIL": "support@headshots.example.org",
    "HEADSHOTS_OPERATOR": "Example Ltd",
    "HEADSHOTS_OPERATOR_DETAILS": OperatorDetails(address="1 Some Street, Sometown"),
    "DEBUG": False,
}


def found(settings: LazySettings, **values: object) -> list[str | None]:
    for name, value in values.items():
        setattr(settings, name, value)
    return [
        message.id
        for check in (checks.check_prices, checks.check_test_checkout, checks.check_stripe, checks.check_live_payments)
        for message in check()
    ]


def test_complete_live_settings_are_let_in(settings: LazySettings) -> None:
    assert found(settings, **LIVE) == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("DEBUG", True, "payments.E008"),
        ("HEADSHOTS_STRIPE_WEBHOOK_SECRET", "", "payments.E007"),
        ("HEADSHOTS_SITE_URL", "http://headshots.example.org", "payments.E009"),
        ("HEADSHOTS_SITE_URL", "", "payments.E009"),
        ("HEADSHOTS_HTTPS", False, "payments.E009"),
        ("HEADSHOTS_SELL_STUDIO", False, "payments.E010"),
        ("HEADSHOTS_STRIPE_API_URL", "http://127.0.0.1:1", "payments.E005"),
        ("HEADSHOTS_TEST_CHECKOUT", True, "payments.E004"),
        ("HEADSHOTS_SUPPORT_EMAIL", "", "payments.E011"),
    ],
)
def test_live_payments_are_refused_without_what_makes_them_safe(
    settings: LazySettings, name: str, value: object, code: str
) -> None:
    assert found(settings, **LIVE | {name: value}) == [code]


def test_a_seller_without_a_name_cannot_sell_and_what_is_missing_is_named(settings: LazySettings) -> None:
    nameless = {"HEADSHOTS_OPERATOR": "", "HEADSHOTS_OPERATOR_DETAILS": OperatorDetails()}

    assert found(settings, **LIVE | nameless) == ["payments.E011"]
    (message,) = checks.check_live_payments()
    assert message.msg == "Live payments need HEADSHOTS_OPERATOR, HEADSHOTS_OPERATOR_ADDRESS."
    with pytest.raises(NotForSale):
        require_for_sale("studio")


@pytest.mark.parametrize("name", ["HEADSHOTS_PRICE", "HEADSHOTS_STUDIO_PRICE"])
@pytest.mark.parametrize("value", ["0", "-1", "-0.01", "free", "", "19.999", "nan"])
def test_a_price_of_zero_or_below_or_none_is_always_refused(settings: LazySettings, name: str, value: str) -> None:
    assert found(settings, **{name: value}, DEBUG=True) == ["payments.E002"]


@pytest.mark.parametrize(
    ("currency", "right", "wrong"),
    [
        # Counted by Stripe in hundredths, and taken whole.
        ("isk", "2400", "2400.50"),
        ("ugx", "70000", "0.5"),
        # Whole in payouts alone.
        ("huf", "6900.50", "6900.505"),
        ("twd", "599.50", "599.505"),
        # Of three digits the last one is 0; some have none.
        ("kwd", "5.990", "5.995"),
        ("jpy", "2900", "2900.5"),
        ("usd", "19.99", "9" * 400),
        ("usd", "19", "1e999999"),
        ("usd", "19", "1e-999999"),
    ],
)
def test_a_price_has_coins_that_stripe_takes(settings: LazySettings, currency: str, right: str, wrong: str) -> None:
    safe = {"DEBUG": True, "HEADSHOTS_CURRENCY": currency, "HEADSHOTS_STUDIO_PRICE": "1900"}

    assert found(settings, **safe, HEADSHOTS_PRICE=right) == []
    assert found(settings, **safe, HEADSHOTS_PRICE=wrong) == ["payments.E002"]


@pytest.mark.parametrize("value", ["", "dollars", "u$d"])
def test_a_currency_is_three_letters(settings: LazySettings, value: str) -> None:
    assert found(settings, HEADSHOTS_CURRENCY=value, DEBUG=True) == ["payments.E001"]


def test_the_test_checkout_is_refused_when_debug_is_off(settings: LazySettings) -> None:
    assert found(settings, HEADSHOTS_TEST_CHECKOUT=True, DEBUG=False) == ["payments.E004"]


def test_a_publishable_key_is_no_secret_key(settings: LazySettings) -> None:
    wrong = {"HEADSHOTS_STRIPE_SECRET_KEY": "pk_live_1", "HEADSHOTS_STRIPE_WEBHOOK_SECRET": "whsec_1"}

    assert found(settings, **wrong, HEADSHOTS_TEST_CHECKOUT=False) == ["payments.E006"]


def test_a_process_with_live_keys_and_debug_does_not_start_and_says_no_secret(tmp_path: Path) -> None:
    live = {**COMPLETE, "HEADSHOTS_STRIPE_SECRET_KEY": "sk_live_abc", "HEADSHOTS_ENGINE": "studio"}

    checked = run_check(tmp_path, **live, HEADSHOTS_DEBUG="1")
    production = run_check(tmp_path, **live, HEADSHOTS_TEST_CHECKOUT="1")

    assert {code for code in ("E007", "E008", "E009", "E010") if f"payments.{code}" in checked.stderr} == {
        "E007",
        "E008",
        "E009",
        "E010",
    }
    assert "payments.E004" in production.stderr
    assert "sk_live" not in checked.stderr + production.stderr


def test_weights_that_forbid_business_are_not_sold(settings: LazySettings) -> None:
    for name, value in (LIVE | {"HEADSHOTS_ENGINE": "instantid", "HEADSHOTS_LICENSE_STATEMENT": ""}).items():
        setattr(settings, name, value)
    with pytest.raises(NotForSale):
        require_for_sale("instantid")

    settings.HEADSHOTS_LICENSE_STATEMENT = "insightface, contract 7 of 2026"

    assert require_for_sale("instantid") == "live"
