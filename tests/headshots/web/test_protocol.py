"""Our HTTP connections, in front of a small application instead of Django."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from django.conf import LazySettings
from uvicorn.config import Config
from uvicorn.server import ServerState

from headshots.web.asgi_types import Receive, Scope, Send
from headshots.web.protocol import LimitedProtocol

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Application:
    """Answers with the names of the headers. /stream is sent until its reader leaves, /refused without its body."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/refused":
            while (await receive()).get("more_body"):
                pass
        headers = scope["headers"]
        assert isinstance(headers, list)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        await send({"type": "http.response.body", "body": b" ".join(name for name, _ in headers)})


@asynccontextmanager
async def connection(application: Application) -> AsyncIterator[Streams]:
    config = Config(application, http=LimitedProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: LimitedProtocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            yield reader, writer
        finally:
            writer.close()


def run(test: Callable[[Application, Streams], Coroutine[None, None, None]]) -> None:
    async def serve() -> None:
        application = Application()
        async with asyncio.timeout(15), connection(application) as streams:
            await test(application, streams)

    asyncio.run(serve())


def test_a_trailer_is_not_taken_for_a_header() -> None:
    async def test(application: Application, streams: Streams) -> None:
        reader, writer = streams
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"1\r\nx\r\n0\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        answer = await reader.read()

        assert b"transfer-encoding" in answer
        assert b"x-forwarded-for" not in answer

    run(test)


def test_a_reader_who_leaves_behind_pipelined_requests_is_noticed() -> None:
    async def test(application: Application, streams: Streams) -> None:
        reader, writer = streams
        writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"begun")
        writer.transport.abort()
        await application.left.wait()

    run(test)


@pytest.mark.parametrize("request_", [b"", b"POST /refused HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"])
def test_a_connection_that_says_nothing_is_closed_without_a_word(settings: LazySettings, request_: bytes) -> None:
    settings.HEADSHOTS_LIMITS = replace(settings.HEADSHOTS_LIMITS, header_timeout_seconds=1)

    async def test(application: Application, streams: Streams) -> None:
        reader, writer = streams
        writer.write(request_)
        if request_:
            await reader.readuntil(b"0\r\n\r\n")
            writer.write(b"x" * 9)  # The body arrives after its answer.

        assert await reader.read() == b""

    run(test)
