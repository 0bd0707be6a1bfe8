"""A process for one piece of work: started, watched, asked to stop, and killed if it does not."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from bondwork.registry import plugin_modules
from bondwork.service.work import Answer, Kind, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection

    from bondwork.contracts import Progress

#: Progress is told at most so often.
_TELL_EVERY = 0.1

#: What is imported once, before the first work: every worker is a fork that has it already.
_PRELOADED = [
    "bondwork.solver.construction",
    "scipy.sparse",
    "bondwork.service.work",
    "bondwork.service.requests",
    "bondwork.solving",
    "bondwork.problem.reading",
    "bondwork.problem.summary",
    "bondwork.plan.verify",
    "bondwork.program.program_solving",
    "bondwork.comparison.comparison",
    "bondwork.planner.planner",
]


class _Teller:
    """The observer inside a worker: progress goes to the parent, which may say stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._stop = threading.Event()
        self._last = -_TELL_EVERY
        threading.Thread(target=self._listen, daemon=True).start()

    def report(self, progress: Progress) -> None:
        """Tell the parent, not too often."""
        now = time.monotonic()
        if now - self._last >= _TELL_EVERY:
            self._last = now
            told = (progress.seconds, progress.objective, progress.bound, progress.phase)
            with contextlib.suppress(OSError):
                self._pipe.send(("progress", told))

    def should_stop(self) -> bool:
        """Whether the parent said so, or is gone."""
        return self._stop.is_set()

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self._pipe.recv()
        self._stop.set()


def _main(pipe: Connection, kind: Kind, body: bytes, options: dict[str, Any], memory: int) -> None:
    """Do one piece of work and send what came of it."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # the parent decides when this process stops
    if memory:
        _limit_memory(memory)
    answer = perform(kind, body, options, _Teller(pipe))
    with contextlib.suppress(OSError):  # whoever asked is gone: nobody to tell
        pipe.send(("done", (answer.status, answer.body)))
    pipe.close()


def _limit_memory(memory: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on every system

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


class WorkerDied(RuntimeError):
    """The process ended without an answer; the text says how."""


class Worker:
    """One piece of work in a process of its own.

    Parameters
    ----------
    kind, body, options
        As for `bondwork.service.work.perform`.
    memory
        Address space in bytes; none is set where 0.
    tell
        Told of progress, from the thread that waits.
    """

    def __init__(
        self,
        kind: Kind,
        body: bytes,
        options: Mapping[str, Any],
        *,
        memory: int,
        tell: Callable[[tuple[float, float | None, float | None, str]], None],
    ) -> None:
        self._pipe, theirs = _context().Pipe()
        self._tell = tell
        self._process = _context().Process(
            target=_main, args=(theirs, kind, body, dict(options), memory), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Of the process."""
        pid: int | None = self._process.pid
        return pid

    def wait(self, until: float) -> Answer | None:
        """Wait for the answer until a time of ``time.monotonic``; ``None`` if there is none by then.

        Raises
        ------
        WorkerDied
            The process ended without one.
        """
        while True:
            left = until - time.monotonic()
            if left <= 0.0 or not self._pipe.poll(left):
                return None
            try:
                word, told = self._pipe.recv()
            except (EOFError, OSError):
                self._process.join()
                raise WorkerDied(_how(self._process.exitcode)) from None
            if word == "done":
                self._process.join()
                return Answer(*told)
            self._tell(told)

    def stop(self) -> None:
        """Ask for the best that there is."""
        with contextlib.suppress(OSError):
            self._pipe.send("stop")

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        """Let go of what belongs to the process, which has ended."""
        self._pipe.close()
        self._process.close()


def _context() -> Any:
    """Processes that start quickly and share nothing with the server's threads."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *plugin_modules()])
    return context


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was killed by signal {signal.Signals(-code).name}"
    return f"its process ended with code {code} and no answer"
