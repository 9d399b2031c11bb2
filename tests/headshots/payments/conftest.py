"""What tests of payments stand on: a Stripe on this machine, and somebody with a shoot that could become a pack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings

from tests.helpers.fake_stripe import KEY, SECRET, FakeStripe, running

if TYPE_CHECKING:
    from django.test import Client

    from headshots.accounts.models import User
    from headshots.shoots.models import Shoot


@pytest.fixture
def stripe(settings: LazySettings) -> Iterator[FakeStripe]:
    """Payments go to a Stripe of the test's own, in its test mode."""
    for fake in running(FakeStripe()):
        use(settings, fake)
        yield fake


def use(settings: LazySettings, fake: FakeStripe) -> None:
    settings.HEADSHOTS_STRIPE_SECRET_KEY = KEY
    settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET = SECRET
    settings.HEADSHOTS_STRIPE_API_URL = fake.url
    settings.HEADSHOTS_TEST_CHECKOUT = False
    # Four pictures make the same point as fifty.
    settings.HEADSHOTS_PREMIUM_COUNT = 4


@pytest.fixture
def at_the_test_checkout(settings: LazySettings) -> None:
    """Without a Stripe: packs are sold for no money."""
    settings.DEBUG = True
    settings.HEADSHOTS_PREMIUM_COUNT = 4


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    """Where they are signed in."""
    client.force_login(person)
    return client


@pytest.fixture
def shoot(person: User, fake_engine: None) -> Shoot:
    """An open shoot with a usable photo."""
    from tests.helpers.factories import make_checked_shoot

    return make_checked_shoot(person)
