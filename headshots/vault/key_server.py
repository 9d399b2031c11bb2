"""Keep a key ring on a Redis or Valkey server of its own, for several machines.

For photos the server must keep nothing and drop nothing: no snapshots, no journal, no eviction. It is asked before a
key is made; where it must not be asked (CONFIG is often forbidden on hosted servers) the operator states it.
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

# Somebody may change a server's configuration while it runs.
_RECHECK_SECONDS = 60
_BATCH = 1000
URL_KINDS = ("redis://", "rediss://", "unix://")
_STATEMENT = "HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE"


class KeyServer:
    """Records under `headshots:<installation>:<ring>:<key id>`. `volatile`: the ring of photos."""

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
            # With its expiry in one command: the key dies by the server's own clock, whatever becomes of us.
            return bool(self._client.set(self._name(key_id), record, nx=True, pxat=expires_ms or None))

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        names = iter([self._name(key_id) for key_id in key_ids])
        while some := list(islice(names, _BATCH)):
            with _translate_errors():
                self._client.delete(*some)

    def expiries(self) -> Iterator[tuple[UUID, int]]:
        """What has expired by the server's clock is met here for the last time: a key that is looked at goes."""
        key_ids = self._key_ids()
        while some := list(islice(key_ids, _BATCH)):
            with _translate_errors():
                times = self._client.pipeline(transaction=False)
                for key_id in some:
                    times.pexpiretime(self._name(key_id))
                answers = times.execute()
            # -2: it went in between. -1: it never expires.
            yield from ((key_id, max(0, at)) for key_id, at in zip(some, answers, strict=True) if at != -2)

    def sweep_unfinished(self) -> None:
        """A record is there whole or not at all."""

    def delete_history(self) -> None:
        """Journal and snapshot, where the server has them, are written anew: until then they hold removed keys."""
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
        assert not isinstance(found, str)  # this client leaves bytes as they are
        return found

    def _name(self, key_id: UUID) -> str:
        return f"{self._prefix}{key_id}"

    def _key_ids(self) -> Iterator[UUID]:
        with _translate_errors():
            for name in self._client.scan_iter(match=f"{self._prefix}*", count=_BATCH):
                if key_id := uuid_or_none(str(name, "ascii")[len(self._prefix) :]):
                    yield key_id


def unsafe_reason_for_photos(url: str) -> str | None:
    """Why this server must not hold keys of photos, or None if it may. Raises VaultUnavailable."""
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
    """Why this server would lose keys of headshots, or None if it keeps them. Raises VaultUnavailable."""
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
    """The connection to a ring's server, one a process."""
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)


def without_password(url: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@lru_cache(maxsize=2)
def _cached_unsafe_reason(url: str, minute: int) -> str | None:
    return unsafe_reason_for_photos(url)


def _start_rewrite(write: Callable[[], object]) -> None:
    try:
        write()
    except ResponseError as error:
        # One that is under way may have begun before the removal: the next sweep asks again.
        if "in progress" not in str(error).lower():
            raise


def _has_snapshots(client: "redis.Redis") -> bool:
    try:
        return bool(client.config_get("save").get("save"))
    except ResponseError:
        # It does not say: one snapshot too many does no harm on this ring.
        return True


@cache
def installation_id() -> UUID:
    """Return the name of this installation where it shares a place with others. The database knows it: all machines
    agree."""
    return Installation.objects.get_or_create(only=True)[0].id


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Whatever goes wrong between here and the server is VaultUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise VaultUnavailable(f"a key ring does not answer: {type(error).__name__}") from error
