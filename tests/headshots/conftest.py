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

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        seen = blake2b(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if seen not in self._known:
            self._known[seen] = self._finder.find(pixels)
        return self._known[seen]


@cache
def remembering_finder() -> RememberingFinder:
    from headshots.engine.photos import finder

    return RememberingFinder(finder())


class RememberingEmbedder:
    """The real network, which looks once at each face of each picture: most tests are about the same photo."""

    def __init__(self, embedder: FaceEmbedder) -> None:
        self._embedder = embedder
        self._known: dict[bytes, Embedding] = {}

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        seen = blake2b(repr(pixels.shape).encode() + pixels.tobytes() + face.mesh.tobytes()).digest()
        if seen not in self._known:
            self._known[seen] = self._embedder.embed(pixels, face)
        return self._known[seen].copy()


@cache
def remembering_embedder() -> RememberingEmbedder:
    from headshots.engine.photos import embedder

    return RememberingEmbedder(embedder())


@pytest.fixture
def fake_engine(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine that needs milliseconds; everything around it is real.

    All packs have one seed, so that the pictures of one test are those of another, which were judged already."""
    from headshots.engine import rendering
    from headshots.shoots.packs import orders, prepared_subjects

    settings.HEADSHOTS_ENGINE = "fake"
    rendering._engine.cache_clear()
    prepared_subjects._prepared_subjects.clear()
    monkeypatch.setattr(rendering, "finder", remembering_finder)
    monkeypatch.setattr(rendering, "embedder", remembering_embedder)
    monkeypatch.setattr(orders, "secrets", SimpleNamespace(randbelow=lambda below: PACK_SEED))
    yield
    rendering._engine.cache_clear()
    prepared_subjects._prepared_subjects.clear()
