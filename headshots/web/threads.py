"""A bounded pool of threads for requests, which also bounds the database connections."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

Result = TypeVar("Result")


class NoThreadFree(Exception):
    """Raised when no thread became free in time."""

    retry_after_seconds = 5


class ThreadPool:
    """A pool of threads that keep their database connections open. Requests wait in a queue, for a limited time.

    count: number of threads. per_address: limit of threads in use by one address. Requests of other addresses overtake
    those that wait for this limit.
    """

    def __init__(self, count: int, *, per_address: int) -> None:
        self.count = count
        self.per_address = per_address
        self.created = 0
        # Used as a stack, so that threads which are needed only at peaks stay idle otherwise.
        self.free: list[ThreadPoolExecutor] = []
        self.in_use: Counter[str] = Counter()
        self.waiting: dict[asyncio.Future[ThreadPoolExecutor], str] = {}

    async def run(self, work: Callable[[], Result], *, address: str, wait_seconds: float) -> Result:
        """Run `work` in one thread of the pool and return its result. Raises NoThreadFree."""
        thread = await self._acquire(address, wait_seconds)
        context = contextvars.copy_context()
        in_thread = sync_to_async(_with_fresh_connections, thread_sensitive=False, executor=thread)
        job = asyncio.create_task(in_thread(work), context=context)
        # A callback, because a canceled request does not stop the work: the thread is in use until the work is done.
        job.add_done_callback(lambda _: self._release(thread, address))
        answer = await asyncio.shield(job)
        # Copy context variables back, so that ids for log lines which the work has bound apply to later steps as well.
        for variable in context:
            variable.set(context[variable])
        return answer

    async def _acquire(self, address: str, wait_seconds: float) -> ThreadPoolExecutor:
        waiting: asyncio.Future[ThreadPoolExecutor] = asyncio.get_running_loop().create_future()
        self.waiting[waiting] = address
        self._assign_free_threads()
        try:
            async with asyncio.timeout(wait_seconds):
                return await waiting
        except TimeoutError:
            self._cancel_wait(waiting, address)
            raise NoThreadFree from None
        except BaseException:
            self._cancel_wait(waiting, address)
            raise
        finally:
            self.waiting.pop(waiting, None)

    def _cancel_wait(self, waiting: "asyncio.Future[ThreadPoolExecutor]", address: str) -> None:
        """Release a thread that was assigned at the moment when the wait ended."""
        if waiting.done() and not waiting.cancelled():
            self._release(waiting.result(), address)

    def _release(self, thread: ThreadPoolExecutor, address: str) -> None:
        self.free.append(thread)
        self.in_use[address] -= 1
        if not self.in_use[address]:
            del self.in_use[address]
        self._assign_free_threads()

    def _assign_free_threads(self) -> None:
        """Assign free threads to waiting requests of addresses that are below their limit.

        Addresses with the fewest waiting requests come first, so one request overtakes hundreds of another address.
        Among equals, the request that has waited longest comes first."""
        queued = Counter(self.waiting.values())
        for waiting, address in sorted(self.waiting.items(), key=lambda item: queued[item[1]]):
            if not self.free and self.created == self.count:
                return
            if waiting.done() or (address and self.in_use[address] >= self.per_address):
                continue
            if not self.free:
                self.created += 1
                self.free.append(ThreadPoolExecutor(max_workers=1, thread_name_prefix="request"))
            self.in_use[address] += 1
            del self.waiting[waiting]
            waiting.set_result(self.free.pop())


def _with_fresh_connections(work: Callable[[], Result]) -> Result:
    """Run the work, and close database connections that are too old or broken before and after it."""
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
