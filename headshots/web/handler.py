"""ASGI handler: each request runs in one thread, from the first middleware to the view.

Django's own handler starts a thread per request, with its own database connection, and switches to that thread for each
middleware. That took a third of the time of a small request (docs/benchmarks.md), and a hundred slow requests held a
hundred connections. With this handler, no thread waits for a body or for a slow reader.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import IO, cast

from django.core import signals
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from headshots.web.asgi_types import Receive, Scope, Send
from headshots.web.bodies import BODY
from headshots.web.client_address import client_address
from headshots.web.threads import NoThreadFree, ThreadPool
from headshots.web.unavailable import send_unavailable


class ThreadPoolASGIHandler(ASGIHandler):
    """Django's handler with synchronous middleware, as under WSGI. Asynchronous views run on the event loop.

    select_thread_pool: returns the pool for a request, and how many seconds the request waits for a thread."""

    def __init__(self, select_thread_pool: Callable[[Scope], tuple[ThreadPool, float]]) -> None:
        super().__init__()
        self.select_thread_pool = select_thread_pool

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Answer one request whose body `BodyLimit` has received."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is supported, not {scope['type']}")
        set_script_prefix(get_script_prefix(scope))
        threads, wait_seconds = self.select_thread_pool(scope)
        request, response = self.create_request(scope, cast("IO[bytes]", scope.pop(BODY)))
        if request is not None:
            work = partial(self._answer, request)
            try:
                response = await threads.run(work, address=client_address(scope), wait_seconds=wait_seconds)
            except NoThreadFree as full:
                request.close()
                await send_unavailable(send, retry_after_seconds=full.retry_after_seconds)
                return
        assert response is not None
        if response.streaming:
            await self._stream(response, receive, send)
        else:
            await self.send_response(response, send)  # type: ignore[arg-type]

    def _answer(self, request: ASGIRequest) -> HttpResponseBase:
        """Return the response, closed unless it is streamed. Runs in a thread of the pool."""
        signals.request_started.send(sender=self.__class__, scope=request.scope)
        response: HttpResponseBase = self.get_response(request)
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        if not response.streaming:
            # Closed before it is sent, so that a slow reader keeps neither the thread nor the files of the request.
            response.close()
        return response

    async def _stream(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Send a response until it ends or the client disconnects."""
        sending = asyncio.create_task(self.send_response(response, send))  # type: ignore[arg-type]
        leaving = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            outcome, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
            response.close()
        if isinstance(outcome, Exception):
            raise outcome


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
