"""One visitor cannot stop the others: a real web process on a real PostgreSQL, attacked from another address.

Small attacks with short deadlines, a few seconds in all; the large ones with the real limits are marked slow.
"""

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from django.conf import settings

from headshots.launch.services import UVICORN
from headshots.web.budgets import Budget
from tests.helpers.web import ATTACKER, Web, environment_below, head, prepare, read_all, run_web, status

MEGABYTE = 1024 * 1024
THREADS = 8
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux: 127.0.0.2, memory in /proc")


class Site(NamedTuple):
    """A web process and what is in its database."""

    web: Web
    cookie: str
    other: str
    shoot: str
    database: str

    def slots(self) -> int:
        """Return how many connections the database has from the product."""
        with psycopg.connect(self.database) as connection:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            found = connection.execute(sql).fetchone()
        assert found
        return int(found[0])


@contextmanager
def serve(folder: Path, database: str, **limits: int) -> Iterator[Site]:
    given = {f"HEADSHOTS_{name.upper()}": str(value) for name, value in limits.items()}
    environment = environment_below(folder, HEADSHOTS_DATABASE_URL=database, **given)
    made = json.loads(prepare(environment, "tests.browser.running_pack"))
    with run_web(environment, folder / "web.log") as web:
        yield Site(web, **made, database=re.sub("^postgres:", "postgresql:", database))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, new_postgresql: Callable[[], str]) -> Iterator[Site]:
    """Deadlines of two seconds, eight threads, sixty connections an address."""
    short = {
        "header_timeout_seconds": 2,
        "body_grace_seconds": 2,
        "web_queue_timeout_seconds": 2,
        "max_connections_per_address": 60,
    }
    with serve(tmp_path_factory.mktemp("hostile"), new_postgresql(), web_threads=THREADS, **short) as found:
        yield found


@contextmanager
def health_watched(web: Web) -> Iterator[list[float]]:
    """Ask /healthz all the time meanwhile; how long each answer took."""
    waits: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            began = time.monotonic()
            assert status(web.ask("/healthz")) in (200, 503)
            waits.append(time.monotonic() - began)
            ended.wait(0.05)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield waits
        finally:
            ended.set()
            watching.result()


def open_many(held: ExitStack, web: Web, count: int, request: bytes) -> list[socket.socket]:
    """Return so many connections of the attacker, each with these bytes on their way."""
    lines = [held.enter_context(web.connect(ATTACKER)) for _ in range(count)]
    for line in lines:
        line.sendall(request)
    return lines


def trickle(line: socket.socket, piece: bytes) -> None:
    """Send a piece ten times a second until the other side closes, for ten seconds at most."""
    with suppress(ConnectionError):
        for _ in range(100):
            line.sendall(piece)
            time.sleep(0.1)


def test_half_requests_are_closed_at_their_deadline(site: Site) -> None:
    began = time.monotonic()
    with ExitStack() as held:
        never = open_many(held, site.web, 10, b"")
        half = open_many(held, site.web, 30, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        again = open_many(held, site.web, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n")
        answers = [read_all(line) for line in [*never, *half, *again]]

    assert time.monotonic() - began < 8
    # Where no byte of a request came, there is nothing to answer.
    assert Counter(map(status, answers[:40])) == {0: 10, 408: 30}


def test_a_head_that_comes_letter_by_letter_is_closed_as_well(site: Site) -> None:
    began = time.monotonic()
    with site.web.connect(ATTACKER) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX: ")
        trickle(line, b"x")

    assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /" + b"x" * 1_000_000, 414),
        (b"POST /test-checkout/" + b"a" * 48_000 + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 16_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 1_000_000, 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"X: " + b"y" * 7000 + b"\r\n") * 5 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000, 400),
    ],
)
def test_what_is_too_long_is_refused_unread_and_unlogged(site: Site, request_: bytes, refused: int) -> None:
    logged = site.web.log.stat().st_size
    began = time.monotonic()
    with site.web.connect(ATTACKER) as line:
        with suppress(ConnectionError):  # Closed before all of it was sent.
            line.sendall(request_)
        answer = read_all(line)

    assert time.monotonic() - began < 3
    # One that was refused while the client was still sending may have been reset on its way.
    assert status(answer) in {refused, 0} if len(request_) > 100_000 else refused in {status(answer), 400}
    assert site.web.log.stat().st_size == logged


def test_one_address_gets_its_share_of_connections(site: Site) -> None:
    with ExitStack() as held:
        lines = open_many(held, site.web, 70, b"")
        time.sleep(0.2)
        assert status(site.web.ask("/")) == 200
        for line in lines:
            line.sendall(head("/healthz", more="Connection: close\r\n"))
        answers = Counter(status(read_all(line)) for line in lines[60:])

    assert answers == {503: 10} or answers == {503: 9, 0: 1}


def test_a_large_body_without_a_session_is_refused_from_its_length(site: Site) -> None:
    before = site.web.megabytes("VmHWM")
    with ExitStack() as held:
        cookie, large = "sessionid=" + "x" * 32, 125 * MEGABYTE
        lines = [line for path in ("/shoots/new/", "/verify/", "/accounts/login/", "/stripe/webhook/")
                 for line in open_many(held, site.web, 4, head(path, cookie, length=large))]  # fmt: skip
        answers = [line.recv(65_536) for line in lines]

    # 503 where two seconds were not enough to look the sessions up, on a slow machine.
    assert {status(answer) for answer in answers[:4]} <= {303, 503}
    assert [status(answer) for answer in answers[4:]] == [413] * 12
    assert b"location: /accounts/login/?next=%2fshoots%2fnew%2f%3funsent%3d1\r\n" in b"".join(answers).lower()
    assert site.web.megabytes("VmHWM") - before < 20


def test_what_is_sent_after_a_refusal_is_dropped_and_a_chunked_body_is_cut_off_at_a_megabyte(site: Site) -> None:
    before = site.web.megabytes("VmHWM")
    with site.web.connect(ATTACKER) as announced, site.web.connect(ATTACKER) as chunked:
        announced.sendall(head("/shoots/new/", length=60 * MEGABYTE))
        for _ in range(60):
            announced.sendall(b"x" * MEGABYTE)
        first = announced.recv(65_536)
        chunked.sendall(
            head("/shoots/new/")
            .replace(b"GET", b"POST")
            .replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        )
        for _ in range(20):
            chunked.sendall(b"100000\r\n" + b"x" * MEGABYTE + b"\r\n")
        second = chunked.recv(65_536)

    assert (status(first), status(second)) == (303, 303)
    assert site.web.megabytes("VmHWM") - before < 20


def test_a_body_that_stands_still_or_trickles_is_cut_off(site: Site) -> None:
    began = time.monotonic()
    with site.web.connect() as still, site.web.connect() as slow:
        for line in (still, slow):
            line.sendall(head("/shoots/new/", site.cookie if line is still else site.other, length=20 * MEGABYTE))
        still.sendall(b"x" * MEGABYTE)
        trickle(slow, b"x" * 100)
        answer = read_all(still)

    assert status(answer) == 408
    assert time.monotonic() - began < 9


def test_bodies_of_all_processes_share_one_budget(site: Site) -> None:
    total = settings.HEADSHOTS_LIMITS.body_budget_bytes
    body = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n" + b"x" * 2 * MEGABYTE + b"\r\n--b--\r\n"

    # This process is the other one.
    with Budget("bodies", total, 30).hold(total - MEGABYTE):
        full = site.web.ask("/shoots/new/", site.cookie, body=body)
    with Budget("bodies-account", total, 30).hold(total):
        of_accounts = site.web.ask("/shoots/new/", site.cookie, body=body)
        page = site.web.ask("/")
    room = site.web.ask("/shoots/new/", site.cookie, body=body)

    assert (status(full), status(of_accounts), status(page)) == (503, 503, 200)
    assert b"retry-after: 5\r\n" in full.lower()
    assert b"Nothing you sent was saved" in full
    assert status(room) == 403  # Django has it: the form's token is missing.


def test_bodies_of_strangers_leave_room_for_a_small_photo_and_for_other_addresses(site: Site) -> None:
    body = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n" + b"x" * 500_000 + b"\r\n--b--\r\n"
    total = settings.HEADSHOTS_LIMITS.body_budget_bytes
    # This process is the other one, with all that one address may send.
    with Budget("bodies-anonymous", total, 30).hold(total // 8, holder=ATTACKER, wait_seconds=5):
        same = site.web.ask("/verify/", address=ATTACKER, body=body)
        other = site.web.ask("/verify/", body=body)
    with Budget("bodies-anonymous", total, 30).hold(total, wait_seconds=5):
        photo = site.web.ask("/shoots/new/", site.cookie, body=body)

    assert status(same) == 503
    # Django has them: the form's token is missing.
    assert (status(other), status(photo)) == (403, 403)


def test_many_requests_at_once_cost_no_database_slot_and_no_500(site: Site) -> None:
    def ask(number: int) -> int:
        return status(site.web.ask("/shoots/", f"sessionid={number:032}", f"127.0.0.{2 + number % 4}"))

    with ThreadPoolExecutor(150) as pool:
        answers = Counter(pool.map(ask, range(150)))

    assert set(answers) <= {302, 503}
    assert answers[302] > 20
    assert site.slots() <= THREADS + 2


def test_health_is_told_while_every_thread_is_busy(site: Site) -> None:
    def ask(number: int) -> int:
        return status(site.web.ask("/shoots/", site.cookie, f"127.0.0.{2 + number % 2}"))

    with psycopg.connect(site.database) as database, ThreadPoolExecutor(40) as pool:
        # Every request with a session waits for this table, until this transaction ends.
        database.execute("LOCK TABLE accounts_session IN ACCESS EXCLUSIVE MODE")
        asked = [pool.submit(ask, number) for number in range(40)]
        with health_watched(site.web) as waits:
            time.sleep(3)
        slots = site.slots()
        database.rollback()
        answers = Counter(each.result() for each in asked)

    # A quarter of the threads is kept for large bodies.
    assert answers == {200: THREADS - THREADS // 4, 503: 40 - (THREADS - THREADS // 4)}
    assert slots <= THREADS + 3  # This transaction's is one.
    assert len(waits) > 3
    assert max(waits) < 2


def test_an_account_has_six_streams_and_they_hold_nothing(site: Site) -> None:
    with ExitStack() as held:
        request = head(f"{site.shoot}events/", site.cookie)
        lines = open_many(held, site.web, 50, request)
        answers = Counter(status(line.recv(200)) for line in lines)
        page = site.web.ask(site.shoot, site.cookie)
        slots = site.slots()

    # 503 where two seconds were not enough for all of them, on a slow machine.
    assert answers[200] == 6
    assert answers[204] + answers[503] == 44
    assert answers[204] > 0
    assert status(page) == 200
    assert slots <= THREADS + 2
    # What is closed is free again.
    again = []
    for _ in range(50):
        with site.web.connect(ATTACKER) as line:
            line.sendall(request)
            again.append(status(line.recv(200)))
        if again[-1] == 200:
            break
        time.sleep(0.1)
    assert again[-1] == 200


def test_forwarding_headers_from_this_machine_are_not_believed(site: Site) -> None:
    token = "t" * 32
    form = f"csrfmiddlewaretoken={token}".encode()
    answers = []
    for number in range(21):
        kind = "Content-Type: application/x-www-form-urlencoded\r\n"
        more = f"{kind}X-Forwarded-For: 203.0.113.{number}\r\nContent-Length: {len(form)}\r\nConnection: close\r\n"
        with site.web.connect() as line:
            line.sendall(head("/verify/", f"csrftoken={token}", more).replace(b"GET", b"POST") + form)
            answers.append(status(read_all(line)))

    # Twenty a minute for one address, whatever it says of itself.
    assert answers == [422] * 20 + [429]


def test_large_attacks_with_the_limits_of_production(
    tmp_path: Path, new_postgresql: Callable[[], str], empty_valkey: None
) -> None:
    """500 half requests, eight bodies of 125 MB one byte short, 110 streams and 150 requests, all at once."""
    with serve(tmp_path, new_postgresql(), max_connections_per_address=400) as site, ExitStack() as held:
        before = site.web.megabytes("VmHWM")
        addresses = [f"127.0.0.{number}" for number in range(2, 8)]
        half = [held.enter_context(site.web.connect(addresses[number % 6], 60)) for number in range(500)]
        for line in half:
            line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        large = [held.enter_context(site.web.connect(ATTACKER, 60)) for _ in range(8)]
        for line in large:
            line.sendall(head("/shoots/new/", length=125 * MEGABYTE))
        streams = [held.enter_context(site.web.connect(ATTACKER, 60)) for _ in range(110)]
        for line in streams:
            line.sendall(head(f"{site.shoot}events/", site.cookie))
        with health_watched(site.web) as waits, ThreadPoolExecutor(150) as pool:
            asked = [
                pool.submit(site.web.ask, "/shoots/", f"sessionid={number:032}", ATTACKER) for number in range(150)
            ]
            pages = [site.web.ask("/how-it-works/") for _ in range(20)]
            answers = Counter(status(each.result()) for each in asked)
            opened = Counter(status(line.recv(200)) for line in streams)
            refused = Counter(status(line.recv(65_536)) for line in large)
            closed = Counter(status(read_all(line)) for line in half)
        slots, peak = site.slots(), site.web.megabytes("VmHWM") - before

    print(f"{answers=} {opened=} {refused=} {closed=} {slots=} {peak=:.0f} MB, health {max(waits):.2f} s")
    assert [status(page) for page in pages] == [200] * 20
    assert set(answers) <= {302, 503}
    assert (opened[200], refused[303], closed[408]) == (6, 8, 500)
    assert slots <= settings.HEADSHOTS_LIMITS.web_threads + 2
    assert peak < 100
    assert max(waits) < 1


def test_the_container_starts_the_web_process_with_the_same_options() -> None:
    command = (settings.BASE_DIR / "docker" / "web.Dockerfile").read_text().rpartition("CMD ")[2]

    assert json.loads(command)[: len(UVICORN) + 1] == ["uvicorn", *UVICORN]
