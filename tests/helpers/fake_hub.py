"""A Hugging Face hub on this machine: enough of it for its own client library, and able to misbehave on purpose."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34
RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass
class Hub:
    """What the server holds and what it was asked.

    files      content by `repository/path`
    large      those that the hub keeps apart: HEAD sends elsewhere and names a sha256
    cut_after  bytes after which each transfer of such a file ends, as a bad line would
    ranges     whether parts can be asked for
    tickets    whether each address in the storage is good for one transfer only, as one that expires
    moved      new by old name of repositories that were renamed: the hub sends on to another path on the same host
    busy       how many transfers are refused, as by a hub with too many callers
    skew       how many bytes later than asked for a part begins, as from a confused cache
    authorized addresses that came with a token
    """

    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    cut_after: int | None = None
    ranges: bool = True
    tickets: bool = False
    moved: dict[str, str] = field(default_factory=dict)
    busy: int = 0
    skew: int = 0
    authorized: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    lies: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, name: str, content: bytes, *, large: bool = True) -> None:
        self.files[name] = content
        self.large = self.large | {name} if large else self.large - {name}


class Server(ThreadingHTTPServer):
    """Holds the hub that its handlers speak for."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        hub.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """HEAD describes a file as the hub does, GET sends it."""

    server: Server

    def log_message(self, *_words: object) -> None:
        pass

    def name(self) -> str:
        """What is asked for, as the hub's `files` name it."""
        found = RESOLVE.fullmatch(self.path)
        return f"{found['repository']}/{found['path']}" if found else self.plain_path().removeprefix("/storage/")

    def plain_path(self) -> str:
        return self.path.partition("?")[0]

    def send_elsewhere(self, name: str) -> None:
        """Begin a redirect to another host, as the hub's storage is: its client follows those within the hub itself."""
        hub = self.server.hub
        hub.valid.add(ticket := f"?ticket={len(hub.asked)}")
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/storage/{name}{ticket}")

    def do_HEAD(self) -> None:
        hub, name = self.server.hub, self.name()
        hub.asked.append(f"HEAD {self.path}")
        for old, new in hub.moved.items():
            if name.startswith(f"{old}/"):
                self.send_response(307)
                self.send_header("Location", self.path.replace(old, new, 1))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        if name not in hub.files:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return
        content = hub.files[name]
        if name in hub.large:
            self.send_elsewhere(name)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
        else:
            self.send_response(200)
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            self.send_header("ETag", f'"{blob}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(0 if name in hub.large else len(content)))
        self.end_headers()

    def do_GET(self) -> None:
        hub, name = self.server.hub, self.name()
        wanted = self.headers.get("Range", "")
        hub.asked.append(f"GET {self.plain_path()} {wanted}".strip())
        if "Authorization" in self.headers:
            hub.authorized.append(self.plain_path())
        if hub.busy:
            hub.busy -= 1
            self.send_error(429)
            return
        if self.path.startswith("/releases/"):
            # As GitHub sends to its storage.
            self.send_elsewhere(self.path.removeprefix("/releases/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        ticket = self.path.removeprefix(self.plain_path())
        if hub.tickets and ticket not in hub.valid:
            self.send_error(403)
            return
        hub.valid.discard(ticket)
        content = hub.lies.get(name, hub.files.get(name))
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        start += hub.skew if start else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:] if hub.cut_after is None else content[start : start + hub.cut_after])


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = Server(hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()
