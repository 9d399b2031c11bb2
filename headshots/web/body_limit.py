"""Refuses request bodies that are too large before anything of them is kept."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TypeAlias

Scope: TypeAlias = MutableMapping[str, object]
Message: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

REFUSED = "headshots.body_refused"
"""Key in the ASGI scope of a request whose body was cut off."""


class BodyLimit:
    """ASGI application in front of Django: a body over the limit of its path is not read on, and Django is told.

    Django's handler would spool it to a temporary file in clear. The middleware `RefuseLargeBodies` answers.
    """

    def __init__(self, application: Application, *, max_bytes: int, max_bytes_by_path: Mapping[str, int]) -> None:
        self.application = application
        self.max_bytes = max_bytes
        self.max_bytes_by_path = max_bytes_by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        limit = self.max_bytes
        if scope["method"] == "POST":
            limit = self.max_bytes_by_path.get(str(scope["path"]), limit)
        seen = 0

        def refuse() -> Message:
            scope[REFUSED] = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def receive_within_limit() -> Message:
            nonlocal seen
            if not scope.get(REFUSED) and _announced_bytes(scope) > limit:
                return refuse()
            message = await receive()
            while scope.get(REFUSED) and message["type"] == "http.request":
                # Taken and dropped while the answer is on its way: a browser that cannot send would not read it.
                message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                seen += len(body) if isinstance(body, bytes) else 0
                if seen > limit:
                    return refuse()
            return message

        await self.application(scope, receive_within_limit, send)


def _announced_bytes(scope: Scope) -> int:
    """The Content-Length header, 0 without one; what it hides is counted as it arrives."""
    headers = scope["headers"]
    assert isinstance(headers, (list, tuple))
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
