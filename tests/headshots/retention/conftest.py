"""Rings and a store of this test alone, and one shoot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from headshots.accounts.models import User
    from headshots.shoots.models import Shoot


@pytest.fixture(autouse=True)
def data_folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS = 30
    return tmp_path / "data"


@pytest.fixture
def owner() -> User:
    from headshots.accounts.models import User

    return User.objects.create(email="person@example.org")


@pytest.fixture
def shoot(owner: User) -> Shoot:
    """A shoot a minute old, with two photos, face crops and a delivered and a rendering pack."""
    from tests.headshots.retention.private import make_shoot

    return make_shoot(owner)
