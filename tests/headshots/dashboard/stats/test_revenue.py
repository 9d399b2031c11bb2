"""Revenue and refunds on the operator's page: out of the ledger, by currency, and only for those who may see money."""

import csv
import io
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from headshots.payments.models import LedgerEntry
from tests.helpers.staff import client_of

pytestmark = pytest.mark.django_db


def move(kind: str, amount: int, currency: str = "usd", mode: str = "live", days_ago: int = 0) -> None:
    at = timezone.now() - timedelta(days=days_ago)
    LedgerEntry.objects.create(
        at=at, kind=kind, amount=amount, currency=currency, mode=mode, payment_id=uuid4(), stripe_id=uuid4().hex
    )


def table(client: Client, code: str, days: int = 7) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/admin/tables/{code}.csv?days={days}").content.decode())))


@pytest.fixture
def ledger(db: None) -> None:
    for _ in range(3):
        move("charge", 1900)
    move("refund", -1900)
    move("refund", -450)
    move("refund_failed", 450)
    move("dispute", -1900)
    move("charge", 2500, currency="jpy")
    move("charge", 1900, mode="local")
    move("charge", 1900, days_ago=8)


@pytest.mark.usefixtures("ledger")
def test_revenue_is_what_the_ledger_says_by_mode_and_currency() -> None:
    dollars, yen, trial = table(client_of("finance"), "revenue")

    assert (dollars["Mode"], dollars["Currency"], trial["Mode"], yen["Currency"]) == ("live", "USD", "local", "JPY")
    assert (dollars["Payments"], dollars["Revenue"]) == ("3", "57.00")
    assert (dollars["Refunds"], dollars["Refunded"], dollars["Disputed"]) == ("2", "-19.00", "-19.00")
    assert dollars["Net revenue"] == "19.00"
    assert (yen["Revenue"], trial["Revenue"]) == ("2500", "19.00")


@pytest.mark.usefixtures("ledger")
def test_the_funnel_counts_payments_of_all_currencies_and_none_of_the_test_checkout() -> None:
    assert table(client_of("support"), "funnel")[-1]["Count"] == "4"
    assert table(client_of("support"), "funnel", days=30)[-1]["Count"] == "5"


@pytest.mark.usefixtures("ledger")
def test_payments_are_no_share_of_the_free_packs() -> None:
    assert table(client_of("support"), "funnel")[-1]["Conversion rate (%)"] == ""
    page = client_of("support").get("/admin/").content.decode()
    assert "customers can pay before they upload photos" in page
    assert "Premium delivery time, median" in page


def test_without_real_payments_the_funnel_counts_those_of_the_test_checkout() -> None:
    before = table(client_of("owner"), "funnel")[-1]["Count"]
    move("charge", 1900, mode="local")

    assert (before, table(client_of("owner"), "funnel")[-1]["Count"]) == ("0", "1")


def test_what_the_test_checkout_took_says_so() -> None:
    move("charge", 1900, mode="local")

    page = client_of("finance").get("/admin/").content.decode()

    assert "<dt>Net revenue, test checkout without money</dt>" in page
    assert "Revenue and refunds (test checkout without money, USD)" in page


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(("who", "sees"), [("owner", True), ("finance", True), ("support", False), ("staff", False)])
def test_money_is_seen_by_those_who_may(who: str, sees: bool) -> None:
    client = client_of(who)

    page = client.get("/admin/").content.decode()
    answers = [client.get(f"/admin/{path}").status_code for path in ("tables/revenue.csv", "charts/money.svg")]

    assert ("<dt>Net revenue</dt><dd>$19 <small>of $57</small></dd>" in page) is sees
    assert ("57.00" in page) is sees
    assert answers == [200 if sees else 403] * 2
