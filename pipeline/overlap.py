"""Finishing what has been made while the next is being made."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")
Finished = TypeVar("Finished")


def finish_behind(
    things: Iterable[Made], finish: Callable[[Made], Finished], *, threads: int, most: int
) -> Iterator[Finished]:
    """`finish` of each thing, in order, in threads of their own; meanwhile the next thing is asked for.

    most: how many may be in the threads or wait for them; beyond that nothing is asked for. Raises what `finish`
    raises, and what asking for a thing raises; what has not been begun by then is dropped."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Finished]] = deque()
    try:
        for thing in things:
            waiting.append(pool.submit(finish, thing))
            while waiting and (waiting[0].done() or len(waiting) > most):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
