"""One account with a shoot, in folders of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings
    from django.test import Client

    from headshots.accounts.models import User
    from headshots.shoots.models import Shoot


@pytest.fixture(autouse=True)
def own_folders(settings: LazySettings, tmp_path: Path) -> None:
    """Rings and store of this test alone: what it leaves in them is seen."""
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"


@pytest.fixture
def ada() -> User:
    from allauth.account.models import EmailAddress

    from tests.headshots.data_rights.account import EMAIL
    from tests.helpers.factories import make_user

    user = make_user(EMAIL)
    EmailAddress.objects.create(user=user, email=EMAIL, primary=True, verified=True)
    return user


@pytest.fixture
def shoot(ada: User) -> Shoot:
    """Four delivered headshots and the photo they were made from."""
    from tests.helpers.factories import make_delivered

    return make_delivered(ada).shoot


@pytest.fixture
def browser(client: Client, ada: User) -> Client:
    """Signed in through the form, as people are: the session then holds what was typed."""
    from tests.helpers.factories import PASSWORD

    assert client.post("/accounts/login/", {"login": ada.email, "password": PASSWORD}).status_code == 302
    return client
