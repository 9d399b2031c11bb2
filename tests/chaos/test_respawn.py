"""Whatever dies or hangs is replaced, and the product works as before. A pack that was being made completes."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pytest

from tests.chaos.conftest import short_folder
from tests.chaos.visitor import Visitor
from tests.helpers import photos
from tests.helpers.product import Product, start_below

SERVICES = {
    "valkey": "valkey-server",
    "web": "uvicorn",
    "render": "-Q render",
    "default": "-Q default",
    "retention": "-Q retention",
    "beat": "headshots beat",
}
# Headshots of a pack: enough for a worker to be killed in its midst.
COUNT = 6


def service_pid(product: Product, name: str) -> int | None:
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, parent, command = line.split(None, 2)
        if int(parent) == product.process.pid and SERVICES[name] in command:
            return int(pid)
    return None


def is_well(product: Product, seconds: float = 15) -> bool:
    """Every part answers or has beaten within so many seconds, by the product's own account."""
    try:
        with urllib.request.urlopen(f"{product.url}/healthz", timeout=10) as answer:  # noqa: S310
            health = json.load(answer)
    except (OSError, urllib.error.HTTPError):
        return False
    beats = health["heartbeat_seconds"].values()
    return health["status"] == "ok" and all(beat is not None and beat < seconds for beat in beats)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def replaced_after(product: Product, names: Sequence[str], blow: signal.Signals, seconds: float) -> None:
    """Strike these services at the same moment, and wait until each has a new process and all is well."""
    first = {name: service_pid(product, name) for name in names}

    for pid in first.values():
        assert pid is not None
        os.kill(pid, blow)
    struck = time.monotonic()

    wait_for(lambda: all(service_pid(product, name) not in {None, first[name]} for name in names), seconds)
    # The last beats of those that are dead do not count.
    wait_for(lambda: is_well(product, time.monotonic() - struck), 90)


@pytest.fixture(scope="module")
def shared() -> Iterator[Product]:
    """A product that is well, for the tests that kill; in the end it stops as if nothing had been."""
    with short_folder() as folder:
        # As soon as a worker is dead others may take over its shots.
        product = start_below(folder, (), {"HEADSHOTS_LEASE_SECONDS": "3", "HEADSHOTS_PREVIEW_COUNT": str(COUNT)})
        try:
            yield product
            assert product.stop() == 0
        finally:
            product.end()


def test_whatever_is_killed_comes_back(shared: Product) -> None:
    wait_for(lambda: is_well(shared), 60)

    replaced_after(shared, list(SERVICES), signal.SIGKILL, seconds=30)


def test_a_killed_render_worker_costs_time_not_pictures(shared: Product) -> None:
    wait_for(lambda: is_well(shared), 60)
    visitor = Visitor(shared.url)
    visitor.sign_up(f"{uuid4().hex}@example.org")
    shoot = visitor.upload("astronaut.png", photos.astronaut_path().read_bytes())
    wait_for(lambda: done(shared) >= 1, 60)

    os.kill(shared.worker_pid("render"), signal.SIGKILL)
    done_at_kill = done(shared)
    visitor.wait_for(shoot, "delivered")

    assert done_at_kill < COUNT
    assert len(visitor.headshots(shoot)) == COUNT
    assert shared.query("select state, count(*) from shoots_headshot group by state") == [("done", COUNT)]
    assert shared.query("select count(distinct blob_id) from shoots_headshot") == [(COUNT,)]


def done(product: Product) -> int:
    return int(str(product.query("select count(*) from shoots_headshot where state = 'done'")[0][0]))


def test_workers_take_messages_again_after_the_broker_died(start_product: Callable[..., Product]) -> None:
    product = start_product()
    wait_for(lambda: is_well(product), 60)
    workers = [service_pid(product, name) for name in ("render", "default", "retention")]
    log = product.data / "logs" / "default.log"

    replaced_after(product, ["valkey"], signal.SIGKILL, seconds=15)
    done = log.read_text().count("shoots.requeue_stalled")

    wait_for(lambda: log.read_text().count("shoots.requeue_stalled") > done, 40)
    assert [service_pid(product, name) for name in ("render", "default", "retention")] == workers


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_hangs_is_replaced(start_product: Callable[..., Product], name: str) -> None:
    product = start_product(HEADSHOTS_HEARTBEAT_TIMEOUT="10")
    wait_for(lambda: is_well(product), 60)

    replaced_after(product, [name], signal.SIGSTOP, seconds=90)
