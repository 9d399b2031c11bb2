"""HTTP protocol of uvicorn with deadlines and limits for heads, bodies and clients.

Started as `uvicorn --http headshots.web.protocol:LimitedProtocol`. Uvicorn's own protocol waits without a limit for
heads and bodies, and reads heads of any length. Refused requests are not logged: any client could fill the log.
"""

import asyncio
import resource
from collections import Counter

import httptools
from django.conf import settings
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from headshots.runtime.networks import visitor_network

MAX_LINE_BYTES = 8 * 1024
"""Limit of the URL in the request line, and of each header."""
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
_MAX_PIPELINED = 8
_CHECK_INTERVAL_SECONDS = 1.0
_WRITE_TIMEOUT_SECONDS, _CLOSING_WRITE_TIMEOUT_SECONDS = 60.0, 10.0
# Files that a process opens besides connections, and files per connection: an event stream also opens one to Redis.
_OTHER_FILES, _FILES_PER_CONNECTION = 200, 2

_REASON_PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
}


class _Refused(Exception):
    """A refused request. The argument is the status of the response, after which the connection is closed."""


_connections: Counter[str] = Counter()
"""Open connections of this process by address."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection of a client, with its deadlines and limits."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.limits = settings.HEADSHOTS_LIMITS
        self.address = visitor_network(self.client[0]) if self.client else ""
        _connections[self.address] += 1
        self.head_since: float | None = self.loop.time()
        self.head_bytes = 0
        self.body_bytes = self.raw_bytes = 0
        # Seconds since the start of the body, and since its last byte. They do not advance while reading is paused.
        self.body_seconds: float | None = None
        self.body_idle_seconds = 0.0
        self.unsent_bytes = 0
        self.unsent_seconds = 0.0
        self.current_cycle: RequestResponseCycle | None = None
        self.deadline_timer = self.loop.call_later(_CHECK_INTERVAL_SECONDS, self._check_deadlines)
        # Behind proxies all connections come from the proxy, so `RequestsPerAddressLimit` counts requests instead.
        from_address = 0 if settings.HEADSHOTS_TRUSTED_PROXIES or not self.address else _connections[self.address]
        if from_address > self.limits.max_connections_per_address or _connections.total() > self._max_connections():
            self._respond(503, "Too many connections. Please try again in a minute.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline_timer.cancel()
        _connections[self.address] -= 1
        if not _connections[self.address]:
            del _connections[self.address]
        if self.current_cycle is not None and not self.current_cycle.response_complete:
            # Uvicorn notifies the latest request only. With pipelining, that is not the one in progress.
            self.current_cycle.disconnected = True
            self.current_cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self.head_since is None and self.body_seconds is None:
            self.head_since = self.loop.time()
        if self.head_since is not None:
            self.head_bytes += len(data)
        self.raw_bytes += len(data)
        try:
            self.parser.feed_data(data)
            self._check_size()
        except httptools.HttpParserUpgrade:
            pass  # No upgrade is supported, so the request is answered like any other.
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._respond(cause.args[0] if isinstance(cause, _Refused) else 400)
        except _Refused as refused:
            self._respond(refused.args[0])
        except httptools.HttpParserError:
            self._respond(400)

    def _check_size(self) -> None:
        """Refuse heads that are too long and bodies that are mostly overhead. Raises _Refused."""
        if self.head_since is not None and self.head_bytes > MAX_HEAD_BYTES:
            raise _Refused(431)
        # Overhead is, for example, chunks of single bytes, long chunk extensions, or trailers.
        if self.body_seconds is not None and self.raw_bytes > 2 * MAX_HEAD_BYTES + 16 * self.body_bytes:
            raise _Refused(400)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_since = self.loop.time()
        self.header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_LINE_BYTES:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.body_seconds is not None:
            # This is a trailer after the body. Among the headers, it could forge one that proxies check, such as
            # X-Forwarded-For.
            return
        self.header_bytes += len(name) + len(value)
        too_long = len(name) + len(value) > MAX_LINE_BYTES or self.header_bytes > MAX_HEAD_BYTES
        if too_long or len(self.headers) >= MAX_HEADERS:
            raise _Refused(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise _Refused(400)
        self.head_since = None
        self.head_bytes = self.body_bytes = self.raw_bytes = 0
        self.body_seconds = self.body_idle_seconds = 0.0
        super().on_headers_complete()
        # Read and drop the rest of the body before closing. If the connection is closed while the client still sends,
        # it is reset and the client loses the response.
        self.close_at_end = not self.cycle.keep_alive
        self.cycle.keep_alive = True

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self.body_idle_seconds = 0.0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.body_seconds = None
        if self.close_at_end and self.cycle.response_complete:
            self.transport.close()
        elif self.close_at_end:
            self.cycle.keep_alive = False
        elif self.cycle.response_complete:
            # The response was sent before the request was complete, so uvicorn's keep-alive timer is not running.
            self.head_since = self.loop.time()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.current_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def _check_deadlines(self) -> None:
        """Close the connection if it has missed a deadline. Runs every _CHECK_INTERVAL_SECONDS."""
        self.deadline_timer = self.loop.call_later(_CHECK_INTERVAL_SECONDS, self._check_deadlines)
        self._check_reader()
        if self.transport.is_closing():
            return
        if self.head_since is not None and self.loop.time() - self.head_since > self.limits.header_timeout_seconds:
            if self.head_bytes:
                self._respond(408)
            else:
                # Browsers open connections in advance, and would take an answer for that of their next request.
                self.transport.close()
        elif self.body_seconds is not None and not self.flow.read_paused:
            self.body_seconds += _CHECK_INTERVAL_SECONDS
            self.body_idle_seconds += _CHECK_INTERVAL_SECONDS
            if self._is_body_too_slow(self.body_seconds):
                self._respond(408)

    def _is_body_too_slow(self, seconds: float) -> bool:
        grace = self.limits.body_grace_seconds
        wanted = (seconds - grace) * self.limits.min_body_bytes_per_second
        return seconds > self.limits.body_timeout_seconds or self.body_idle_seconds > grace or self.body_bytes < wanted

    def _check_reader(self) -> None:
        """Abort the connection if the client reads nothing of the response for _WRITE_TIMEOUT_SECONDS.

        A connection that is already closing has _CLOSING_WRITE_TIMEOUT_SECONDS."""
        unsent = self.transport.get_write_buffer_size()
        is_stuck = unsent and unsent == self.unsent_bytes
        self.unsent_bytes, self.unsent_seconds = (
            unsent,
            self.unsent_seconds + _CHECK_INTERVAL_SECONDS if is_stuck else 0.0,
        )
        timeout_seconds = _CLOSING_WRITE_TIMEOUT_SECONDS if self.transport.is_closing() else _WRITE_TIMEOUT_SECONDS
        if self.unsent_seconds > timeout_seconds:
            self.transport.abort()

    def _max_connections(self) -> int:
        """Return the limit of connections, reduced if this process may open too few files."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(1, min(self.limits.max_connections, (files - _OTHER_FILES) // _FILES_PER_CONNECTION))

    def _respond(self, status: int, words: str = "") -> None:
        """Answer in one line, unless a response is being sent, and close the connection."""
        cycle = self.current_cycle
        is_answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not self.transport.is_closing() and not is_answering:
            phrase = _REASON_PHRASES.get(status, "Service Unavailable")
            words = words or phrase
            head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(words)}\r\n"
            again = "Retry-After: 30\r\n" if status == 503 else ""
            self.transport.write(f"{head}{again}Connection: close\r\n\r\n{words}".encode())
        self.transport.close()
