"""Receive request bodies before Django is called, with limits on size, memory and clients.

No thread and no database connection waits for a body. `headshots/web/protocol.py` limits how slowly a body may arrive.
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
"""Key in the ASGI scope: the complete `Body`."""
REFUSED = "headshots.body_refused"
"""Key in the ASGI scope of a request whose body was refused: TOO_LARGE or SIGNED_OUT."""
TOO_LARGE, SIGNED_OUT = "too large", "signed out"

# Bytes of each body that no budget counts, because the server reads that much ahead anyway.
UNRESERVED_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024
_LEASE_SECONDS = 30


@dataclass(frozen=True)
class LargeBodyRule:
    """A larger limit for one path.

    signed_in: True to accept large bodies from signed-in accounts only."""

    max_bytes: int
    signed_in: bool


class _Refused(Exception):
    """A refused body. The argument is the value for the key REFUSED."""


class Body(io.RawIOBase):
    """The bytes of a body, as a stream that frees each chunk after it has been read.

    A parser's copy thereby replaces ours chunk by chunk. The chunks are memory mappings, because the process would not
    return the memory of bytes objects to the system."""

    def __init__(self) -> None:
        self.chunks: deque[mmap.mmap] = deque()
        self.first_chunk_read = 0
        self.last_chunk_written = 0
        self.length = 0

    def append(self, data: bytes) -> None:
        """Add bytes that have arrived."""
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
    """An ASGI application that receives the complete body before it calls Django.

    For a refused body, Django gets an empty body and the reason in the scope, and `RefusedBodyMiddleware` answers.
    If there is no memory for a body now, this application answers 503 itself.

    get_account_id: returns the id of the signed-in account, None without one.
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
        """Receive the body. Returns None if the client left. Raises _Refused, BudgetExceeded, NoThreadFree."""
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
        """Reserve memory until the request ends, and return how many bytes the body may have, `needed` or more.

        A body without Content-Length gets the usual limit first, and the limit of its path once it needs more.
        Raises _Refused, BudgetExceeded, NoThreadFree."""
        large = self.large.get(str(scope["path"])) if scope["method"] == "POST" else None
        if needed > (large.max_bytes if large else self.max_bytes):
            raise _Refused(TOO_LARGE)
        if needed <= UNRESERVED_BYTES:
            return UNRESERVED_BYTES
        account = None
        # Small uploads count for their account too, so that they do not compete with requests of strangers.
        if large and large.signed_in:
            account = await self.get_account_id(scope)
            if account is None:
                raise _Refused(SIGNED_OUT)
        room = needed if not had else self.max_bytes if needed <= self.max_bytes or not large else large.max_bytes
        await self._reserve(room - had, account, client_address(scope), held)
        return room

    async def _reserve(self, size: int, account: int | None, address: str, held: AsyncExitStack) -> None:
        """Hold `size` bytes of the budgets until the request ends. Raises BudgetExceeded.

        One address gets at most half of all bytes, and one account at most the bytes of one upload.
        Requests without an account get a quarter together, and an eighth from one address."""
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
    """Return the Content-Length, 0 without one.

    A wrong value does no harm, because bytes are counted as they arrive."""
    headers = scope["headers"]
    assert isinstance(headers, (list, tuple))
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
