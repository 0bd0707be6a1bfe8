"""A run of HiGHS in a process of its own, which can be ended whatever it does.

Long phases of HiGHS look neither at its clock nor for interrupts, and a thread cannot be ended: a large run
under a time limit therefore gets a process, and one that overlooks its deadline is killed, with nothing left
behind. What it costs is half a second for loading HiGHS, once, and some milliseconds for the numbers of each
run: a process that is done waits for the next task for half a minute.

The process ends with whoever began it, by whatever signal: its standard input closes then.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import math
import os
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from bondwork.contracts import Progress
from bondwork.program.matrices import Matrices
from bondwork.solver.answer import Answer
from bondwork.solver.apart_messages import Inbox, send
from bondwork.solver.watching import OVERRUN, OVERRUN_SHARE

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options
    from bondwork.solver.asked import Asked

#: Columns or matrix entries from which on a run gets a process of its own, where it has a limit of so many
#: seconds at least: smaller ones heed their limit, and shorter ones have no half a second to give away.
LARGE_COLUMNS, LARGE_ENTRIES, LEAST_SECONDS = 50_000, 200_000, 1.0

#: Seconds in which an answer arrives.
PATIENCE = 0.05

#: Those that wait for a task, with the process that began them: loading HiGHS once is enough.
_IDLE: list[tuple[int, subprocess.Popen[bytes]]] = []

#: Seconds after a wish to stop in which a run may still hand out what it has.
GRACE = 1.0

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from bondwork.solver.apart_worker import main; main()"
)


def is_large(program: Matrices, seconds: float) -> bool:
    """Whether a run is to have a process of its own."""
    large = program.matrix.shape[1] >= LARGE_COLUMNS or program.matrix.nnz >= LARGE_ENTRIES
    return large and math.isfinite(seconds) and seconds >= LEAST_SECONDS and bool(sys.executable)


def solve_apart(program: Matrices, options: Options, observer: Observer, asked: Asked) -> Answer | None:
    """Solve in a process of its own.

    Returns
    -------
    Answer or None
        ``None`` where no process could be started.
    """
    began = time.monotonic()
    plain = Matrices(*(getattr(program, each.name) for each in dataclasses.fields(Matrices)[:-1]))
    plain = dataclasses.replace(plain, row_tolerance=program.row_tolerance)
    told = dataclasses.replace(options, highs=dict(options.highs), settings={}, warm_start=None)
    ends = began + options.time_limit
    reports = asked.worth is not None or bool(asked.phase)
    there = dataclasses.replace(asked, worth=None, phase="")  # who is told stays here
    process = _given({"program": plain, "options": told, "asked": there, "ends": ends, "reports": reports})
    if process is None:
        return None
    run = _Run(process, observer, began, ends, asked)
    try:
        return run.wait()
    finally:
        if run.is_over and not run.stopping:
            _IDLE.append((os.getpid(), process))
        else:
            _end(process)


def _given(task: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    """A process that has a task: one that waits for it, or a new one; ``None`` where none can be started."""
    while _IDLE:
        owner, process = _IDLE.pop()
        if owner != os.getpid():  # of the process that this one was forked from
            continue
        with contextlib.suppress(OSError):
            if process.poll() is None:
                send(process.stdin, task)
                return process
        _end(process)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt from the terminal is for us alone
        )
    except OSError:
        return None
    with contextlib.suppress(OSError):  # it died at once: its end says so
        send(process.stdin, task)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


@atexit.register
def _end_idle() -> None:
    while _IDLE:
        owner, process = _IDLE.pop()
        if owner == os.getpid():
            _end(process)


class _Run:
    """A run elsewhere, as whoever began it sees it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        observer: Observer,
        began: float,
        ends: float,
        asked: Asked,
    ) -> None:
        self.process, self.observer = process, observer
        self.began, self.ends, self.phase, self.worth = began, ends, asked.phase, asked.worth
        # it gives up by itself first, and hands out what it has
        self.late = ends + max(OVERRUN, OVERRUN_SHARE * (ends - began)) + PATIENCE
        self.x: FloatArray | None = None
        self.best: float | None = None
        self.bound = math.inf
        self.stopping = self.is_over = False

    def wait(self) -> Answer:
        """Pass on what it tells until it is done, dead, or late."""
        with selectors.DefaultSelector() as waiting:
            assert self.process.stdout is not None
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            inbox = Inbox(self.process.stdout)
            while (left := self.late - time.monotonic()) > 0.0:
                try:
                    if waiting.select(min(left, 0.1)) and not inbox.read():
                        return Answer("other_error", self.x, self.bound)
                    for word, what in inbox.messages():
                        if word == "answer":
                            self.is_over = True
                            return self._told_apart(what)
                        if word == "fault":
                            raise what
                        self._take(word, what)
                    if not self.stopping and self.observer.should_stop():
                        self._stop()
                except KeyboardInterrupt:
                    if self.stopping:
                        raise  # a second Ctrl-C means now
                    self._stop()
        return Answer("interrupted" if self.stopping else "time_limit", self.x, self.bound)

    def _stop(self) -> None:
        self.stopping = True
        self.late = min(self.late, time.monotonic() + GRACE)
        with contextlib.suppress(OSError):
            send(self.process.stdin, "stop")

    def _told_apart(self, answer: Answer) -> Answer:
        if answer.status != "interrupted" or self.stopping:
            return answer
        return dataclasses.replace(answer, status="time_limit")

    def _take(self, word: str, what: Any) -> None:
        if word == "incumbent":
            self.x = what
            value = None if self.worth is None else self.worth(what)
            if value is not None:
                self.best = value if self.best is None else max(self.best, value)
        elif word == "bound" and what is not None:
            self.bound = what
        if self.worth is None and not self.phase:
            return
        bound = self.bound if self.worth is not None and math.isfinite(self.bound) else None
        self.observer.report(Progress(time.monotonic() - self.began, self.best, bound, self.phase))
