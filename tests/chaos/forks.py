"""Programs of the tests in many processes: forks of this one, so that hundreds of them take seconds."""

import os
import traceback
from collections.abc import Callable, Sequence

from django.db import connections

Work = Callable[[], object]


def in_process(work: Work) -> int:
    """The process that does it, forked from this one without its connections."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    finally:
        connections.close_all()
    os._exit(0)


def ended(pid: int) -> int:
    """Its exit status; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def at_once(works: Sequence[Work]) -> int:
    """How many of these failed, each in a process of its own, all of them let go at the same moment."""
    waiting, gate = os.pipe()

    def let_go(work: Work) -> None:
        os.close(gate)
        os.read(waiting, 1)
        work()

    pids = [in_process(lambda work=work: let_go(work)) for work in works]
    os.close(gate)
    failed = sum(ended(pid) != 0 for pid in pids)
    os.close(waiting)
    return failed
