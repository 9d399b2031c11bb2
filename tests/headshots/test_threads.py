"""A request runs in one thread, and that thread and its connections are there for the next."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import LazySettings

from headshots.web.body_limit import Message, Receive, Scope, Send
from headshots.web.handler import KeptThreads, OneHop


class Asks:
    """An application that does its work where Django does, and notes in which threads."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.work = work
        self.seen: list[threading.Thread] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(await sync_to_async(threading.current_thread)())
        await sync_to_async(self.work)()


async def receive_nothing() -> Message:
    return {"type": "http.disconnect"}


async def send_nowhere(message: Message) -> None:
    pass


async def ask(application: KeptThreads, times: int, *, at_once: bool) -> None:
    asked = [partial(application, {}, receive_nothing, send_nowhere) for _ in range(times)]
    if at_once:
        await asyncio.gather(*(one() for one in asked))
    else:
        for one in asked:
            await one()


def test_requests_one_after_the_other_share_a_thread() -> None:
    asks = Asks()

    asyncio.run(ask(KeptThreads(asks), 3, at_once=False))

    assert len(set(asks.seen)) == 1


def test_requests_at_once_do_not_wait_for_each_other_and_only_some_threads_stay() -> None:
    all_there = threading.Barrier(4)
    asks = Asks(lambda: all_there.wait(10) and None)
    application = KeptThreads(asks, kept=2)

    asyncio.run(ask(application, 4, at_once=True))

    assert len(set(asks.seen)) == 4
    assert len(application.free) == 2
    gone = [thread for thread in asks.seen if thread not in {each for one in application.free for each in one._threads}]
    for thread in gone:
        thread.join(10)
    assert [thread.is_alive() for thread in gone] == [False, False]


def test_a_request_that_fails_gives_its_thread_back() -> None:
    def fail() -> None:
        raise LookupError

    application = KeptThreads(Asks(fail))

    with pytest.raises(LookupError):
        asyncio.run(ask(application, 1, at_once=False))

    assert len(application.free) == 1


class Counting(ThreadPoolExecutor):
    """A thread that counts what it is sent."""

    calls = 0

    def submit(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        self.calls += 1
        return super().submit(*arguments, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("path", "status"), [("/how-it-works/", 200), ("/nowhere/", 404), ("/shoots/new", 301)])
def test_all_middleware_and_the_view_are_one_way_to_a_thread(settings: LazySettings, path: str, status: int) -> None:
    settings.HEADSHOTS_REDIS_URL = ""
    answers: list[Message] = []
    body: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        return body.pop() if body else await asyncio.Future()

    async def send(message: Message) -> None:
        answers.append(message)

    async def serve(thread: Counting) -> None:
        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
        async with ThreadSensitiveContext(executor=thread):
            await OneHop()(scope, receive, send)

    with Counting(max_workers=1) as thread:
        asyncio.run(serve(thread))

    assert answers[0]["status"] == status
    # Django's start of a request, all of it, Django's end.
    assert thread.calls == 3
