from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings

# pytest reads this file before Django is set up: models are imported inside the fixtures.
if TYPE_CHECKING:
    from headshots.accounts.models import User
    from pipeline.faces.age import AgeNetwork
    from pipeline.faces.find import FaceFinder
    from pipeline.identity.embedding import FaceEmbedder
    from pipeline.types import Embedding, Face, Pixels

PACK_SEED = 17


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


class RememberingFinder:
    """The real networks, which search each picture once: most tests are about the same photo."""

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._known: dict[bytes, tuple[Face, ...]] = {}

    @property
    def age_network(self) -> AgeNetwork:
        return self._finder.age_network

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        seen = blake2b(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if seen not in self._known:
            self._known[seen] = self._finder.find(pixels)
        return self._known[seen]


class RememberingEmbedder:
    """The real network, which looks once at each face of each picture: most tests are about the same photo."""

    def __init__(self, embedder: FaceEmbedder) -> None:
        self._embedder = embedder
        self._known: dict[bytes, Embedding] = {}

    # The optional second network is not installed.
    second = None

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        seen = blake2b(repr(pixels.shape).encode() + pixels.tobytes() + face.mesh.tobytes()).digest()
        if seen not in self._known:
            self._known[seen] = self._embedder.embed(pixels, face)
        return self._known[seen].copy()


@pytest.fixture(scope="session", autouse=True)
def pictures_are_looked_at_once() -> Iterator[None]:
    """Each process looks once at each picture: the result is the same every time."""
    from headshots.engine import photos, rendering

    real_finder, real_embedder = photos.finder, photos.embedder
    finder = cache(lambda: RememberingFinder(real_finder()))
    embedder = cache(lambda: RememberingEmbedder(real_embedder()))
    patch = pytest.MonkeyPatch()
    for module in (photos, rendering):
        patch.setattr(module, "finder", finder)
        patch.setattr(module, "embedder", embedder)
    yield
    patch.undo()


@pytest.fixture
def fake_engine(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine that needs milliseconds; everything around it is real.

    All packs have one seed, so that the pictures of one test are those of another, which were judged already."""
    from headshots.engine import rendering
    from headshots.shoots.packs import orders, prepared_subjects

    settings.HEADSHOTS_ENGINE = "fake"
    rendering._engine.cache_clear()
    prepared_subjects._prepared_subjects.clear()
    monkeypatch.setattr(orders, "secrets", SimpleNamespace(randbelow=lambda below: PACK_SEED))
    yield
    rendering._engine.cache_clear()
    prepared_subjects._prepared_subjects.clear()
