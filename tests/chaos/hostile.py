"""Attack a running product from other addresses of this machine: `python -m tests.chaos.hostile URL ATTACK ...`.

Every attack is cheap for the attacker and was found to stop the product for everybody else. They run until stdin
closes; what was answered is then printed as JSON: attack -> status -> how often (0: no answer).
"""

import io
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import uuid4

import requests
from PIL import Image
from requests.adapters import HTTPAdapter

from tests.chaos.visitor import Visitor
from tests.helpers import photos

# Attackers have addresses of their own: what an address may do must not limit everybody else.
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
LONG_LINE_BYTES = 48_000
BODY_BYTES = 5 * 25 * 1024 * 1024 + 1024 * 1024
SCANS = 2000


class FromAddress(HTTPAdapter):
    """Connections that come from this address."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(pool_maxsize=20)

    def init_poolmanager(self, *arguments: object, **options: object) -> None:
        super().init_poolmanager(*arguments, source_address=(self.address, 0), **options)


class Attacker:
    """What an attack has: the product's address, an address of its own, and a word that says when to stop."""

    def __init__(self, name: str, url: str, address: str, stopped: threading.Event) -> None:
        self.name, self.url, self.address, self.stopped = name, url, address, stopped
        self.answers: Counter[str] = Counter()

    def connect(self) -> socket.socket:
        place = urlsplit(self.url)
        return socket.create_connection((place.hostname, place.port), 60, source_address=(self.address, 0))

    def visitor(self) -> Visitor:
        visitor = Visitor(self.url)
        visitor.session.mount("http://", FromAddress(self.address))
        return visitor

    def send(self, head: str, body: bytes = b"") -> None:
        """Send one request with this head and count the status of its answer."""
        status = "0"
        with suppress(OSError), self.connect() as connection:
            connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
            status = ([*connection.recv(4096).split(b" "), b""])[1].decode() or "0"
        self.answers[status] += 1

    def side_by_side(self, number: int, act: Callable[[], None], pause_seconds: float) -> None:
        """Repeat the act in several threads until the attack is over."""

        def repeat() -> None:
            while not self.stopped.is_set():
                try:
                    act()
                except (requests.RequestException, OSError, AssertionError):
                    self.answers["0"] += 1
                self.stopped.wait(pause_seconds)

        threads = [threading.Thread(target=repeat, daemon=True) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def lines(attacker: Attacker) -> None:
    """Send words of 48,000 letters where they are logged: in a path and in a Host header."""
    host = urlsplit(attacker.url).netloc
    long = "a" * LONG_LINE_BYTES
    heads = [f"POST /test-checkout/{long} HTTP/1.1\r\nHost: {host}", f"GET / HTTP/1.1\r\nHost: {long}"]

    def act() -> None:
        for head in heads:
            attacker.send(head)

    attacker.side_by_side(2, act, 0.5)


def bodies(attacker: Attacker) -> None:
    """Hold eight uploads without a session, each one byte short of its end, and 200 halves of a request's head."""
    host = urlsplit(attacker.url).netloc
    head = f"POST /shoots/new/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    slow = threading.Thread(target=_half_requests, args=(attacker, host), daemon=True)
    slow.start()

    def act() -> None:
        with attacker.connect() as connection:
            connection.sendall(f"{head}Content-Length: {BODY_BYTES}\r\n\r\n".encode())
            connection.settimeout(0.05)
            sent, answer, piece = 0, b"", bytes(1024 * 1024)
            while not attacker.stopped.is_set() and not answer:
                with suppress(TimeoutError):
                    if sent < BODY_BYTES - 1:
                        sent += connection.send(piece[: BODY_BYTES - 1 - sent])
                with suppress(TimeoutError):
                    answer = connection.recv(4096) or b"- closed"
            if answer:
                attacker.answers[answer.split(b" ")[1].decode()] += 1

    attacker.side_by_side(8, act, 0.5)
    slow.join()


def _half_requests(attacker: Attacker, host: str) -> None:
    held: list[socket.socket] = []
    while not attacker.stopped.is_set():
        with suppress(OSError):
            while len(held) < 200:
                connection = attacker.connect()
                held.append(connection)
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode())
        attacker.stopped.wait(2)
        for connection in list(held):
            try:
                connection.sendall(b"X-Slow: 1\r\n")
            except OSError:
                held.remove(connection)
                connection.close()
    for connection in held:
        connection.close()


def streams(attacker: Attacker) -> None:
    """Open 110 event streams of one account, and pages with invented sessions forty at a time."""
    visitor = attacker.visitor()
    visitor.sign_up(f"{uuid4().hex}@example.org")
    shoot = visitor.upload("astronaut.png", photos.astronaut_path().read_bytes())
    host = urlsplit(attacker.url).netloc
    cookie = visitor.session.cookies["sessionid"]
    held: list[socket.socket] = []
    for _ in range(110):
        with suppress(OSError):
            connection = attacker.connect()
            connection.sendall(
                f"GET {shoot}events HTTP/1.1\r\nHost: {host}\r\nCookie: sessionid={cookie}\r\n\r\n".encode()
            )
            held.append(connection)

    def act() -> None:
        attacker.send(f"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: sessionid={uuid4().hex}")

    attacker.side_by_side(40, act, 1)
    for connection in held:
        connection.close()


def decoders(attacker: Attacker) -> None:
    """Upload progressive JPEGs of thousands of scans, two accounts at the same time."""
    hostile = many_scans(SCANS)

    def act() -> None:
        visitor = attacker.visitor()
        visitor.sign_up(f"{uuid4().hex}@example.org")
        while not attacker.stopped.is_set():
            attacker.answers[str(visitor.send_photo("photo.jpg", hostile).status_code)] += 1
            attacker.stopped.wait(0.2)

    attacker.side_by_side(2, act, 1)


def verifiers(attacker: Attacker) -> None:
    """Have /verify/ read 420 kB of a word that its reader looks for, fifteen at the same time."""
    hostile = b"\xff\xd8\xff" + b"DigitalSourceType" * 25_000

    def act() -> None:
        visitor = attacker.visitor()
        response = visitor.post("/verify/", {}, files={"picture": ("picture.jpg", hostile, "image/jpeg")})
        attacker.answers[str(response.status_code)] += 1

    attacker.side_by_side(15, act, 1)


ATTACKS = {"lines": lines, "bodies": bodies, "streams": streams, "decoders": decoders, "verifiers": verifiers}


def many_scans(scans: int, edge_px: int = 2048) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are so many: small, and slow to decode."""
    buffer = io.BytesIO()
    Image.new("L", (edge_px, edge_px), 128).save(buffer, "JPEG", progressive=True, quality=50)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


def main(url: str, *names: str) -> None:
    stopped = threading.Event()
    attackers = [Attacker(name, url, ADDRESSES[list(ATTACKS).index(name)], stopped) for name in names]
    threads = [threading.Thread(target=ATTACKS[each.name], args=(each,), daemon=True) for each in attackers]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopped.set()
    give_up = time.monotonic() + 30
    for thread in threads:
        thread.join(max(0, give_up - time.monotonic()))
    print(json.dumps({attacker.name: dict(attacker.answers) for attacker in attackers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
