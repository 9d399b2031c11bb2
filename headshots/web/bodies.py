"""Takes in request bodies before Django is called: within limits of size, of memory and of who may send how much.

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

from headshots.web.addresses import client_address
from headshots.web.asgi_types import Application, Message, Receive, Scope, Send
from headshots.web.budgets import Budget, BudgetExceeded
from headshots.web.refusals import refuse
from headshots.web.threads import NoThreadFree

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BODY = "headshots.body"
"""Key in the ASGI scope: the body, complete."""
REFUSED = "headshots.body_refused"
"""Key in the ASGI scope of a request whose body was not taken: TOO_LARGE or SIGNED_OUT."""
TOO_LARGE, SIGNED_OUT = "too large", "signed out"

# What every connection may bring without being counted: the server reads as much ahead.
UNCOUNTED_BYTES = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_LEASE_SECONDS = 30


@dataclass(frozen=True)
class LargeBodies:
    """What one path takes beyond the limit of all paths. signed_in: only from an account that is signed in.

    Guests would be a third kind: one photo, from a budget of their own beside those in `_hold`."""

    max_bytes: int
    signed_in: bool


class _Refused(Exception):
    """This body is not taken. The argument is the value of REFUSED."""


class Body(io.RawIOBase):
    """The bytes of a body. What has been read is let go, so that a parser's copy replaces ours piece by piece.

    The pieces are mappings and not bytes, which the process would keep after they were freed."""

    def __init__(self) -> None:
        self.pieces: deque[mmap.mmap] = deque()
        self.read_of_first = 0
        self.written_of_last = 0
        self.length = 0

    def append(self, data: bytes) -> None:
        """Add what has arrived."""
        self.length += len(data)
        while data:
            if not self.pieces or self.written_of_last == _PIECE_BYTES:
                self.pieces.append(mmap.mmap(-1, _PIECE_BYTES))
                self.written_of_last = 0
            fits = data[: _PIECE_BYTES - self.written_of_last]
            self.pieces[-1].write(fits)
            self.written_of_last += len(fits)
            data = data[len(fits) :]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if not self.pieces:
            return 0
        target = memoryview(buffer).cast("B")
        start, end = self.read_of_first, self.written_of_last if len(self.pieces) == 1 else _PIECE_BYTES
        count = min(len(target), end - start)
        target[:count] = self.pieces[0][start : start + count]
        self.read_of_first += count
        if self.read_of_first == _PIECE_BYTES:
            self.pieces.popleft().close()
            self.read_of_first = 0
        return count

    def close(self) -> None:
        while self.pieces:
            self.pieces.pop().close()
        super().close()


class BodyLimit:
    """ASGI application in front of Django, which gets each body whole, or none and the reason in its scope.

    The middleware `AnswerRefusedBodies` answers for a body that was refused; where there is no room now it is this.
    account_of: finds the account that is signed in, None without one.
    """

    def __init__(
        self,
        application: Application,
        *,
        max_bytes: int,
        large: Mapping[str, LargeBodies],
        account_of: Callable[[Scope], Awaitable[int | None]],
    ) -> None:
        self.application = application
        self.max_bytes = max_bytes
        self.large = large
        self.account_of = account_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        async with AsyncExitStack() as held:
            try:
                body = await self._take(scope, receive, held)
            except _Refused as refused:
                scope[REFUSED], body = str(refused), Body()
            except (BudgetExceeded, NoThreadFree) as full:
                await refuse(send, retry_after_seconds=full.retry_after_seconds)
                return
            if body is not None:
                scope[BODY] = body
                await self.application(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, held: AsyncExitStack) -> Body | None:
        """Return the body, None when the client left. Raises _Refused, BudgetExceeded, NoThreadFree."""
        body = Body()
        room = await self._make_room(scope, _announced_bytes(scope), 0, held)
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return None
            data = message.get("body", b"")
            assert isinstance(data, bytes)
            if body.length + len(data) > room:
                room = await self._make_room(scope, body.length + len(data), room, held)
            body.append(data)
            if not message.get("more_body", False):
                return body

    async def _make_room(self, scope: Scope, needed: int, had: int, held: AsyncExitStack) -> int:
        """Return how long the body may be, `needed` or more, and hold so much until the request ends.

        One whose length was not announced gets room in two steps. Raises _Refused, BudgetExceeded."""
        large = self.large.get(str(scope["path"])) if scope["method"] == "POST" else None
        if needed > (large.max_bytes if large else self.max_bytes):
            raise _Refused(TOO_LARGE)
        if needed <= UNCOUNTED_BYTES:
            return UNCOUNTED_BYTES
        account = None
        # Small photos too: they must not wait for room among what strangers send.
        if large and large.signed_in:
            account = await self.account_of(scope)
            if account is None:
                raise _Refused(SIGNED_OUT)
        room = needed if not had else self.max_bytes if needed <= self.max_bytes or not large else large.max_bytes
        await self._hold(room - had, account, client_address(scope), held)
        return room

    async def _hold(self, size: int, account: int | None, address: str, held: AsyncExitStack) -> None:
        """Hold so many bytes until the request ends. One address gets half of all, one account what it may upload at
        once, and all other requests a quarter together, an eighth from one address. Raises BudgetExceeded."""
        limits = settings.HEADSHOTS_LIMITS
        total, patience = limits.body_budget_bytes, limits.web_wait_seconds
        everything = Budget("bodies", total, _LEASE_SECONDS, per_holder=total // 2)
        if account is None:
            own = Budget("bodies-anonymous", total // 4, _LEASE_SECONDS, per_holder=total // 8)
            holder = address
        else:
            most = max((large.max_bytes for large in self.large.values()), default=self.max_bytes)
            own, holder = Budget("bodies-account", total, _LEASE_SECONDS, per_holder=most), str(account)
        for budget, key in ((own, holder), (everything, address)):
            lease = await held.enter_async_context(budget.hold_async(size, holder=key, wait_seconds=patience))
            await held.enter_async_context(lease.renewed())


def _announced_bytes(scope: Scope) -> int:
    """Return the Content-Length, 0 without one; what it hides is counted as it arrives."""
    headers = scope["headers"]
    assert isinstance(headers, (list, tuple))
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
