"""Whatever dies or hangs is replaced, and the product works as before."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.helpers.product import Product

SERVICES = {
    "valkey": "valkey-server",
    "web": "uvicorn",
    "render": "-Q render",
    "default": "-Q default",
    "retention": "-Q retention",
    "beat": "headshots beat",
}


def service_pid(product: Product, name: str) -> int | None:
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, parent, command = line.split(None, 2)
        if int(parent) == product.process.pid and SERVICES[name] in command:
            return int(pid)
    return None


def is_well(product: Product) -> bool:
    """Every part answers or beats, by the product's own account."""
    try:
        with urllib.request.urlopen(f"{product.url}/healthz", timeout=10) as answer:  # noqa: S310
            health = json.load(answer)
    except (OSError, urllib.error.HTTPError):
        return False
    beats = health["heartbeat_seconds"].values()
    return health["status"] == "ok" and all(seconds is not None and seconds < 15 for seconds in beats)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def replaced_after(product: Product, name: str, blow: signal.Signals, seconds: float) -> None:
    first = service_pid(product, name)
    assert first is not None

    os.kill(first, blow)

    wait_for(lambda: service_pid(product, name) not in {None, first}, seconds)
    wait_for(lambda: is_well(product), 60)


def test_whatever_is_killed_comes_back(start_product: Callable[..., Product]) -> None:
    product = start_product()
    wait_for(lambda: is_well(product), 60)

    for name in SERVICES:
        replaced_after(product, name, signal.SIGKILL, seconds=15)

    assert product.stop() == 0


def test_workers_take_messages_again_after_the_broker_died(start_product: Callable[..., Product]) -> None:
    product = start_product()
    wait_for(lambda: is_well(product), 60)
    workers = [service_pid(product, name) for name in ("render", "default", "retention")]
    log = product.data / "logs" / "default.log"

    replaced_after(product, "valkey", signal.SIGKILL, seconds=15)
    done = log.read_text().count("shoots.requeue_stalled")

    wait_for(lambda: log.read_text().count("shoots.requeue_stalled") > done, 40)
    assert [service_pid(product, name) for name in ("render", "default", "retention")] == workers


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_hangs_is_replaced(start_product: Callable[..., Product], name: str) -> None:
    product = start_product(HEADSHOTS_HEARTBEAT_TIMEOUT="10")
    wait_for(lambda: is_well(product), 60)

    replaced_after(product, name, signal.SIGSTOP, seconds=90)
