"""The ledger: nobody changes it, by whatever way, and it says what Stripe's balance says."""

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction

from headshots.payments.models import LedgerEntry, LedgerIsAppendOnly, Payment
from headshots.payments.prices import format_money, parse_price
from headshots.shoots.models import Shoot
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import paid

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(stripe: FakeStripe, shoot: Shoot) -> LedgerEntry:
    paid(stripe, shoot)
    return LedgerEntry.objects.get()


def test_an_entry_names_money_and_nobody(entry: LedgerEntry) -> None:
    names = {field.name for field in LedgerEntry._meta.get_fields()}

    assert names == {"id", "at", "kind", "amount", "currency", "mode", "payment_id", "stripe_id"}
    assert (entry.kind, entry.amount, entry.currency, entry.mode) == ("charge", 1900, "usd", "test")


def test_the_models_refuse_to_change_or_delete_an_entry(entry: LedgerEntry) -> None:
    entry.amount = 1
    for forbidden in (
        entry.save,
        entry.delete,
        lambda: LedgerEntry.objects.update(amount=1),
        lambda: LedgerEntry.objects.all().delete(),
        lambda: LedgerEntry.objects.bulk_update([entry], ["amount"]),
    ):
        with pytest.raises(LedgerIsAppendOnly):
            forbidden()

    assert LedgerEntry.objects.get().amount == 1900


@pytest.mark.parametrize(
    "statement", ["UPDATE payments_ledgerentry SET amount = 1", "DELETE FROM payments_ledgerentry"]
)
def test_the_database_refuses_too(entry: LedgerEntry, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format("payments_ledgerentry"))

    assert LedgerEntry.objects.get().amount == 1900


def test_one_movement_is_entered_once(entry: LedgerEntry) -> None:
    copy = LedgerEntry(
        kind=entry.kind, amount=5, currency="usd", mode="test", payment_id=entry.payment_id, stripe_id=entry.stripe_id
    )

    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save()


def test_the_ledger_stays_when_the_account_goes(entry: LedgerEntry, shoot: Shoot) -> None:
    assert shoot.owner is not None

    shoot.owner.delete()

    assert Payment.objects.get().owner is None
    assert LedgerEntry.objects.get() == entry


def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", "payments", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1900, "usd", "$19"),
        (1850, "eur", "€18.50"),
        (-500, "usd", "−$5"),
        (1900, "chf", "19.00 CHF"),
        (1900, "jpy", "¥1,900"),
        (19000, "kwd", "19.000 KWD"),
        (123456700, "usd", "$1,234,567"),
    ],
)
def test_money_is_written_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert format_money(amount, currency) == text


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [("19", "usd", 1900), ("18.50", "usd", 1850), ("0.5", "usd", 50), ("1900", "jpy", 1900), ("1.250", "kwd", 1250)],
)
def test_prices_are_read_in_the_smallest_unit(text: str, currency: str, amount: int) -> None:
    assert parse_price(text, currency) == amount


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("", "usd"),
        ("a lot", "usd"),
        ("19.999", "usd"),
        ("19.5", "jpy"),
        ("1.255", "kwd"),
        ("nan", "usd"),
        ("inf", "usd"),
    ],
)
def test_what_cannot_be_paid_is_no_price(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"price|paid"):
        parse_price(text, currency)
