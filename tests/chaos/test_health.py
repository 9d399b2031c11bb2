"""Beat, a worker or the broker is killed and nobody starts it again: the right health check turns critical within a
minute, and no other one does."""

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.test_respawn import is_well, service_pid, wait_for
from tests.helpers.product import Product

# What the operator is told by whom, once it is dead.
HEALTH_CHECKS = {
    "beat": "Celery beat",
    "render": "render@",
    "default": "default@",
    "retention": "retention@",
    "valkey": "Broker",
}
# Whoever signs in as an owner, without the form.
SIGN_IN = (
    "from django.test import Client; from headshots.accounts.models import User; "
    "client = Client(); client.force_login(User.objects.create_superuser('owner@example.org', 'a long pass phrase')); "
    "print(client.cookies['sessionid'].value)"
)


def sign_in(product: Product) -> str:
    """The cookie of an owner's session."""
    key = product.manage("shell", "--verbosity", "0", "--command", SIGN_IN).split()[-1]
    return f"sessionid={key}"


def statuses(product: Product, cookie: str) -> dict[str, str]:
    """Title -> status, as the operator's page shows them at this moment."""
    request = urllib.request.Request(f"{product.url}/admin/health/", headers={"Cookie": cookie})  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        page = answer.read().decode()
    return {
        title: status for status, title in re.findall(r'data-status="(\w+)".*?<strong>(.+?)</strong>', page, re.DOTALL)
    }


def critical(product: Product, cookie: str) -> set[str]:
    return {title for title, status in statuses(product, cookie).items() if status == "critical"}


@contextmanager
def nobody_starts_it_again(product: Product) -> Iterator[None]:
    """The supervisor stands still; what it looks after goes on."""
    product.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        product.process.send_signal(signal.SIGCONT)


def kill(product: Product, *names: str) -> None:
    for name in names:
        pid = service_pid(product, name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


def seconds_until_critical(product: Product, cookie: str, names: tuple[str, ...]) -> float:
    """How long it took from now until the health checks of all these were critical; on the way no other was."""
    began = time.monotonic()
    expected = [HEALTH_CHECKS[name] for name in names]
    while True:
        dark = critical(product, cookie)
        # Beat counts by what it delivers: without a broker it is soon critical as well.
        allowed = (*expected, "Celery beat") if "valkey" in names else tuple(expected)
        assert {title for title in dark if not title.startswith(allowed)} == set()
        if all(any(title.startswith(each) for title in dark) for each in expected):
            return time.monotonic() - began
        assert time.monotonic() - began < 60, (expected, dark)
        time.sleep(0.5)


def health(product: Product) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"{product.url}/healthz", timeout=20) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def start(start_product: Callable[..., Product]) -> tuple[Product, str]:
    product = start_product()
    cookie = sign_in(product)
    wait_for(lambda: is_well(product) and not critical(product, cookie), 60)
    return product, cookie


def test_a_dead_beat_a_dead_worker_and_then_a_dead_broker_turn_their_lamps_red(
    start_product: Callable[..., Product],
) -> None:
    product, cookie = start(start_product)
    assert health(product)[0] == 200

    with nobody_starts_it_again(product):
        kill(product, "beat", "default")
        silent = seconds_until_critical(product, cookie, ("beat", "default"))
        beats = health(product)[1]["heartbeat_seconds"]
        kill(product, "valkey")
        away = seconds_until_critical(product, cookie, ("beat", "default", "valkey"))
        status, answers = health(product)
    print(f"beat and worker red after {silent:.0f} s, broker after {away:.1f} s")

    assert min(beats["beat"], beats["default"]) > 20 > max(beats["render"], beats["retention"])
    assert (status, answers["broker"]) == (503, False)


@pytest.mark.parametrize("name", HEALTH_CHECKS)
def test_whoever_is_killed_turns_their_own_lamp_red_and_green_again(
    start_product: Callable[..., Product], name: str
) -> None:
    product, cookie = start(start_product)

    with nobody_starts_it_again(product):
        kill(product, name)
        seconds = seconds_until_critical(product, cookie, (name,))
        # Nobody else falls silent with it.
        for _ in range(45):
            assert seconds_until_critical(product, cookie, (name,)) < 60
            time.sleep(1)
    print(f"{name}: red after {seconds:.0f} s")

    wait_for(lambda: is_well(product) and not critical(product, cookie), 90)
