"""Money in every order of things (any_order.py): nobody has paid for nothing, and nobody has paid twice."""

import logging
from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from headshots.payments.stripe import client as stripe_client
from tests.headshots.payments.accounting.any_order import SERVER, run
from tests.headshots.payments.conftest import use
from tests.helpers.factories import seed_styles
from tests.helpers.fake_stripe import running

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture
def any_order(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stripe_client, "_RETRIES", 0)
    logging.getLogger("headshots").setLevel(logging.CRITICAL)
    seed_styles()
    for fake in running(SERVER):
        use(settings, fake)
        settings.HEADSHOTS_PREMIUM_COUNT = 2
        yield
    logging.getLogger("headshots").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("any_order")
def test_nobody_pays_twice_or_for_nothing_in_any_order() -> None:
    run(40)


@pytest.mark.usefixtures("any_order")
def test_nobody_pays_twice_or_for_nothing_in_two_thousand_orders() -> None:
    run(2000)
