"""How many webhooks a second: `python -m tests.benchmarks.webhooks [PACKS]`, in an environment that names the database.

Two web processes as in production, two clients beside them on the same cores. Each pack is paid, its event comes twice,
and both at once to both processes; every fourth is refunded. What comes out is held against what must be true."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from headshots.accounts.models import User
from headshots.payments.models import Credit, LedgerEntry, WebhookEvent
from headshots.shoots.models import Pack
from tests.helpers.fake_stripe import signed
from tests.helpers.purchases import Purchase


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


Webhook = tuple[bytes, str]
PACKS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
PORTS = (free_port(), free_port())


@contextmanager
def web_processes() -> Iterator[list[int]]:
    """The ids of two web processes that serve."""
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
        yield [server.pid for server in servers]
    finally:
        for server in servers:
            server.terminate()
            server.wait(20)


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except HTTPError:
            return  # Any answer: here it misses the workers.
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


def request_of(webhook: Webhook) -> bytes:
    """As it goes over the wire, made before the clock runs: the sender's work is not what is measured."""
    body, signature = webhook
    head = "POST /stripe/webhook/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nStripe-Signature: {signature}\r\n\r\n".encode() + body


def send(requests: list[bytes], port: int, waits: list[float], again: list[int]) -> None:
    """One after the other over one connection; what was not taken comes again, as from Stripe."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            for _ in range(20):
                began = time.monotonic()
                connection.sendall(request)
                status = read_status(connection)
                waits.append(time.monotonic() - began)
                if status == 200:
                    break
                again.append(status)


def read_status(connection: socket.socket) -> int:
    """The status of one answer, which is read to its end."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return int(head.split(maxsplit=2)[1])


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in itself and in the system for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    call_command("migrate", verbosity=0)
    webhooks, money = purchases()
    requests = [request_of(webhook) for webhook in webhooks]
    connections.close_all()
    with web_processes() as servers:
        waits: list[float] = []
        again: list[int] = []
        # Neighbors in the list are about one pack: the two processes get them at the same time. Two connections each.
        shares = [(requests[start::4], PORTS[start % 2]) for start in range(4)]
        threads = [threading.Thread(target=send, args=(share, port, waits, again)) for share, port in shares]
        served, sent, began = [cpu_seconds(pid) for pid in servers], time.process_time(), time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, sent = time.monotonic() - began, time.process_time() - sent
        cpu = sum(map(cpu_seconds, servers)) - sum(served)
    assert sum(LedgerEntry.objects.values_list("amount", flat=True)) == money
    assert WebhookEvent.objects.count() == len({body for body, _ in webhooks})
    assert Credit.objects.count() == PACKS
    assert Pack.objects.filter(state="queued").count() == PACKS - PACKS // 4
    waits.sort()
    found = {
        "database": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
        "webhooks": len(webhooks),
        "a_second": round(len(webhooks) / seconds, 1),
        "milliseconds_50": round(waits[len(waits) // 2] * 1000, 1),
        "milliseconds_99": round(waits[len(waits) * 99 // 100] * 1000, 1),
        "sent_again": len(again),
        # Of the web processes, and of the sender beside them; a database server's comes on top.
        "cpu_ms_a_webhook": round(1000 * cpu / len(webhooks), 2),
        "sender_cpu_ms": round(1000 * sent / len(webhooks), 2),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
