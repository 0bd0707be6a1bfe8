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
import pickle
import queue
import selectors
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from bondwork.contracts import Progress
from bondwork.program.matrices import Matrices
from bondwork.solver.answer import Answer
from bondwork.solver.watching import OVERRUN, OVERRUN_SHARE, THREAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options
    from bondwork.solver.asked import Asked

#: Columns or matrix entries from which on a run gets a process of its own, where it has a limit of so many
#: seconds at least: smaller ones heed their limit, and shorter ones have no half a second to give away.
LARGE_COLUMNS, LARGE_ENTRIES, LEAST_SECONDS = 50_000, 200_000, 1.0

#: Seconds in which an answer arrives.
PATIENCE = 0.05

#: Seconds after which a process that nobody gives a task ends.
IDLE = 30.0

#: Those that wait for a task, with the process that began them: loading HiGHS once is enough.
_IDLE: list[tuple[int, subprocess.Popen[bytes]]] = []

#: Bytes read at once, and what stands before each message: its length.
_PIECE, _HEAD = 2**20, struct.Struct(">Q")

#: Seconds after a wish to stop in which a run may still hand out what it has.
GRACE = 1.0

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from bondwork.solver.apart import main; main()"
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
                _send(process.stdin, task)
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
        _send(process.stdin, task)
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
            inbox = _Inbox(self.process.stdout)
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
            _send(self.process.stdin, "stop")

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
        inbox = _Inbox(sys.stdin)
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
            _send(self.answers, (word, what))

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
    from bondwork.solver.solving import solve_here

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


def _send(stream: Any, message: Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_HEAD.pack(len(data)))
    stream.write(data)
    stream.flush()


class _Inbox:
    """Messages that arrive at a descriptor, a piece at a time: waiting for one is left to whoever asks.

    Nothing is read ahead that somebody who waits for the descriptor would not see, and what has arrived of a
    message stays where an interrupt comes between.
    """

    def __init__(self, stream: Any) -> None:
        self._descriptor: int = stream.fileno()
        self._data = bytearray()

    def read(self) -> bool:
        """Take what is there, wait where that is nothing; say whether the other end is still there."""
        part = os.read(self._descriptor, _PIECE)
        self._data += part
        return bool(part)

    def messages(self) -> Iterator[Any]:
        """Hand out what has arrived whole."""
        while len(self._data) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._data)
            ends = _HEAD.size + size
            if len(self._data) < ends:
                return
            message = pickle.loads(self._data[_HEAD.size : ends])
            del self._data[:ends]
            yield message
