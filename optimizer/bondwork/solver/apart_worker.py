"""What a process does that runs HiGHS for another one: tasks come in, answers go out.

It ends with whoever began it, by whatever signal: its standard input closes then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from bondwork.solver.apart_messages import Inbox, send
from bondwork.solver.solving import solve_here
from bondwork.solver.watching import THREAD

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.contracts import Progress

#: Seconds after which a process that nobody gives a task ends.
IDLE = 30.0


class _Teller:
    """The observer of a run elsewhere: tells of it, and stops when told to."""

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever else is printed must not stand among the answers
        self.stopped = threading.Event()
        self.tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.lock = threading.Lock()

    def listen(self) -> None:
        """Take tasks and words to stop, and end this process where the other end has gone."""
        inbox = Inbox(sys.stdin)
        while inbox.read():
            for message in inbox.messages():
                if isinstance(message, dict):
                    self.tasks.put(message)
                else:
                    self.stopped.set()
        os._exit(1)

    def tell(self, word: str, what: Any) -> None:
        """Send one message."""
        with self.lock:
            send(self.answers, (word, what))

    def report(self, progress: Progress) -> None:
        """Tell of the bound."""
        self.tell("bound", progress.bound)

    def should_stop(self) -> bool:
        """Whether the other end said so."""
        return self.stopped.is_set()

    def incumbent(self, x: FloatArray) -> None:
        """Tell of a solution; what it is worth the other end knows."""
        self.tell("incumbent", x)


def main() -> None:
    """Solve the programs that come on standard input, one after the other."""
    teller = _Teller()
    threading.Thread(target=teller.listen, daemon=True).start()
    with contextlib.suppress(queue.Empty, BrokenPipeError):
        while not any(each.name == THREAD for each in threading.enumerate()):  # one that nobody can end
            task = teller.tasks.get(timeout=IDLE)
            left = max(task.pop("ends") - time.monotonic(), 0.0)
            options = dataclasses.replace(task.pop("options"), time_limit=left)
            worth = teller.incumbent if task["reports"] else None
            asked = dataclasses.replace(task["asked"], worth=worth)
            try:
                answer = solve_here(task.pop("program"), options, teller, asked)
            except MemoryError:
                teller.tell("fault", MemoryError())
            except Exception as fault:  # not all of them travel
                teller.tell("fault", RuntimeError(f"{type(fault).__name__}: {fault}"))
            else:
                teller.tell("answer", answer)
            del task
    os._exit(0)
