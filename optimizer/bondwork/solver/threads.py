"""HiGHS's threads: how many, and how runs that want different numbers of them share a process.

HiGHS keeps its pool of threads with the thread that called it (a ``thread_local`` of the C++ class
``HighsTaskExecutor``). The first call that needs it starts it, with the number of threads that this call's
options ask for; it then stays, and a later call from the same thread that asks for another number ends in an
error without solving anything. Not only ``run`` starts it: asking for the ray of a program that presolve
found infeasible solves that program once more. So every such call is made here: the pool that anybody may
have left is put away before, the own one after. Putting away one that is not there costs nothing, and one of
a single thread about a microsecond.

No call leaves the number of threads to HiGHS, whose own choice changed with a version (1.16) and depends on
the machine.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import highspy


#: HiGHS is told no more threads than this, or than there are CPUs: it makes them all at once, and one that
#: the system has no room for ends the process.
MOST_THREADS = 64


def thread_count(asked: int) -> int:
    """Number of threads that HiGHS is told; where 0 is asked for, half of the CPUs, rounded up."""
    cpus = usable_cpus()
    return min(asked, max(cpus, MOST_THREADS)) if asked > 0 else (cpus + 1) // 2


def usable_cpus() -> int:
    """Number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def own_scheduler(highs: highspy.Highs) -> Iterator[None]:
    """Let the calls inside start a pool of threads of their own, which ends with the block."""
    _end_scheduler(highs)
    try:
        yield
    finally:
        _end_scheduler(highs)


def run(highs: highspy.Highs) -> None:
    """Solve what HiGHS holds, in the calling thread."""
    with own_scheduler(highs):
        highs.run()


#: What the proof of infeasibility is sought with: where presolve found a program infeasible HiGHS solves it
#: once more, and its parallel dual simplex (``simplex_strategy=3``) may never come back from that (1.16).
_PLAIN: dict[str, str | int] = {"solver": "simplex", "simplex_strategy": 1, "parallel": "off"}


def dual_ray(highs: highspy.Highs) -> tuple[bool, object]:
    """Ask for the proof that a linear program is infeasible: whether there is one, and its numbers."""
    before = {name: highs.getOptionValue(name)[1] for name in _PLAIN}
    for name, value in _PLAIN.items():
        highs.setOptionValue(name, value)
    try:
        with own_scheduler(highs):
            _, has_ray, ray = highs.getDualRay()
    finally:
        for name, value in before.items():
            highs.setOptionValue(name, value)
    return bool(has_ray), ray


def _end_scheduler(highs: highspy.Highs) -> None:
    # waiting for the threads: they could otherwise outlive the process's end
    end = getattr(highs, "resetThreadScheduler", None) or highs.resetGlobalScheduler
    end(True)
