"""Requests share a bounded number of threads, wait for one in line, and none of them takes all."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.conf import LazySettings

from headshots.web.asgi_types import Message, Scope
from headshots.web.bodies import BODY, Body
from headshots.web.handler import ThreadPoolASGIHandler
from headshots.web.threads import NoThreadFree, ThreadPool

Result = TypeVar("Result")
A, B = "192.0.2.1", "192.0.2.2"


def run(threads: ThreadPool, work: Callable[[], Result], address: str = A, wait: float = 5) -> "asyncio.Task[Result]":
    return asyncio.create_task(threads.run(work, address=address, wait_seconds=wait))


def test_requests_one_after_the_other_share_a_thread() -> None:
    async def ask() -> set[threading.Thread]:
        threads = ThreadPool(4, per_address=4)
        return {await run(threads, threading.current_thread) for _ in range(3)}

    assert len(asyncio.run(ask())) == 1


def test_requests_at_once_do_not_wait_for_each_other_until_all_threads_are_busy() -> None:
    async def ask() -> tuple[int, int, list[int]]:
        threads = ThreadPool(4, per_address=4)
        all_there, go_on = threading.Barrier(5), threading.Event()
        seen: list[int] = []

        def work() -> None:
            seen.append(threading.get_ident())
            if len(seen) <= 4:
                all_there.wait(10)
            go_on.wait(10)

        asked = [run(threads, work) for _ in range(20)]
        await asyncio.to_thread(all_there.wait, 10)
        await asyncio.sleep(0.05)
        at_once = len(seen)
        go_on.set()
        await asyncio.gather(*asked)
        return at_once, len(set(seen)), [threads.created, len(threads.free), len(threads.in_use), len(threads.waiting)]

    assert asyncio.run(ask()) == (4, 4, [4, 4, 0, 0])


def test_one_address_leaves_threads_to_others() -> None:
    async def ask() -> str:
        threads = ThreadPool(4, per_address=2)
        go_on = threading.Event()
        asked = [run(threads, lambda: go_on.wait(10)) for _ in range(100)]
        await asyncio.sleep(0.05)
        try:
            return await run(threads, lambda: "answered", B, wait=1)
        finally:
            go_on.set()
            await asyncio.gather(*asked)

    assert asyncio.run(ask()) == "answered"


def test_one_request_passes_the_hundreds_of_other_addresses() -> None:
    async def ask() -> tuple[str, int]:
        threads = ThreadPool(2, per_address=1)
        go_on, done = threading.Event(), []

        def work() -> None:
            go_on.wait(10)
            done.append(threading.get_ident())

        asked = [run(threads, work, address) for _ in range(100) for address in (A, B)]
        await asyncio.sleep(0.05)
        probe = run(threads, lambda: f"answered after {len(done)}", "127.0.0.1")
        await asyncio.sleep(0.05)
        go_on.set()
        answer = await probe
        await asyncio.gather(*asked)
        return answer, len(done)

    answer, done = asyncio.run(ask())

    # The two that were at work already, and what they gave way to meanwhile.
    assert int(answer.split()[-1]) <= 4
    assert done == 200


def test_a_wait_for_a_thread_ends_and_costs_nothing() -> None:
    async def ask() -> list[object]:
        threads = ThreadPool(1, per_address=1)
        go_on = threading.Event()
        busy = run(threads, lambda: go_on.wait(10))
        await asyncio.sleep(0.02)
        others = await asyncio.gather(*(run(threads, int, wait=0.05) for _ in range(20)), return_exceptions=True)
        left = run(threads, int)
        await asyncio.sleep(0.02)
        left.cancel()
        go_on.set()
        await busy
        return [{type(other) for other in others}, await run(threads, int), len(threads.free), dict(threads.in_use)]

    assert asyncio.run(ask()) == [{NoThreadFree}, 0, 1, {}]


def test_a_request_that_was_cancelled_keeps_its_thread_until_its_work_is_done() -> None:
    async def ask() -> tuple[int, int]:
        threads = ThreadPool(1, per_address=1)
        go_on = threading.Event()
        busy = run(threads, lambda: go_on.wait(10))
        await asyncio.sleep(0.02)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        meanwhile = len(threads.free)
        go_on.set()
        await run(threads, int)
        return meanwhile, len(threads.free)

    assert asyncio.run(ask()) == (0, 1)


def test_a_request_that_fails_gives_its_thread_back() -> None:
    def fail() -> None:
        raise LookupError

    async def ask() -> int:
        threads = ThreadPool(1, per_address=1)
        with pytest.raises(LookupError):
            await run(threads, fail)
        return len(threads.free)

    assert asyncio.run(ask()) == 1


@pytest.mark.parametrize(("path", "status"), [("/how-it-works/", 200), ("/nowhere/", 404), ("/shoots/new", 301)])
def test_all_middleware_and_the_view_are_one_way_to_a_thread(settings: LazySettings, path: str, status: int) -> None:
    settings.HEADSHOTS_REDIS_URL = ""
    answers: list[Message] = []
    threads = ThreadPool(1, per_address=1)
    threads.created, threads.free = 1, [Counting(max_workers=1)]

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        answers.append(message)

    headers = [(b"host", b"localhost")]
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": headers,
        BODY: Body(),
    }
    asyncio.run(ThreadPoolASGIHandler(lambda scope: (threads, 1))(scope, receive, send))

    assert answers[0]["status"] == status
    (thread,) = threads.free
    assert isinstance(thread, Counting)
    assert thread.calls == 1
    thread.shutdown()


def test_a_reader_who_takes_nothing_keeps_no_thread(settings: LazySettings) -> None:
    settings.HEADSHOTS_REDIS_URL = ""
    threads = ThreadPool(1, per_address=1)
    headers = [(b"host", b"localhost")]

    async def receive() -> Message:
        return await asyncio.Future()

    async def ask() -> tuple[int, int]:
        asked = asyncio.Event()

        async def send(message: Message) -> None:
            asked.set()
            await asyncio.Future()

        scope: Scope = {"type": "http", "method": "GET", "path": "/how-it-works/", "query_string": b""}
        scope |= {"headers": headers, BODY: Body()}
        reader = asyncio.create_task(ThreadPoolASGIHandler(lambda scope: (threads, 1))(scope, receive, send))
        await asyncio.wait_for(asked.wait(), 20)
        kept = len(threads.free), len(threads.in_use)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        return kept

    assert asyncio.run(ask()) == (1, 0)


class Counting(ThreadPoolExecutor):
    """A thread that counts what it is sent."""

    calls = 0

    def submit(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        self.calls += 1
        return super().submit(*arguments, **options)  # type: ignore[arg-type]
