"""How Django serves under ASGI: a request in one thread from the first middleware to the view, and threads that stay.

By itself Django sends each middleware of each request to a thread and back, a thread that was made for this request
alone, with a database connection of its own. A third of the time of a small request went there (docs/experiments.md).
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from headshots.web.body_limit import Application, Receive, Scope, Send

# As many as a process can make good use of; more requests at once get threads that go again.
KEPT = 8


class OneHop(ASGIHandler):
    """Django's handler, its middleware as under WSGI. Asynchronous views stay on the event loop."""

    _middleware_chain: Callable[[HttpRequest], Awaitable[HttpResponseBase]]

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)
        in_thread = cast("Callable[[HttpRequest], HttpResponseBase]", self._middleware_chain)
        self._middleware_chain = sync_to_async(in_thread, thread_sensitive=True)


class KeptThreads:
    """ASGI application around Django: a request takes a thread that is free, with its open connections."""

    def __init__(self, application: Application, *, kept: int = KEPT) -> None:
        self.application = application
        self.kept = kept
        self.free: list[ThreadPoolExecutor] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The one that was free last: what is rarely needed at once is rarely in use.
        thread = self.free.pop() if self.free else ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.application(scope, receive, send)
        finally:
            if len(self.free) < self.kept:
                self.free.append(thread)
            else:
                thread.submit(connections.close_all)
                thread.shutdown(wait=False)
