"""Limit what is in use at the same time (bytes, decodes, streams), over all processes of the product together.

A share is a lease on the server of HEADSHOTS_REDIS_URL. It ends when it is given back or when its time is up, so a
process that is killed keeps nothing. Every process counts its own shares as well: while the server is away, or where
there is none, each process keeps to the limits alone.
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

# One lease is a member "weight:holder:id" whose score is the time it ends, by the server's clock (ms). A renewal
# (limits of -1) is stored in any case: its holder has the share already.
_TAKE = """
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
_SERVER_SECONDS = 1
# How long the server is not asked again after it did not answer: a request must not wait for it at every step.
_AWAY_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.3


class BudgetExceeded(Exception):
    """No share became free in time. retry_after_seconds: when to try again."""

    def __init__(self, name: str, retry_after_seconds: int) -> None:
        super().__init__(f"the budget {name} is used up")
        self.retry_after_seconds = retry_after_seconds


class _Counted:
    """Shares of this process: (budget, lease) -> (weight, holder)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shares: dict[tuple[str, str], tuple[int, str]] = {}
        self.server_away_until = 0.0


_here = _Counted()


@dataclass(frozen=True)
class Lease:
    """A share that is held. Renew it before `Budget.lease_seconds` are over if it is held for longer."""

    budget: "Budget"
    weight: int
    holder: str
    id: str = field(default_factory=lambda: uuid4().hex)

    @property
    def member(self) -> str:
        return f"{self.weight}:{self.holder}:{self.id}"

    def renew(self) -> None:
        """Hold the share for another `lease_seconds`."""
        self.budget._ask(*self.budget._take_command(self, total=-1, per_holder=-1))

    async def renew_async(self) -> None:
        """Hold the share for another `lease_seconds`, on the event loop."""
        await self.budget._ask_async(*self.budget._take_command(self, total=-1, per_holder=-1))

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew the share again and again while the block runs, however long that is."""

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
    """Limit the weights that are held at the same time under one name.

    total: limit of all weights together. per_holder: limit of one holder's weights, where a holder is named.
    lease_seconds: when the share of a killed process becomes free. Objects are cheap: two with one name are one budget.
    """

    name: str
    total: int
    lease_seconds: float
    per_holder: int | None = None
    retry_after_seconds: int = 5

    @contextmanager
    def hold(self, weight: int = 1, *, holder: str = "", wait_seconds: float = 0) -> Iterator[Lease]:
        """Hold a share, waiting for it in this thread.

        holder: an account, an address or the like; stored only as a keyed hash. Raises BudgetExceeded after
        wait_seconds.
        """
        lease = self._lease(weight, holder)
        try:
            for pause in self._pauses(wait_seconds):
                if self._take_here(lease):
                    if self._ask(*self._take_command(lease, self.total, self._most(lease))):
                        break
                    self._give_back_here(lease)
                time.sleep(pause)
            yield lease
        finally:
            if self._give_back_here(lease):
                self._ask("ZREM", self._key, lease.member)

    @asynccontextmanager
    async def hold_async(self, weight: int = 1, *, holder: str = "", wait_seconds: float = 0) -> AsyncIterator[Lease]:
        """Hold a share, waiting for it on the event loop. Arguments and errors are those of `hold`."""
        lease = self._lease(weight, holder)
        try:
            for pause in self._pauses(wait_seconds):
                if self._take_here(lease):
                    if await self._ask_async(*self._take_command(lease, self.total, self._most(lease))):
                        break
                    self._give_back_here(lease)
                await asyncio.sleep(pause)
            yield lease
        finally:
            # Also when the wait was canceled, while the server may have stored the lease already.
            if self._give_back_here(lease):
                await self._ask_async("ZREM", self._key, lease.member)

    @property
    def _key(self) -> str:
        return f"headshots:budget:{self.name}"

    def _lease(self, weight: int, holder: str) -> Lease:
        if weight < 1:
            raise ValueError("a share weighs 1 or more")
        # Keyed: the server must not hold anything that leads back to an account or an address.
        hashed = salted_hmac("headshots.web.budgets", f"{self.name}:{holder}").hexdigest()[:32] if holder else ""
        return Lease(self, weight, hashed)

    def _most(self, lease: Lease) -> int:
        """The limit of the lease's holder, -1 where there is none."""
        return -1 if self.per_holder is None or not lease.holder else self.per_holder

    def _pauses(self, wait_seconds: float) -> Iterator[float]:
        """Yield how long to wait before each further try. Raises BudgetExceeded once the time is up."""
        give_up, pause = time.monotonic() + wait_seconds, _FIRST_PAUSE
        while True:
            left = give_up - time.monotonic()
            # Of random length: those who wait must not all ask at the same moment.
            yield max(0.0, min(left, pause * random.uniform(0.5, 1)))  # noqa: S311
            if left <= 0:
                raise BudgetExceeded(self.name, self.retry_after_seconds)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _take_here(self, lease: Lease) -> bool:
        """Count the lease in this process if it fits. Returns whether it does."""
        most = self._most(lease)
        with _here.lock:
            held = [share for (name, _), share in _here.shares.items() if name == self.name]
            own = sum(weight for weight, holder in held if holder == lease.holder)
            fits = sum(weight for weight, _ in held) + lease.weight <= self.total
            if not fits or (most >= 0 and own + lease.weight > most):
                return False
            _here.shares[self.name, lease.id] = (lease.weight, lease.holder)
            return True

    def _give_back_here(self, lease: Lease) -> bool:
        """Stop counting the lease in this process. Returns whether it was counted."""
        with _here.lock:
            return _here.shares.pop((self.name, lease.id), None) is not None

    def _take_command(self, lease: Lease, total: int, per_holder: int) -> tuple[object, ...]:
        milliseconds = int(self.lease_seconds * 1000)
        return ("EVAL", _TAKE, 1, self._key, lease.member, milliseconds, total, per_holder)

    def _ask(self, *command: object) -> bool:
        """Return the server's answer, True while it does not answer: this process has counted already."""
        if not _server_is_asked():
            return True
        try:
            client = _client(settings.HEADSHOTS_REDIS_URL)
            return bool(client.execute_command(*command))  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            return _count_alone(error)

    async def _ask_async(self, *command: object) -> bool:
        """Return the same as `_ask`, on the event loop."""
        if not _server_is_asked():
            return True
        client = _async_client(settings.HEADSHOTS_REDIS_URL)
        asking = asyncio.ensure_future(client.execute_command(*command))  # type: ignore[no-untyped-call]
        try:
            # Never canceled halfway: a client that connects swallows it, and the share would stay until it ends.
            return bool(await asyncio.shield(asking))
        except asyncio.CancelledError:
            await asyncio.gather(asking, return_exceptions=True)
            raise
        except redis.RedisError as error:
            return _count_alone(error)


def _server_is_asked() -> bool:
    return bool(settings.HEADSHOTS_REDIS_URL) and time.monotonic() >= _here.server_away_until


def _count_alone(error: Exception) -> bool:
    _here.server_away_until = time.monotonic() + _AWAY_SECONDS
    log.warning("budgets are counted in this process alone: %s", type(error).__name__)
    return True


@cache
def _client(url: str) -> redis.Redis:
    # One more try at once: a server that was restarted has closed the connection.
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(
        url, socket_timeout=_SERVER_SECONDS, socket_connect_timeout=_SERVER_SECONDS, retry=retry
    )


_async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, aioredis.Redis]] = WeakKeyDictionary()


def _async_client(url: str) -> aioredis.Redis:
    """Return the client of the running event loop: a connection belongs to one loop."""
    clients = _async_clients.setdefault(asyncio.get_running_loop(), {})
    if url not in clients:
        # Blocking: hundreds of requests that ask at once wait for a connection, and are not taken for a server away.
        pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=20,
            timeout=5,
            socket_timeout=_SERVER_SECONDS,
            socket_connect_timeout=_SERVER_SECONDS,
            retry=AsyncRetry(NoBackoff(), 1),
        )
        clients[url] = aioredis.Redis(connection_pool=pool)
    return clients[url]
