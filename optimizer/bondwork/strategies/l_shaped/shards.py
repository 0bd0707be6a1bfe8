"""Scenarios in parts that processes can work on: the parts depend on the program, not on the machine.

Results must not depend on how many processes there are, so a program has the same parts whether one process
works on all of them or several on some each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pickle
import selectors
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from bondwork.observing import Silence
from bondwork.strategies.l_shaped.recourse import Recourse
from bondwork.strategies.l_shaped.whole import WholeRecourse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.matrices import Matrices
    from bondwork.strategies.l_shaped.batch import Batch

#: Entries of W, over all scenarios, beyond which a program is cut into parts, and in how many.
PART_ENTRIES = 100_000
MOST_PARTS = 8

#: Entries of W, over all scenarios, beyond which other processes are worth starting.
LEAST_ENTRIES_FOR_PROCESSES = 400_000

#: The same where scenarios have whole columns: each is a search.
LEAST_WHOLE_ENTRIES_FOR_PROCESSES = 100_000

#: Each process is one thread: products of matrices are not to be shared out among threads.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


class Shard:
    """A part of the scenarios with the solvers that are kept for them."""

    def __init__(self, batch: Batch, first: Matrices, options: Options) -> None:
        self.recourse = Recourse(batch, options)
        self.whole = WholeRecourse(batch, first, options) if batch.integer.any() else None

    def call(self, what: str, x: FloatArray, quiet: _Quiet) -> Any:
        """Do one of ``evaluate``, ``decide``, ``whole`` and ``tighten`` before a deadline; see `Team`."""
        stop, observer = quiet.stop, quiet
        self.recourse.family.deadline = quiet.deadline
        if what == "whole" and self.whole is not None:
            return self.whole.evaluate(x, stop, observer)
        if what == "tighten" and self.whole is not None:
            return self._tighten(x, stop, observer)
        return self.recourse.evaluate(x, stop, want_y=what in ("decide", "whole"))

    def _tighten(self, x: FloatArray, stop: Callable[[], Status | None], observer: Observer) -> Any:
        found = self.recourse.evaluate(x, stop)
        if found.status != "optimal" or len(found.infeasible) or self.whole is None:
            return found
        slope, constant = self.recourse.single_cuts()
        return dataclasses.replace(found, constant=self.whole.lower(slope, constant, stop, observer))


class Team(Protocol):
    """Works on all parts."""

    def ask(self, what: str, x: FloatArray, deadline: float) -> list[Any]:
        """Do something with every part; answers in their order.

        Parameters
        ----------
        what
            ``evaluate`` the relaxed recourse, ``decide`` (the same, with its decisions), ``whole`` columns
            whole, ``tighten`` cuts.
        deadline
            On the clock of `time.perf_counter`.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Here:
    """All parts in this process, one after the other."""

    def __init__(
        self, batches: Sequence[Batch], first: Matrices, options: Options, observer: Observer
    ) -> None:
        self.shards = [Shard(each, first, options) for each in batches]
        self.observer = observer

    def ask(self, what: str, x: FloatArray, deadline: float) -> list[Any]:
        """See `Team`."""
        quiet = _Quiet(self.observer if what != "decide" else Silence(), deadline)
        return [each.call(what, x, quiet) for each in self.shards]

    def close(self) -> None:
        """See `Team`."""


class _Quiet:
    """An observer that passes on whether to stop, at a deadline too, and tells nothing."""

    def __init__(self, observer: Observer, deadline: float) -> None:
        self.observer, self.deadline = observer, deadline

    def report(self, progress: object) -> None:
        """Tell nobody: one scenario's progress says nothing of the whole."""

    def should_stop(self) -> bool:
        return self.stop() is not None

    def stop(self) -> Status | None:
        if self.observer.should_stop():
            return "interrupted"
        return "time_limit" if time.perf_counter() >= self.deadline else None


class ProcessFailure(RuntimeError):
    """A process that worked on some scenarios ended on its own."""


class Elsewhere:
    """Parts spread over processes of this interpreter.

    They are started as programs of their own, not forked (HiGHS has threads) and not by multiprocessing
    (which would run the caller's main module again).
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        first: Matrices,
        options: Options,
        observer: Observer,
        processes: int,
    ) -> None:
        self.observer = observer
        self.count = len(batches)
        #: What to do without the processes: after an interrupt they are gone, and decisions are still wanted.
        self.task = (batches, first, options, observer)
        path = os.pathsep.join(each for each in sys.path if each)
        command = [sys.executable, "-m", "bondwork.strategies.l_shaped.process"]
        self.processes: list[subprocess.Popen[bytes]] = []
        for number in range(processes):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path, **_ONE_THREAD},
                start_new_session=True,  # an interrupt from the terminal is for us alone
            )
            self.processes.append(process)
            # mapping proxies do not travel
            plain = dataclasses.replace(options, time_limit=math.inf, highs=dict(options.highs), settings={})
            mine = [(at, each) for at, each in enumerate(batches) if at % processes == number]
            self._send(process, (mine, first, plain))

    def ask(self, what: str, x: FloatArray, deadline: float) -> list[Any]:
        """See `Team`."""
        if not self.processes:
            return Here(*self.task).ask(what, x, deadline)
        for process in self.processes:
            self._send(process, (what, x, deadline - time.perf_counter()))
        answers: list[Any] = [None] * self.count
        waiting = selectors.DefaultSelector()
        for process in self.processes:
            waiting.register(_pipe(process.stdout), selectors.EVENT_READ)
        with waiting:
            while waiting.get_map():
                for key, _ in waiting.select(timeout=0.1):
                    for at, answer in receive(key.fileobj):
                        answers[at] = answer
                    waiting.unregister(key.fileobj)
                if what != "decide" and self.observer.should_stop():
                    self.close()  # their answers would come when nobody waits for them any more
                    raise Interrupted
        return answers

    def _send(self, process: subprocess.Popen[bytes], message: Any) -> None:
        try:
            send(_pipe(process.stdin), message)
        except BrokenPipeError:
            raise ProcessFailure("a process that solves scenarios ended on its own") from None

    def close(self) -> None:
        """See `Team`."""
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):  # what was not sent is wanted by nobody
                    _pipe(pipe).close()
        self.processes = []


class Interrupted(Exception):
    """The observer said stop while other processes were at work."""


def _pipe(stream: Any) -> Any:
    if stream is None:
        raise ProcessFailure("a process without its pipe")
    return stream


def send(stream: Any, message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack(">Q", len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: Any) -> Any:
    """Read one message.

    Raises
    ------
    ProcessFailure
        The other end has gone.
    """
    head = stream.read(8)
    if len(head) < 8:
        raise ProcessFailure("a process that solves scenarios ended on its own")
    (size,) = struct.unpack(">Q", head)
    return pickle.loads(stream.read(size))
