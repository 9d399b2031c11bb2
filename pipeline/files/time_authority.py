"""Trusted time from a time-stamp authority (RFC 3161), requested without ever holding up a signature.

The C2PA library sends the request itself. It has no time limit, and without an answer it signs nothing. Therefore it
asks a relay in this process, which passes the request on, and gives up after a few seconds.
"""

import logging
import queue
import secrets
import threading
import time
import urllib.request
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger(__name__)
SECONDS = 3.0
# After a failure, files are signed without time for this long. Otherwise each file would wait for SECONDS.
PAUSE_SECONDS = 300.0
# A request has about 70 bytes, and an answer with its certificates about 10 kB.
MAX_BYTES = 64 * 1024


class TimeAuthority:
    """A time-stamp authority. Safe to share between threads.

    The authority receives the hash of a signature and a random number, and nothing else.

    Args:
        url: http:// or https://. Answers are signed, so plain http is usual.
        seconds: how long a signature waits for an answer.
        pause_seconds: how long no request is sent after a failure.
    """

    def __init__(self, url: str, seconds: float = SECONDS, pause_seconds: float = PAUSE_SECONDS) -> None:
        self.url, self.seconds, self.pause_seconds = url, seconds, pause_seconds
        self._paused_until = 0.0
        self._lock = threading.Lock()
        self._relay: ThreadingHTTPServer | None = None
        # Other processes of this machine cannot use the relay without knowing its path.
        self._path = "/" + secrets.token_urlsafe(16)

    def relay_url(self) -> str | None:
        """Return the URL to request time from. Returns None during the pause after a failure."""
        with self._lock:
            if time.monotonic() < self._paused_until:
                return None
            if self._relay is None:
                self._relay = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
                self._relay.daemon_threads = True
                threading.Thread(target=self._relay.serve_forever, name="time-relay", daemon=True).start()
            return f"http://127.0.0.1:{self._relay.server_port}{self._path}"

    def pause(self) -> None:
        """Send no request for a while, because one failed."""
        log.warning(
            "the time-stamp authority did not answer usably: no time is requested for %.0f s", self.pause_seconds
        )
        with self._lock:
            self._paused_until = time.monotonic() + self.pause_seconds

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), MAX_BYTES))
                answer = authority._ask(question) if self.path == authority._path else None
                self.send_response(200 if answer else 502)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer or b"")))
                self.end_headers()
                self.wfile.write(answer or b"")

            def log_message(self, *arguments: object) -> None:
                """Log nothing: `pause` reports failures."""

        return Handler

    def _ask(self, question: bytes) -> bytes | None:
        """Return the authority's answer. Returns None if none came in time."""
        answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

        def ask() -> None:
            headers = {"Content-Type": "application/timestamp-query"}
            request = urllib.request.Request(self.url, question, headers)  # noqa: S310  (a check allows only http)
            try:
                # The time limit of urllib is for each packet. The queue limits the sum.
                with urllib.request.urlopen(request, timeout=self.seconds) as response:  # noqa: S310
                    answer = response.read(MAX_BYTES + 1)
            except (OSError, HTTPException):
                answer = b""
            answers.put(answer if 0 < len(answer) <= MAX_BYTES else None)

        threading.Thread(target=ask, name="time-request", daemon=True).start()
        try:
            return answers.get(timeout=self.seconds)
        except queue.Empty:
            return None
