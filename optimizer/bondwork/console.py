"""The terminal: streams, messages, progress, and how a run ends.

Results go to standard output; messages and progress to standard error, progress only on a terminal. rich
honours ``NO_COLOR``.
"""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rich.console import Console

    from bondwork.contracts import Progress

#: Faults printed; ``--json`` has them all.
MOST_FAULTS = 1000

#: Columns of output that is no terminal: wide enough for rows of ids that are hashes.
UNBROKEN = 4000


class Truncated(Exception):
    """A file that was read ended before it should have."""


def prepare_streams() -> None:
    """Let no character of an id stop the output, whatever the terminal's encoding, and no stream be missing.

    What whoever started us has closed they do not want, and say nothing through. It is opened again, on
    nothing, at its own number: else the next file that is opened gets the number, a result for instance, and
    what compiled code and our own processes write to the stream ends up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, _open_nothing(number))
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _reopen(sys.stdout, must_arrive=True)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = _reopen(sys.stderr, must_arrive=False)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _Patient(io.FileIO):
    """A standard stream that waits for a reader who is slow, where whoever started us made it not wait.

    Messages need not arrive: a full disk, or a reader of them who has left, takes no result and no exit code
    away.
    """

    def __init__(self, number: int, *, must_arrive: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._must_arrive = must_arrive

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError:
            if self._must_arrive:
                raise
            return memoryview(data).nbytes
        return written


def _reopen(stream: TextIO, *, must_arrive: bool) -> TextIO:
    """Return the same stream, patient."""
    stream.flush()
    raw = _Patient(stream.fileno(), must_arrive=must_arrive)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        line_buffering=not must_arrive or stream.isatty(),
    )


def _open_nothing(number: int) -> TextIO:
    """Open a standard stream on nothing, for our own processes too, at its own number where that is free."""
    opened = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    try:
        os.fstat(number)
    except OSError:
        os.dup2(opened, number)
        os.close(opened)
        opened = number
    os.set_inheritable(opened, True)
    return open(opened, "r" if number == 0 else "w", encoding="utf-8", closefd=False)


def hand_out(text: str) -> None:
    """Write a document for programs to standard output: UTF-8, whatever the terminal's encoding."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
    else:
        sys.stdout.write(text)


def say(text: str) -> None:
    """Write a message for people to standard error: one line, whatever the ids in it hold."""
    sys.stderr.write(f"bondwork: {printable(text)}\n")


def printable(text: str) -> str:
    """Write out what a terminal would obey instead of show: ids may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def count(number: int, noun: str) -> str:
    """Say how many: ``1 task``, ``2 tasks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def write(path: Path, text: str) -> None:
    """Write a result to a file, whole or not at all."""
    from bondwork.files import write_whole

    write_whole(path, text)


def hand_over(text: str, output: Path | None, *, as_json: bool, show: Callable[[], None]) -> None:
    """Write a result to its file, if it has one, and print it: as JSON, or as ``show`` does."""
    if output is not None:
        write(output, text)
    if as_json:
        hand_out(text)
    else:
        show()


def check_writable(path: Path | None, *others: str | Path | None) -> None:
    """Refuse a result's file that could not be written, before there is a result.

    ``others`` are files that the command reads, or writes too: the result must not take the place of one.
    """
    from bondwork.files import check_writable as check_file

    if path is not None and str(path) != "-":
        check_file(path, [Path(each) for each in others if each is not None and str(each) != "-"])


@contextmanager
def keeping_unverified(output: Path | None, *, as_json: bool) -> Iterator[None]:
    """Hand out what did not pass its check beside the error: to a file of another name, or as JSON."""
    from bondwork.problem.faults import Unverified

    try:
        yield
    except Unverified as error:
        if error.outcome is not None:
            text = error.outcome.to_json()
            if output is not None:
                path = output.with_name(f"{output.stem}.unverified{output.suffix}")
                write(path, text)
                say(f"what was found is in {path}: it is not verified")
            if as_json or output is None:
                hand_out(text)
        raise


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what ends a command early into a message and its exit code, never a traceback of ours."""
    from bondwork.problem.faults import InvalidInput, Refusal, Unverified

    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # a full disk or a reader who left must be met here, not at the very end
    except (InvalidInput, Refusal, Unverified, Truncated) as error:
        code = _explain(error)
    except BrokenPipeError:
        _forget_output()  # whoever read it has left
        code = 0
    except SystemExit as end:
        if end.code != 1:  # no command ends with 1: typer and rich do, when whoever reads the output has left
            raise
        _forget_output()
        code = 0
    except OSError as error:
        code = _explain_files(error)
    except MemoryError:
        say("out of memory")
        code = 5
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    else:
        return
    raise SystemExit(code)


def _explain(error: Exception) -> int:
    """Say what was wrong with the input, or with a result; return the exit code."""
    from bondwork.problem.faults import InvalidInput, Refusal

    if isinstance(error, InvalidInput):
        for fault in error.faults[:MOST_FAULTS]:
            say(str(fault))
        more = len(error.faults) - MOST_FAULTS
        say(count(len(error.faults), "fault") + (f", {more} of them not shown" if more > 0 else ""))
        return 2
    if isinstance(error, Truncated):
        say(f"input that is cut off: {error}")
        return 2
    if isinstance(error, Refusal):
        for reason in error.reasons:
            say(reason)
        return 2
    say(str(error))
    return 5


def _explain_files(error: OSError) -> int:
    """Say which file could not be read or written, and why; return the exit code."""
    where = error.filename
    if where is None:
        where = "standard input"
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            where = "standard output"
            _forget_output()
    say(f"{where}: {error.strerror or error}")
    return 2


def _forget_output() -> None:
    """Keep the interpreter from complaining about standard output when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def text_console(stream: TextIO) -> Console:
    """Return a rich console on a stream, plain and wide where that is no terminal.

    Text is shown as it is: ids such as ``eip155:100:0xabc`` and ``[bold]`` are neither emoji nor markup.
    """
    from rich.console import Console

    # output that is no terminal is read by programs and pagers: there, no line of a table is broken
    width = None if stream.isatty() else UNBROKEN
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


class Watch:
    """The observer of the command line: shows progress on a terminal, stops at the first signal."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._status: Any = None
        self._task = ""

    def show(self) -> None:
        """Begin to show progress, where standard error is a terminal."""
        if sys.stderr.isatty():
            self._status = text_console(sys.stderr).status("solving")
            self._status.start()

    def hide(self) -> None:
        """End showing progress."""
        if self._status is not None:
            self._status.stop()

    def report(self, progress: Progress) -> None:
        """Show incumbent, bound and gap."""
        if self._status is None:
            return
        from bondwork.program.bounds import gap

        parts = [f"{progress.phase or 'solving'} {progress.seconds:.1f} s"]
        if progress.objective is not None:
            parts.append(f"incumbent {progress.objective:.6g}")
        if progress.bound is not None:
            parts.append(f"bound {progress.bound:.6g}")
        if progress.objective is not None and progress.bound is not None:
            sign = 1.0 if progress.sense == "max" else -1.0
            parts.append(f"gap {gap(sign * progress.objective, sign * progress.bound):.2%}")
        self._status.update(self._task + ", ".join(parts))

    def tally(self, done: int, total: int, seconds_left: float | None) -> None:
        """Show how many of a comparison's solves are done, and how long the others will take."""
        if self._status is not None:
            left = "" if seconds_left is None else f", about {seconds_left:.0f} s left"
            self._task = f"{done} of {total} solves{left}: "
            self._status.update(self._task)

    def should_stop(self) -> bool:
        """Whether a signal asked to stop."""
        return self._stop.is_set()

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Ask the solve to stop and hand out what it has; a second signal ends the program at once."""
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()


@contextmanager
def watching(*, show: bool = True) -> Iterator[Watch]:
    """Watch a solve: progress on a terminal, SIGINT and SIGTERM end it with the best plan so far.

    What was found is written inside: a signal that comes when the solve is done must not take it away.

    ``show`` false: whoever watches shows progress in a way of its own.
    """
    watch = Watch()
    before = {each: signal.signal(each, watch.stop) for each in (signal.SIGINT, signal.SIGTERM)}
    if show:
        watch.show()
    try:
        yield watch
    finally:
        watch.hide()
        for each, handler in before.items():
            signal.signal(each, handler)
