"""Receive request bodies before Django is called, within limits of size, memory and sender.

No thread and no database connection waits for a body. How slow one may arrive is the business of
`headshots/web/protocol.py`.
"""

import io
import mmap
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from headshots.web.asgi_types import Application, Message, Receive, Scope, Send
from headshots.web.budgets import Budget, BudgetExceeded
from headshots.web.client_address import client_address
from headshots.web.threads import NoThreadFree
from headshots.web.unavailable import send_unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BODY = "headshots.body"
"""Key in the ASGI scope: the body, complete."""
REFUSED = "headshots.body_refused"
"""Key in the ASGI scope of a request whose body was not taken: TOO_LARGE or SIGNED_OUT."""
TOO_LARGE, SIGNED_OUT = "too large", "signed out"

# What every connection may bring without being counted: the server reads as much ahead.
UNRESERVED_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024
_LEASE_SECONDS = 30


@dataclass(frozen=True)
class LargeBodyRule:
    """A larger limit for one path. signed_in: only for accounts that are signed in."""

    max_bytes: int
    signed_in: bool


class _Refused(Exception):
    """This body is not taken. The argument is the value of REFUSED."""


class Body(io.RawIOBase):
    """The bytes of a body. What has been read is let go, so that a parser's copy replaces ours piece by piece.

    The pieces are mappings and not bytes, which the process would keep after they were freed."""

    def __init__(self) -> None:
        self.chunks: deque[mmap.mmap] = deque()
        self.first_chunk_read = 0
        self.last_chunk_written = 0
        self.length = 0

    def append(self, data: bytes) -> None:
        """Add what has arrived."""
        self.length += len(data)
        while data:
            if not self.chunks or self.last_chunk_written == _CHUNK_BYTES:
                self.chunks.append(mmap.mmap(-1, _CHUNK_BYTES))
                self.last_chunk_written = 0
            fits = data[: _CHUNK_BYTES - self.last_chunk_written]
            self.chunks[-1].write(fits)
            self.last_chunk_written += len(fits)
            data = data[len(fits) :]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if not self.chunks:
            return 0
        target = memoryview(buffer).cast("B")
        start, end = self.first_chunk_read, self.last_chunk_written if len(self.chunks) == 1 else _CHUNK_BYTES
        count = min(len(target), end - start)
        target[:count] = self.chunks[0][start : start + count]
        self.first_chunk_read += count
        if self.first_chunk_read == _CHUNK_BYTES:
            self.chunks.popleft().close()
            self.first_chunk_read = 0
        return count

    def close(self) -> None:
        while self.chunks:
            self.chunks.pop().close()
        super().close()


class BodyLimit:
    """ASGI application in front of Django, which gets each body whole, or none and the reason in its scope.

    The middleware `RefusedBodyMiddleware` answers for a body that was refused; where there is no room now it is this.
    get_account_id: finds the account that is signed in, None without one.
    """

    def __init__(
        self,
        application: Application,
        *,
        max_bytes: int,
        large: Mapping[str, LargeBodyRule],
        get_account_id: Callable[[Scope], Awaitable[int | None]],
    ) -> None:
        self.application = application
        self.max_bytes = max_bytes
        self.large = large
        self.get_account_id = get_account_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        async with AsyncExitStack() as held:
            try:
                body = await self._read_body(scope, receive, held)
            except _Refused as refused:
                scope[REFUSED], body = str(refused), Body()
            except (BudgetExceeded, NoThreadFree) as full:
                await send_unavailable(send, retry_after_seconds=full.retry_after_seconds)
                return
            if body is not None:
                scope[BODY] = body
                await self.application(scope, receive, send)

    async def _read_body(self, scope: Scope, receive: Receive, held: AsyncExitStack) -> Body | None:
        """Return the body, None when the client left. Raises _Refused, BudgetExceeded, NoThreadFree."""
        body = Body()
        room = await self._reserve_room(scope, _content_length(scope), 0, held)
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return None
            data = message.get("body", b"")
            assert isinstance(data, bytes)
            if body.length + len(data) > room:
                room = await self._reserve_room(scope, body.length + len(data), room, held)
            body.append(data)
            if not message.get("more_body", False):
                return body

    async def _reserve_room(self, scope: Scope, needed: int, had: int, held: AsyncExitStack) -> int:
        """Return how long the body may be, `needed` or more, and hold so much until the request ends.

        One whose length was not announced gets room in two steps. Raises _Refused, BudgetExceeded."""
        large = self.large.get(str(scope["path"])) if scope["method"] == "POST" else None
        if needed > (large.max_bytes if large else self.max_bytes):
            raise _Refused(TOO_LARGE)
        if needed <= UNRESERVED_BYTES:
            return UNRESERVED_BYTES
        account = None
        # Small photos too: they must not wait for room among what strangers send.
        if large and large.signed_in:
            account = await self.get_account_id(scope)
            if account is None:
                raise _Refused(SIGNED_OUT)
        room = needed if not had else self.max_bytes if needed <= self.max_bytes or not large else large.max_bytes
        await self._reserve(room - had, account, client_address(scope), held)
        return room

    async def _reserve(self, size: int, account: int | None, address: str, held: AsyncExitStack) -> None:
        """Hold so many bytes until the request ends. One address gets half of all, one account what it may upload at
        once, and all other requests a quarter together, an eighth from one address. Raises BudgetExceeded."""
        limits = settings.HEADSHOTS_LIMITS
        total, timeout_seconds = limits.body_budget_bytes, limits.web_queue_timeout_seconds
        everything = Budget("bodies", total, _LEASE_SECONDS, per_holder=total // 2)
        if account is None:
            own = Budget("bodies-anonymous", total // 4, _LEASE_SECONDS, per_holder=total // 8)
            holder = address
        else:
            most = max((large.max_bytes for large in self.large.values()), default=self.max_bytes)
            own, holder = Budget("bodies-account", total, _LEASE_SECONDS, per_holder=most), str(account)
        for budget, key in ((own, holder), (everything, address)):
            lease = await held.enter_async_context(budget.hold_async(size, holder=key, wait_seconds=timeout_seconds))
            await held.enter_async_context(lease.auto_renew())


def _content_length(scope: Scope) -> int:
    """Return the Content-Length, 0 without one; what it hides is counted as it arrives."""
    headers = scope["headers"]
    assert isinstance(headers, (list, tuple))
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
