from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings

# pytest reads this file before Django is set up: models are imported inside the fixtures.
if TYPE_CHECKING:
    from headshots.accounts.models import User


@pytest.fixture
def person(db: None) -> User:
    from tests.helpers.factories import make_user

    return make_user()


@pytest.fixture(autouse=True)
def quick_passwords(settings: LazySettings) -> None:
    """Hashing slowly is for production; here it would cost most of the run."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def stripes_test_mode(settings: LazySettings) -> None:
    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_nobody"


@pytest.fixture
def fake_engine(settings: LazySettings) -> Iterator[None]:
    """The engine that needs milliseconds; everything around it is real."""
    from headshots.engine import rendering
    from headshots.shoots.packs import prepared_subjects

    settings.HEADSHOTS_ENGINE = "fake"
    rendering._engine.cache_clear()
    prepared_subjects._prepared_subjects.clear()
    yield
    rendering._engine.cache_clear()
    prepared_subjects._prepared_subjects.clear()
