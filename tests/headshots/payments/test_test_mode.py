"""Where no real money can be paid, every page says so; where it can, none does."""

import pytest
from django.conf import LazySettings
from django.template.loader import render_to_string
from django.test import Client

from tests.helpers.staff import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

ERRORS = ["400.html", "403.html", "403_csrf.html", "404.html", "413.html", "429.html", "500.html"]


@pytest.fixture(params=["local", "test", "live"])
def says_test(request: pytest.FixtureRequest, settings: LazySettings) -> bool:
    """Whether pages must say TEST, in each of the modes of payment."""
    settings.DEBUG = settings.HEADSHOTS_TEST_CHECKOUT = request.param == "local"
    settings.HEADSHOTS_STRIPE_SECRET_KEY = {"local": "", "test": "sk_test_1", "live": "sk_live_1"}[request.param]
    settings.HEADSHOTS_LIVE_PAYMENTS = request.param == "live"
    return request.param != "live"


@pytest.mark.parametrize("path", ["/", "/pricing/", "/accounts/login/", "/verify/", "/nowhere/"])
def test_pages_of_everybody(says_test: bool, path: str) -> None:
    assert ("TEST" in Client().get(path).content.decode()) == says_test


@pytest.mark.parametrize("name", ERRORS)
def test_error_pages_that_know_nothing_of_the_request(says_test: bool, name: str) -> None:
    assert ("<strong>TEST</strong>" in render_to_string(name)) == says_test


def test_the_office(says_test: bool) -> None:
    page = client_of("owner").get("/admin/payments/payment/").content.decode()

    assert ("TEST payments" in page) == says_test
