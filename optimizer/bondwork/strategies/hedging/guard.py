"""Runs a command and ends it, with all that it started, when whoever asked for it wants so or is no more.

``python -m bondwork.strategies.hedging.guard COMMAND...`` with a pipe as standard input: at the first byte,
or when the other end closes or the process that asked has ended, the command is told to end, and what is left
of it is killed, and the shared memory in which it met removed. A launcher of MPI programs puts each process
into a session of its own, so no signal to a group reaches all. Where the process that asked is gone, its
temporary folder is removed, too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bondwork.strategies.hedging.leash import (
    FOLDER,
    OWNERS,
    birth,
    is_alive,
    is_gone,
    name_of,
    remove,
    remove_segments,
    segments_of,
)

#: Seconds that processes have to end by themselves when told to.
GRACE = 2.0

#: Seconds between two looks at who is there.
INTERVAL = 0.5


def main(command: list[str]) -> int:
    """Run the command; return its exit code, or 128 and the number of the signal that ended it."""
    owner = os.environ.get(OWNERS, "")
    environment = {**os.environ, OWNERS: f"{owner} {name_of(os.getpid())}".strip()}
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    unwanted = threading.Event()
    threading.Thread(target=_wait_for_end, args=(unwanted,), daemon=True).start()
    seen: dict[int, str | None] = {}
    shared: set[Path] = set()
    looked = -INTERVAL
    while child.poll() is None:
        if time.monotonic() - looked >= INTERVAL:
            looked = time.monotonic()
            below = descendants(child.pid)
            seen.update((each, birth(each)) for each in below)
            shared.update(*map(segments_of, below))
            if is_gone(owner):
                unwanted.set()
        if unwanted.wait(0.05):
            shared.update(*map(segments_of, descendants(child.pid)))
            _end(child)
    _kill_rest(seen)
    remove_segments(shared)
    if is_gone(owner):
        remove(os.environ.get(FOLDER))
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _wait_for_end(unwanted: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns at the first byte, and at the end
    unwanted.set()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that descend from it."""
    everything = descendants(child.pid)
    child.terminate()
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and (child.poll() is None or any(map(is_alive, everything))):
        time.sleep(0.02)
    for process in [child.pid, *everything]:
        _kill(process)
    child.wait()


def _kill_rest(seen: dict[int, str | None]) -> None:
    """Kill what was seen to descend from a process that is no more, and has lost its parents since."""
    for process, born in seen.items():
        if born is not None and birth(process) == born:
            _kill(process)


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """Numbers of all processes that a process has started, those that they have started, and so on."""
    children: dict[int, list[int]] = {}
    for number, parent in _processes():
        children.setdefault(parent, []).append(number)
    found, waiting = [], [process]
    while waiting:
        started = children.get(waiting.pop(), [])
        found += started
        waiting += started
    return found


def _processes() -> list[tuple[int, int]]:
    """Number and parent of every process of this machine."""
    found = []
    if Path("/proc/self/stat").exists():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended by now
                # after the name, which may hold anything, stand the state and the parent
                after = path.read_text(errors="replace").rpartition(")")[2].split()
                found.append((int(path.parent.name), int(after[1])))
        return found
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        number, parent = line.split()
        found.append((int(number), int(parent)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
