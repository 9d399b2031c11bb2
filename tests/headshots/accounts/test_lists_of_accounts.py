"""From a person to what is theirs, and back: the lists of shoots, packs, credits and payments."""

import re

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from headshots.accounts.models import User
from headshots.payments.models import Credit, Payment
from headshots.shoots.looks.versions import start_trial
from headshots.shoots.models import Pack
from tests.headshots.dashboard.actions.targets import draft_of_a_look
from tests.helpers.factories import make_payment, make_premium, make_user
from tests.helpers.staff import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "stripes_test_mode")]

LISTS = ("shoots/shoot", "shoots/pack", "payments/credit", "payments/payment")


@pytest.fixture
def person() -> User:
    return make_user("anna@example.org")


@pytest.fixture
def pack(person: User, settings: LazySettings) -> Pack:
    """Theirs and paid for; beside one of somebody else."""
    settings.HEADSHOTS_PREMIUM_COUNT = 5
    for owner in (person, make_user("bert@example.net")):
        pack, payment = make_premium(owner), make_payment(owner)
        Payment.objects.filter(pk=payment.pk).update(pack=pack)
    return Pack.objects.get(shoot__owner=person, kind="premium")


def accounts(client: Client, name: str, term: str) -> set[str]:
    """Whose rows the list shows."""
    page = client.get(f"/admin/{name}/", {"q": term})
    assert page.status_code == 200
    cells = re.findall(r'<td class="field-account(?:_number)?">(?:<a [^>]*>)?([^<]*)<', page.content.decode())
    return set(cells)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_says_whose_each_row_is_and_finds_it_by_number_and_address(name: str, person: User, pack: Pack) -> None:
    support, theirs = client_of("support"), f"account {person.pk}"

    assert len(accounts(support, name, "")) == 2
    for term in (theirs, str(person.pk), theirs.upper(), "anna", person.email, " anna@ "):
        assert accounts(support, name, term) == {theirs}, term
    for term in ("account 0", "9" * 18, "9" * 40, "zoe@example"):
        assert accounts(support, name, term) == set(), term
    page = support.get(f"/admin/{name}/").content.decode()
    assert f'<a href="/admin/accounts/user/{person.pk}/change/">{theirs}</a>' in page
    assert "or account: “account 2”" in page
    assert '<label for="searchbar">Search</label>' in page
    assert person.email not in page


def test_rows_are_found_by_their_ids_as_before(pack: Pack) -> None:
    support = client_of("support")

    for name, term in (("shoots/pack", str(pack.shoot_id)), ("shoots/shoot", str(pack.shoot_id)[:8])):
        assert accounts(support, name, term) == {f"account {pack.shoot.owner_id}"}


def test_whoever_may_not_see_accounts_finds_nobody_by_address_and_has_no_dead_links(person: User, pack: Pack) -> None:
    finance = client_of("finance")
    payment, credit = Payment.objects.get(owner=person), Credit.objects.get(owner=person)

    page = finance.get(f"/admin/payments/payment/{payment.pk}/change/").content.decode()
    of_credit = finance.get(f"/admin/payments/credit/{credit.pk}/change/").content.decode()

    for name in ("payments/payment", "payments/credit"):
        assert accounts(finance, name, "anna") == set()
        assert accounts(finance, name, f"account {person.pk}") == {f"account {person.pk}"}
        assert "/admin/accounts/" not in finance.get(f"/admin/{name}/").content.decode()
    assert f"account {person.pk}" in page
    assert str(pack.pk) in page
    for link in re.findall(r'href="(/admin/[^"#?]+)"', page + of_credit):
        assert finance.get(link, follow=True).status_code == 200, link
    assert f'href="/admin/payments/payment/{payment.pk}/change/"' in of_credit


@pytest.mark.parametrize(("who", "linked"), [("support", LISTS), ("owner", LISTS)])
def test_the_page_of_an_account_leads_to_what_is_theirs(
    who: str, linked: tuple[str, ...], person: User, pack: Pack
) -> None:
    client = client_of(who)

    page = client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()

    for name in linked:
        assert f'<a href="/admin/{name}/?q=account+{person.pk}">' in page
        assert accounts(client, name, f"account {person.pk}") == {f"account {person.pk}"}


def test_shoot_pack_and_timeline_lead_to_the_payment_for_who_may_see_it(person: User, pack: Pack) -> None:
    support = client_of("support")
    payment = Payment.objects.get(owner=person)
    link = f'<a href="/admin/payments/payment/{payment.pk}/change/">Payment {str(payment.pk)[:8]}</a>'
    places = (
        f"shoots/shoot/{pack.shoot_id}/change/",
        f"shoots/pack/{pack.pk}/change/",
        f"support/{pack.shoot_id}/",
    )

    counts = [support.get(f"/admin/{place}").content.decode().count(link) for place in places]
    # Bought before its photos: it is the credit that leads there.
    Payment.objects.filter(pk=payment.pk).update(pack=None)
    Credit.objects.filter(payment=payment).update(pack=pack)
    by_credit = [support.get(f"/admin/{place}").content.decode().count(link) for place in places]

    assert counts == by_credit == [1, 1, 1]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_queries_however_long_it_is(name: str, person: User, pack: Pack) -> None:
    support = client_of("support")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert support.get(f"/admin/{name}/?q=anna").status_code == 200
        return len(queries)

    short = cost()
    for _ in range(3):
        make_premium(person)
        make_payment(person)

    assert cost() == short


def test_the_shoot_of_a_look_on_trial_is_marked(pack: Pack) -> None:
    start_trial(version=draft_of_a_look())

    assert "none (look trial)" in accounts(client_of("support"), "shoots/shoot", "")


def test_accounts_are_found_by_their_number(person: User, pack: Pack) -> None:
    page = client_of("support").get(f"/admin/accounts/user/?q=account+{person.pk}").content.decode()

    assert "1 in total" in page
    assert person.email in page
