"""The numbers of web processes, whose address counts, and how a body lies in memory."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from django.conf import LazySettings

from headshots.runtime.limits import Limits, read_limits
from headshots.runtime.networks import visitor_network
from headshots.web import checks
from headshots.web.asgi_types import Message, Receive, Scope, Send
from headshots.web.bodies import Body
from headshots.web.client_address import RequestsPerAddressLimit, client_address


def test_each_limit_has_a_variable_of_its_own() -> None:
    asked: list[str] = []

    def whole(name: str, default: int) -> int:
        asked.append(name)
        return default + 1

    assert read_limits(whole).web_threads == Limits().web_threads + 1
    assert {"HEADSHOTS_WEB_THREADS", "HEADSHOTS_BODY_BUDGET_BYTES", "HEADSHOTS_MAX_STREAMS_PER_ACCOUNT"} <= set(asked)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web_threads", 3),
        ("max_connections", 0),
        ("header_timeout_seconds", -1),
        ("max_streams_per_account", 0),
        ("body_budget_bytes", 200 * 1024 * 1024),
        ("body_grace_seconds", 601),
    ],
)
def test_a_limit_that_lets_no_request_in_is_refused(settings: LazySettings, name: str, value: int) -> None:
    assert checks.check_limits(None) == []

    settings.HEADSHOTS_LIMITS = replace(settings.HEADSHOTS_LIMITS, **{name: value})

    assert {message.id for message in checks.check_limits(None)} == {"headshots.E011"}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, [b"203.0.113.7"], "192.0.2.1"),
        (1, [b"203.0.113.7"], "203.0.113.7"),
        (1, [b"198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (1, [b"198.51.100.1", b"203.0.113.7"], "203.0.113.7"),
        (2, [b"198.51.100.1, 203.0.113.7, 192.0.2.9"], "203.0.113.7"),
        (2, [b"203.0.113.7"], "192.0.2.1"),
        (1, [], "192.0.2.1"),
        (1, [b"2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
    ],
)
def test_as_many_proxies_are_believed_as_the_operator_has(
    settings: LazySettings, proxies: int, forwarded: list[bytes], address: str
) -> None:
    settings.HEADSHOTS_TRUSTED_PROXIES = proxies
    headers = [(b"x-forwarded-for", value) for value in forwarded]

    assert client_address({"client": ("192.0.2.1", 5000), "headers": headers}) == address


def test_one_visitor_has_one_network() -> None:
    assert visitor_network("2001:db8::1") == visitor_network("2001:db8::ffff") != visitor_network("2001:db8:0:1::1")
    assert visitor_network("::ffff:192.0.2.1") == visitor_network("192.0.2.1") == "192.0.2.1"
    assert len(visitor_network("x" * 1000)) == 64


def test_behind_a_proxy_one_address_has_so_many_requests_in_progress(settings: LazySettings) -> None:
    settings.HEADSHOTS_TRUSTED_PROXIES = 1
    settings.HEADSHOTS_LIMITS = replace(settings.HEADSHOTS_LIMITS, max_connections_per_address=3)
    statuses: Counter[object] = Counter()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Message) -> None:
        statuses[message.get("status")] += 1

    async def receive() -> Message:
        raise AssertionError

    async def ask(application: RequestsPerAddressLimit, address: bytes) -> None:
        scope: Scope = {"type": "http", "client": ("192.0.2.1", 1), "headers": [(b"x-forwarded-for", address)]}
        await application(scope, receive, send)

    async def ask_all() -> RequestsPerAddressLimit:
        application = RequestsPerAddressLimit(slow)
        await asyncio.gather(*(ask(application, b"203.0.113.7") for _ in range(10)), ask(application, b"203.0.113.8"))
        return application

    application = asyncio.run(ask_all())

    assert (statuses[200], statuses[503]) == (4, 7)
    assert not application.in_progress


def test_a_body_gives_its_bytes_back_in_order_and_lets_go_of_what_was_read() -> None:
    sent = bytes(range(256)) * 20_000
    body = Body()
    for start in range(0, len(sent), 77_777):
        body.append(sent[start : start + 77_777])
    before = len(body.chunks)

    first = b"".join(body.read(65_536) for _ in range(40))
    after = len(body.chunks)

    assert body.length == len(sent)
    assert first + body.read() == sent
    assert body.read() == b""
    assert (before, after) == (5, 3)


def test_a_body_of_single_bytes_costs_about_its_size() -> None:
    body = Body()
    for _ in range(200_000):
        body.append(b"x")

    assert len(body.chunks) == 1
    assert body.read(65_536) == b"x" * 65_536
    body.append(b"y")
    assert body.read() == b"x" * (200_000 - 65_536) + b"y"


def test_a_body_may_end_where_a_piece_ends() -> None:
    body = Body()
    body.append(b"x" * 1024 * 1024)

    assert len(body.read()) == 1024 * 1024
    body.append(b"y")
    assert body.read() == b"y"
