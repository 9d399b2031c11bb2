"""A bounded pool of threads for requests, and with them of database connections."""

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
    """All threads were busy for longer than a request waits."""

    retry_after_seconds = 5


class ThreadPool:
    """ThreadPool that stay, with their open connections. Requests wait for one in line, and not for ever.

    per_address: how many of them the requests of one address have at most; others pass those that wait meanwhile.
    """

    def __init__(self, count: int, *, per_address: int) -> None:
        self.count = count
        self.per_address = per_address
        self.created = 0
        # The one that was free last is taken first: what is rarely needed at once is rarely in use.
        self.free: list[ThreadPoolExecutor] = []
        self.in_use: Counter[str] = Counter()
        self.waiting: dict[asyncio.Future[ThreadPoolExecutor], str] = {}

    async def run(self, work: Callable[[], Result], *, address: str, wait_seconds: float) -> Result:
        """Return what `work` returns, done in one thread. Raises NoThreadFree."""
        thread = await self._acquire(address, wait_seconds)
        context = contextvars.copy_context()
        in_thread = sync_to_async(_with_fresh_connections, thread_sensitive=False, executor=thread)
        job = asyncio.create_task(in_thread(work), context=context)
        # Not before the work is done, also when the request was canceled: until then the thread is in use.
        job.add_done_callback(lambda _: self._release(thread, address))
        answer = await asyncio.shield(job)
        # What the work said of itself (the ids for log lines) is known to what follows it.
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
        """Give a thread back that was handed out at the very moment at which the wait ended."""
        if waiting.done() and not waiting.cancelled():
            self._release(waiting.result(), address)

    def _release(self, thread: ThreadPoolExecutor, address: str) -> None:
        self.free.append(thread)
        self.in_use[address] -= 1
        if not self.in_use[address]:
            del self.in_use[address]
        self._assign_free_threads()

    def _assign_free_threads(self) -> None:
        """Give free threads to addresses that have not got their share, first to those that wait for the fewest.

        One request of an address that asks for little passes hundreds of another one. Of one address, and of those that
        wait for as many, the longest waiting is first."""
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
    """Do the work with this thread's connections, without those that are too old or broken."""
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
