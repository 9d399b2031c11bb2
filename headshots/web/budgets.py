"""Limit what is in use at the same time (bytes, decodes, streams) across all processes of the product.

A share is a lease on the server of HEADSHOTS_REDIS_URL. A lease ends when it is released or when it expires, so a
killed process holds nothing for long. Every process counts its own shares as well. Without a server, or while the
server is unreachable, each process applies the limits to its own shares.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from uuid import uuid4
from weakref import WeakKeyDictionary

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

# Each lease is a member "weight:holder:id" of a sorted set. Its score is its expiry by the server's clock (ms). A
# renewal passes limits of -1 and always succeeds, because its holder already has the share.
_ACQUIRE_SCRIPT = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local weight, holder = string.match(ARGV[1], '^(%d+):(%x*):')
local total, per_holder, all, own = tonumber(ARGV[3]), tonumber(ARGV[4]), 0, 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local other_weight, other = string.match(member, '^(%d+):(%x*):')
  all = all + other_weight
  if other == holder then own = own + other_weight end
end
if total >= 0 and all + weight > total then return 0 end
if per_holder >= 0 and own + weight > per_holder then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
return 1
"""
_SERVER_TIMEOUT_SECONDS = 1
# Pause before the next attempt to reach an unreachable server, so that one request does not wait for it repeatedly.
_SERVER_RETRY_SECONDS = 2.0
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.02, 0.3


class BudgetExceeded(Exception):
    """Raised when no share became free in time. retry_after_seconds: when the client should try again."""

    def __init__(self, name: str, retry_after_seconds: int) -> None:
        super().__init__(f"the budget {name} is used up")
        self.retry_after_seconds = retry_after_seconds


class _LocalShares:
    """The shares of this process: (budget name, lease id) -> (weight, holder)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shares: dict[tuple[str, str], tuple[int, str]] = {}
        self.server_retry_at = 0.0


_local = _LocalShares()


@dataclass(frozen=True)
class Lease:
    """A share of a budget that is held.

    Renew a lease that is held for longer than `Budget.lease_seconds`."""

    budget: "Budget"
    weight: int
    holder: str
    id: str = field(default_factory=lambda: uuid4().hex)

    @property
    def member(self) -> str:
        return f"{self.weight}:{self.holder}:{self.id}"

    def renew(self) -> None:
        """Hold the share for another `lease_seconds`."""
        self.budget._execute(*self.budget._acquire_command(self, total=-1, per_holder=-1))

    async def renew_async(self) -> None:
        """Hold the share for another `lease_seconds`, on the event loop."""
        await self.budget._execute_async(*self.budget._acquire_command(self, total=-1, per_holder=-1))

    @asynccontextmanager
    async def auto_renew(self) -> AsyncIterator[None]:
        """Renew the share periodically while the block runs."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self.budget.lease_seconds / 3)
                await self.renew_async()

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


@dataclass(frozen=True)
class Budget:
    """A limit on the sum of the weights that are held at the same time under one name.

    Objects with the same name share one budget, so create them where you need them.

    Attributes:
        total: limit of all weights together.
        per_holder: limit of the weights of one holder, for shares that name a holder.
        lease_seconds: when the share of a killed process becomes free.
    """

    name: str
    total: int
    lease_seconds: float
    per_holder: int | None = None
    retry_after_seconds: int = 5

    @contextmanager
    def hold(self, weight: int = 1, *, holder: str = "", wait_seconds: float = 0) -> Iterator[Lease]:
        """Hold a share while the block runs, waiting for it in this thread.

        holder: the account or address that the share counts for; stored only as a keyed hash.
        Raises BudgetExceeded after wait_seconds.
        """
        lease = self._lease(weight, holder)
        try:
            for pause in self._retry_delays(wait_seconds):
                if self._acquire_locally(lease):
                    if self._execute(*self._acquire_command(lease, self.total, self._holder_limit(lease))):
                        break
                    self._release_locally(lease)
                time.sleep(pause)
            yield lease
        finally:
            if self._release_locally(lease):
                self._execute("ZREM", self._key, lease.member)

    @asynccontextmanager
    async def hold_async(self, weight: int = 1, *, holder: str = "", wait_seconds: float = 0) -> AsyncIterator[Lease]:
        """Hold a share like `hold`, but wait for it on the event loop."""
        lease = self._lease(weight, holder)
        try:
            for pause in self._retry_delays(wait_seconds):
                if self._acquire_locally(lease):
                    if await self._execute_async(*self._acquire_command(lease, self.total, self._holder_limit(lease))):
                        break
                    self._release_locally(lease)
                await asyncio.sleep(pause)
            yield lease
        finally:
            # This also runs when the wait is canceled. The server may have stored the lease by then.
            if self._release_locally(lease):
                await self._execute_async("ZREM", self._key, lease.member)

    @property
    def _key(self) -> str:
        return f"headshots:budget:{self.name}"

    def _lease(self, weight: int, holder: str) -> Lease:
        if weight < 1:
            raise ValueError("a share weighs 1 or more")
        # A keyed hash, so that nothing on the server leads back to an account or an address.
        hashed = salted_hmac("headshots.web.budgets", f"{self.name}:{holder}").hexdigest()[:32] if holder else ""
        return Lease(self, weight, hashed)

    def _holder_limit(self, lease: Lease) -> int:
        """Return the limit of the lease's holder, -1 for no limit."""
        return -1 if self.per_holder is None or not lease.holder else self.per_holder

    def _retry_delays(self, wait_seconds: float) -> Iterator[float]:
        """Yield how long to wait before each further try. Raises BudgetExceeded once the time is up."""
        give_up, pause = time.monotonic() + wait_seconds, _MIN_PAUSE_SECONDS
        while True:
            left = give_up - time.monotonic()
            # Random, so that waiting requests do not all retry at the same moment.
            yield max(0.0, min(left, pause * random.uniform(0.5, 1)))  # noqa: S311
            if left <= 0:
                raise BudgetExceeded(self.name, self.retry_after_seconds)
            pause = min(pause * 1.5, _MAX_PAUSE_SECONDS)

    def _acquire_locally(self, lease: Lease) -> bool:
        """Count the lease in this process if the limits allow it. Returns True if it was counted."""
        most = self._holder_limit(lease)
        with _local.lock:
            held = [share for (name, _), share in _local.shares.items() if name == self.name]
            own = sum(weight for weight, holder in held if holder == lease.holder)
            fits = sum(weight for weight, _ in held) + lease.weight <= self.total
            if not fits or (most >= 0 and own + lease.weight > most):
                return False
            _local.shares[self.name, lease.id] = (lease.weight, lease.holder)
            return True

    def _release_locally(self, lease: Lease) -> bool:
        """Stop counting the lease in this process. Returns True if it was counted."""
        with _local.lock:
            return _local.shares.pop((self.name, lease.id), None) is not None

    def _acquire_command(self, lease: Lease, total: int, per_holder: int) -> tuple[object, ...]:
        milliseconds = int(self.lease_seconds * 1000)
        return ("EVAL", _ACQUIRE_SCRIPT, 1, self._key, lease.member, milliseconds, total, per_holder)

    def _execute(self, *command: object) -> bool:
        """Run a command and return True if the server accepted it.

        Also returns True without a server or while it is unreachable. The local count limits the shares then."""
        if not _is_server_in_use():
            return True
        try:
            client = _client(settings.HEADSHOTS_REDIS_URL)
            return bool(client.execute_command(*command))  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            return _fall_back_to_local(error)

    async def _execute_async(self, *command: object) -> bool:
        """Run a command like `_execute`, on the event loop."""
        if not _is_server_in_use():
            return True
        client = _async_client(settings.HEADSHOTS_REDIS_URL)
        asking = asyncio.ensure_future(client.execute_command(*command))  # type: ignore[no-untyped-call]
        try:
            # Shielded: a client that connects swallows a cancellation, and the share would stay until it expires.
            return bool(await asyncio.shield(asking))
        except asyncio.CancelledError:
            await asyncio.gather(asking, return_exceptions=True)
            raise
        except redis.RedisError as error:
            return _fall_back_to_local(error)


def _is_server_in_use() -> bool:
    return bool(settings.HEADSHOTS_REDIS_URL) and time.monotonic() >= _local.server_retry_at


def _fall_back_to_local(error: Exception) -> bool:
    _local.server_retry_at = time.monotonic() + _SERVER_RETRY_SECONDS
    log.warning("budgets are counted in this process alone: %s", type(error).__name__)
    return True


@cache
def _client(url: str) -> redis.Redis:
    # Retry once immediately, because a restarted server has closed the connection.
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(
        url, socket_timeout=_SERVER_TIMEOUT_SECONDS, socket_connect_timeout=_SERVER_TIMEOUT_SECONDS, retry=retry
    )


_async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, aioredis.Redis]] = WeakKeyDictionary()


def _async_client(url: str) -> aioredis.Redis:
    """Return the client of the running event loop. A connection cannot be shared between loops."""
    clients = _async_clients.setdefault(asyncio.get_running_loop(), {})
    if url not in clients:
        # With a blocking pool, hundreds of concurrent requests wait for a connection instead of getting an error.
        pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=20,
            timeout=5,
            socket_timeout=_SERVER_TIMEOUT_SECONDS,
            socket_connect_timeout=_SERVER_TIMEOUT_SECONDS,
            retry=AsyncRetry(NoBackoff(), 1),
        )
        clients[url] = aioredis.Redis(connection_pool=pool)
    return clients[url]
