"""How many webhooks a second: `python -m tests.benchmarks.webhooks`, in an environment that names the database.

Two web processes as in production, two clients beside them on the same cores. Each pack is paid, its event comes twice,
and both at once to both processes; every fourth is refunded. What comes out is held against what must be true."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from headshots.accounts.models import User
from headshots.payments.models import Credit, LedgerEntry, WebhookEvent
from headshots.shoots.models import Pack
from tests.fake_stripe import signed
from tests.purchases import Purchase


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


PACKS = 400
PORTS = (free_port(), free_port())
Webhook = tuple[bytes, str]


@contextmanager
def web_processes() -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "headshots.asgi:application",
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    servers = [subprocess.Popen([*command, "--port", str(port)], cwd=settings.BASE_DIR) for port in PORTS]
    try:
        for port in PORTS:
            wait_for(port)
        yield
    finally:
        for server in servers:
            server.terminate()
            server.wait(20)


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            client = HTTPConnection("127.0.0.1", port, timeout=5)
            client.request("GET", "/healthz")
            client.getresponse().read()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(port)


def purchases() -> tuple[list[Webhook], int]:
    """Webhooks in the order in which they are sent, and what the ledger must add up to."""
    owner = User.objects.create_user("buyer@example.org", "a long enough pass phrase")
    webhooks, money = [], 0
    for number in range(PACKS):
        purchase = Purchase(number, owner)
        if number % 4 == 0:
            purchase.stripe.refund(purchase.intent)
        money += purchase.stripe.balance
        webhooks += [signed(event) for event in (purchase.bought, *purchase.stripe.events)]
    return webhooks, money


def send(webhooks: list[Webhook], port: int, waits: list[float], again: list[int]) -> None:
    """One after the other over one connection; what was not taken comes again, as from Stripe."""
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    for body, signature in webhooks:
        for _ in range(20):
            began = time.monotonic()
            client.request("POST", "/stripe/webhook/", body, {"Stripe-Signature": signature})
            answer = client.getresponse()
            answer.read()
            waits.append(time.monotonic() - began)
            if answer.status == 200:
                break
            again.append(answer.status)


def main() -> None:
    call_command("migrate", verbosity=0)
    webhooks, money = purchases()
    connections.close_all()
    with web_processes():
        waits: list[float] = []
        again: list[int] = []
        # Neighbours in the list are about one pack: the two processes get them at the same time. Two connections each.
        shares = [(webhooks[start::4], PORTS[start % 2]) for start in range(4)]
        threads = [threading.Thread(target=send, args=(share, port, waits, again)) for share, port in shares]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
    assert sum(LedgerEntry.objects.values_list("amount", flat=True)) == money
    assert WebhookEvent.objects.count() == len({body for body, _ in webhooks})
    assert Credit.objects.count() == PACKS
    assert Pack.objects.filter(state="queued").count() == PACKS - PACKS // 4
    waits.sort()
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "database": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
        "webhooks": len(webhooks),
        "a_second": round(len(webhooks) / seconds, 1),
        "milliseconds_50": round(waits[len(waits) // 2] * 1000, 1),
        "milliseconds_99": round(waits[len(waits) * 99 // 100] * 1000, 1),
        "sent_again": len(again),
        # Of the web processes, their start (a second or two) included.
        "cpu_ms_a_webhook": round(1000 * (cpu.ru_utime + cpu.ru_stime) / len(webhooks), 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
