"""Store a key ring on a separate Redis or Valkey server, for several machines.

A server of photo keys must write nothing to disk and evict nothing: no snapshots, no journal, no eviction. Its
configuration is checked before a key is created. Hosted servers often forbid the command CONFIG. For these, the
operator confirms the configuration with a setting.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import islice
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import redis
from django.conf import settings
from redis.exceptions import RedisError, ResponseError

from headshots.vault.errors import UnsafeRing, VaultUnavailable
from headshots.vault.models import Installation
from headshots.vault.private_files import uuid_or_none

# How often the server's configuration is checked. The configuration can change while the server runs.
_RECHECK_SECONDS = 60
_BATCH = 1000
URL_KINDS = ("redis://", "rediss://", "unix://")
_STATEMENT = "HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE"


class KeyServer:
    """A key store on a Redis, see `KeyStore`. Records are named `headshots:<installation>:<ring>:<key id>`.

    volatile: True for photo keys, which the server must not write to disk."""

    def __init__(self, url: str, ring: str, *, volatile: bool) -> None:
        self._url = url
        self._volatile = volatile
        self._client = ring_client(url)
        self._prefix = f"headshots:{installation_id()}:{ring}:"

    def read(self, key_id: UUID) -> bytes | None:
        return self._get(self._name(key_id))

    def write_new(self, key_id: UUID, record: bytes, expires_ms: int) -> bool:
        if self._volatile and (reason := _cached_unsafe_reason(self._url, int(time.time() // _RECHECK_SECONDS))):
            raise UnsafeRing(without_password(self._url), reason)
        with _translate_errors():
            # Set the expiry in the same command, so that the server deletes the key even if this process stops.
            return bool(self._client.set(self._name(key_id), record, nx=True, pxat=expires_ms or None))

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        names = iter([self._name(key_id) for key_id in key_ids])
        while some := list(islice(names, _BATCH)):
            with _translate_errors():
                self._client.delete(*some)

    def expiries(self) -> Iterator[tuple[UUID, int]]:
        """Yield the id and the expiry of each key. The server deletes expired keys on access and does not return them.

        The expiry is in milliseconds since 1970, 0 if the key never expires."""
        key_ids = self._key_ids()
        while some := list(islice(key_ids, _BATCH)):
            with _translate_errors():
                times = self._client.pipeline(transaction=False)
                for key_id in some:
                    times.pexpiretime(self._name(key_id))
                answers = times.execute()
            # -2: the key does not exist anymore. -1: the key never expires.
            yield from ((key_id, max(0, at)) for key_id, at in zip(some, answers, strict=True) if at != -2)

    def sweep_unfinished(self) -> None:
        """Do nothing: the server writes records completely or not at all."""

    def delete_history(self) -> None:
        """Start a rewrite of the server's journal and snapshot, where they exist.

        Both contain removed keys until the rewrite ends. Does nothing for photo keys."""
        if self._volatile:
            return
        with _translate_errors():
            if self._client.info("persistence").get("aof_enabled"):
                _start_rewrite(self._client.bgrewriteaof)
            if _has_snapshots(self._client):
                _start_rewrite(self._client.bgsave)

    def epoch(self) -> UUID:
        name = f"{self._prefix}epoch"
        with _translate_errors():
            self._client.set(name, str(uuid4()), nx=True)
        found = self._get(name)
        if found is None:
            raise VaultUnavailable("the ring lost its epoch at this moment")
        return UUID(str(found, "ascii"))

    def _get(self, name: str) -> bytes | None:
        with _translate_errors():
            found = self._client.get(name)
        assert not isinstance(found, str)  # The client does not decode responses.
        return found

    def _name(self, key_id: UUID) -> str:
        return f"{self._prefix}{key_id}"

    def _key_ids(self) -> Iterator[UUID]:
        with _translate_errors():
            for name in self._client.scan_iter(match=f"{self._prefix}*", count=_BATCH):
                if key_id := uuid_or_none(str(name, "ascii")[len(self._prefix) :]):
                    yield key_id


def unsafe_reason_for_photos(url: str) -> str | None:
    """Return why this server must not store keys of photos, or None if the server is safe. Raises VaultUnavailable."""
    client = ring_client(url)
    try:
        with _translate_errors():
            found = client.config_get("save", "appendonly", "maxmemory-policy")
    except VaultUnavailable as error:
        if not isinstance(error.__cause__, ResponseError):
            raise
        if settings.HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE:
            return None
        return f"it does not tell its configuration; {_STATEMENT}=1 states that it keeps and evicts nothing"
    if found.get("save") != "":
        return 'it writes snapshots (it needs `save ""`)'
    if found.get("appendonly") != "no":
        return "it keeps a journal (it needs `appendonly no`)"
    if found.get("maxmemory-policy") != "noeviction":
        return "it may drop keys (it needs `maxmemory-policy noeviction`)"
    return None


def unsafe_reason_for_headshots(url: str) -> str | None:
    """Return why this server could lose keys of headshots. Raises VaultUnavailable.

    Returns None if the server keeps the keys, or if the server does not allow reading its configuration."""
    client = ring_client(url)
    try:
        with _translate_errors():
            found = client.config_get("save", "appendonly", "maxmemory-policy")
    except VaultUnavailable as error:
        if not isinstance(error.__cause__, ResponseError):
            raise
        return None
    if found.get("save") == "" and found.get("appendonly") == "no":
        return "a restart loses its keys, and with them all finished headshots (it needs `appendonly yes`)"
    if str(found.get("maxmemory-policy")).startswith("allkeys"):
        return "it may drop keys, and with them finished headshots (it needs `maxmemory-policy noeviction`)"
    return None


@cache
def ring_client(url: str) -> "redis.Redis":
    """Return the client of a ring's server, one per process."""
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)


def without_password(url: str) -> str:
    """Return the URL without its user name and password, for people to read."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@lru_cache(maxsize=2)
def _cached_unsafe_reason(url: str, minute: int) -> str | None:
    return unsafe_reason_for_photos(url)


def _start_rewrite(write: Callable[[], object]) -> None:
    try:
        write()
    except ResponseError as error:
        # A rewrite that is already running may have begun before the keys were removed. The next sweep starts another.
        if "in progress" not in str(error).lower():
            raise


def _has_snapshots(client: "redis.Redis") -> bool:
    try:
        return bool(client.config_get("save").get("save"))
    except ResponseError:
        # The server does not say. An unnecessary snapshot does no harm on this ring.
        return True


@cache
def installation_id() -> UUID:
    """Return the id of this installation from the database, so that all its machines use the same id.

    The id separates installations that share a server or a folder."""
    return Installation.objects.get_or_create(only=True)[0].id


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate every error of the connection or the server into VaultUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise VaultUnavailable(f"a key ring does not answer: {type(error).__name__}") from error
