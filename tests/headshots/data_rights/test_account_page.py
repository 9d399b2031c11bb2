"""Whose page of an account it is, and what stands on it."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import Session, User
from headshots.accounts.tasks import clear_sessions
from headshots.data_rights import services
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack, Shoot, Style
from headshots.shoots.packs.orders import order_premium
from tests.headshots.data_rights.account import EMAIL, staff
from tests.helpers.factories import make_checked_shoot, make_premium, make_shoot, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.mark.parametrize("address", ["", "export.zip", "consent/withdraw/", "delete/"])
def test_nobody_is_asked_to_sign_in_first(client: Client, address: str) -> None:
    response = client.get(f"/account/{address}")

    assert response.status_code == 302
    assert response.url.startswith("/accounts/login/?next=/account/")


def test_the_page_shows_what_is_the_persons_own(browser: Client, shoot: Shoot) -> None:
    theirs = make_checked_shoot(make_user())

    response = browser.get("/account/")

    page = response.content.decode()
    assert EMAIL in page
    assert f"/shoots/{shoot.pk}/" in page
    assert f"/account/consent/{shoot.pk}/withdraw/" in page
    assert str(theirs.pk) not in page
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("address", ["/account/", "/shoots/"])
def test_orders_that_were_never_paid_are_not_listed(browser: Client, ada: User, address: str) -> None:
    unpaid = make_premium(ada, queued=False)
    advance(unpaid, Pack.State.CANCELED, reason="not_paid")
    stopped = order_premium(shoot=unpaid.shoot, styles=Style.objects.all()[:5], queued=True)
    Pack.objects.filter(kind=Pack.Kind.PREVIEW).delete()
    advance(stopped, Pack.State.CANCELED, reason="on_request")

    page = browser.get(address).content.decode()

    assert page.lower().count("stopped") == 1
    assert "stopped ." not in " ".join(page.lower().split())


def test_staff_see_their_own_page_and_nobody_elses(client: Client, shoot: Shoot) -> None:
    client.force_login(staff())

    page = client.get("/account/").content.decode()

    assert str(shoot.pk) not in page
    assert client.get(f"/account/consent/{shoot.pk}/withdraw/").status_code == 404


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_strangers_consent_does_not_exist(client: Client, shoot: Shoot, method: str) -> None:
    address = f"/account/consent/{shoot.pk}/withdraw/"

    nobody = getattr(client, method)(address)
    client.force_login(make_user())
    stranger = getattr(client, method)(address)

    assert (nobody.status_code, stranger.status_code) == (404, 404)
    assert Shoot.objects.get().is_open


def test_the_page_costs_the_same_whatever_is_on_it(
    browser: Client, ada: User, settings: LazySettings, django_assert_max_num_queries: "object"
) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 10
    for _ in range(4):
        services.withdraw_consent(shoot=make_shoot(ada))

    with django_assert_max_num_queries(9):
        assert browser.get("/account/").status_code == 200


def test_expired_sessions_are_deleted_with_the_address_in_them(browser: Client) -> None:
    clear_sessions()
    assert Session.objects.count() == 1
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    clear_sessions()

    assert not Session.objects.exists()


def test_no_table_of_ours_but_those_of_accounts_has_a_place_for_an_address() -> None:
    named = [
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if "email" in field.name.lower() and not model._meta.label.startswith(("accounts.", "account."))
    ]

    assert named == []
