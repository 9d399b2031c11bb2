"""Budgets hold over processes, give back what a killed process had, and never fail open."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import LazySettings, settings

from headshots.web import budgets
from headshots.web.budgets import Budget, BudgetExceeded

# Each line it reads is a weight and a holder; it keeps what it gets until it ends.
OTHER_PROCESS = """
import sys
from contextlib import ExitStack
from django.conf import settings
settings.configure(SECRET_KEY=sys.argv[2], HEADSHOTS_REDIS_URL=sys.argv[3])
from headshots.web.budgets import Budget, BudgetExceeded
budget = Budget("tests", total=10, per_holder=6, lease_seconds=float(sys.argv[1]))
with ExitStack() as held:
    print("ready", flush=True)
    for line in sys.stdin:
        weight, holder = line.rstrip("\\n").split(",")
        try:
            held.enter_context(budget.hold(int(weight), holder=holder))
            print("held", flush=True)
        except BudgetExceeded:
            print("refused", flush=True)
"""


class OtherProcess:
    """Another process of the product that takes shares of the same budget."""

    def __init__(self, lease_seconds: float) -> None:
        self.process = subprocess.Popen(
            [
                *[sys.executable, "-c", OTHER_PROCESS],
                *[str(lease_seconds), settings.SECRET_KEY, settings.HEADSHOTS_REDIS_URL],
            ],
            cwd=settings.BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def take(self, weight: int, holder: str = "") -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{weight},{holder}\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def start_other() -> Iterator[Callable[[float], OtherProcess]]:
    """A function that starts another process, which is killed in the end."""
    started: list[OtherProcess] = []

    def start(lease_seconds: float) -> OtherProcess:
        started.append(OtherProcess(lease_seconds))
        return started[-1]

    yield start
    for other in started:
        other.process.kill()
        other.process.communicate()


@pytest.fixture(autouse=True)
def server_was_never_away() -> Iterator[None]:
    budgets._local.server_retry_at = 0.0
    yield
    assert not budgets._local.shares


BUDGET = Budget("tests", total=10, per_holder=6, lease_seconds=30)


def test_two_processes_share_one_total(start_other: Callable[[float], OtherProcess]) -> None:
    other = start_other(30)

    with BUDGET.hold(6):
        answers = [other.take(5), other.take(4), other.take(1)]
        with pytest.raises(BudgetExceeded), BUDGET.hold(1):
            pass

    assert answers == ["refused", "held", "refused"]
    assert other.take(6) == "held"


def test_a_holder_has_a_limit_of_its_own_over_all_processes(start_other: Callable[[float], OtherProcess]) -> None:
    other = start_other(30)

    with BUDGET.hold(4, holder="account 1"):
        answers = [other.take(3, "account 1"), other.take(3, "account 2"), other.take(2, "account 1")]

    assert answers == ["refused", "held", "held"]


def test_a_killed_process_gives_its_share_back_when_the_lease_ends(
    start_other: Callable[[float], OtherProcess],
) -> None:
    other = start_other(1.5)
    assert other.take(6, "account 1") == "held"
    other.process.kill()
    killed_at = time.monotonic()

    with pytest.raises(BudgetExceeded), BUDGET.hold(6, holder="account 1"):
        pass
    with BUDGET.hold(6, holder="account 1", wait_seconds=10):
        waited = time.monotonic() - killed_at

    assert waited < 3


def test_a_renewed_share_outlives_its_lease_and_one_that_is_not_does_not(valkey: "redis.Redis") -> None:
    short = Budget("short", total=2, lease_seconds=0.4)

    with short.hold(1) as renewed, short.hold(1) as forgotten:
        for _ in range(3):
            time.sleep(0.2)
            renewed.renew()
        asyncio.run(renewed.renew_async())
        left = valkey.zrange("headshots:budget:short", 0, -1)

    assert renewed.member.encode() in left
    assert forgotten.member.encode() not in left


def test_a_wait_ends_with_the_share_or_when_its_time_is_up() -> None:
    freed = threading.Event()

    def keep_for_a_while() -> None:
        with BUDGET.hold(10):
            freed.wait(10)

    keeper = threading.Thread(target=keep_for_a_while)
    keeper.start()
    time.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(BudgetExceeded) as refused, BUDGET.hold(1, wait_seconds=0.3):
        pass
    waited = time.monotonic() - began
    threading.Timer(0.2, freed.set).start()
    with BUDGET.hold(1, wait_seconds=10):
        waited_for_it = time.monotonic() - began - waited
    keeper.join()

    assert 0.3 <= waited < 2
    assert waited_for_it < 2
    assert refused.value.retry_after_seconds > 0


def test_the_event_loop_shares_with_threads_and_does_not_stand_still() -> None:
    async def take_all() -> list[str]:
        async def one() -> str:
            try:
                async with BUDGET.hold_async(1, wait_seconds=0.1):
                    await asyncio.sleep(0.5)
                return "held"
            except BudgetExceeded:
                return "refused"

        return await asyncio.gather(*(one() for _ in range(40)))

    with BUDGET.hold(3):
        answers = asyncio.run(take_all())

    assert (answers.count("held"), answers.count("refused")) == (7, 33)


def test_a_cancelled_wait_or_use_gives_everything_back(valkey: "redis.Redis") -> None:
    async def cancel_at(seconds: float) -> None:
        async def use() -> None:
            async with BUDGET.hold_async(10):
                await asyncio.sleep(10)

        task = asyncio.create_task(use())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for seconds in (0, 0.0005, 0.001, 0.002, 0.1):
        asyncio.run(cancel_at(seconds))
        assert not valkey.zcard("headshots:budget:tests"), seconds


@pytest.mark.parametrize("url", ["", "unix:///nowhere/valkey.sock", "redis://127.0.0.1:9/0"])
def test_without_a_server_each_process_keeps_to_the_limits_alone(settings: LazySettings, url: str) -> None:
    settings.HEADSHOTS_REDIS_URL = url

    async def take_async() -> None:
        async with BUDGET.hold_async(5, holder="account 1"):
            with pytest.raises(BudgetExceeded):
                async with BUDGET.hold_async(2, holder="account 1"):
                    pass

    with BUDGET.hold(5), pytest.raises(BudgetExceeded), BUDGET.hold(6):
        pass
    asyncio.run(take_async())


def test_a_server_that_goes_away_in_between_costs_no_request(
    settings: LazySettings, start_valkey: Callable[..., str]
) -> None:
    settings.HEADSHOTS_REDIS_URL = start_valkey("--save", "")
    client = redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL)

    with BUDGET.hold(6) as lease:
        client.shutdown(nosave=True)
        lease.renew()
        with pytest.raises(BudgetExceeded), BUDGET.hold(5):
            pass

    with BUDGET.hold(10):
        pass


def test_a_full_server_costs_no_request(settings: LazySettings, start_valkey: Callable[..., str]) -> None:
    settings.HEADSHOTS_REDIS_URL = start_valkey("--save", "", "--maxmemory", "1", "--maxmemory-policy", "noeviction")

    with BUDGET.hold(6), pytest.raises(BudgetExceeded), BUDGET.hold(5):
        pass


def test_the_server_learns_nothing_of_a_holder(valkey: "redis.Redis") -> None:
    with BUDGET.hold(1, holder="person@example.com"), BUDGET.hold(2, holder="203.0.113.9"):
        kept = b"".join(valkey.zrange("headshots:budget:tests", 0, -1))

    assert b"person" not in kept
    assert b"203.0.113.9" not in kept
    assert valkey.ttl("headshots:budget:tests") < 31


def test_a_share_weighs_something() -> None:
    with pytest.raises(ValueError, match="1 or more"), BUDGET.hold(0):
        pass
