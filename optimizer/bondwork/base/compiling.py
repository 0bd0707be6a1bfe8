"""A process of its own that compiles a set of kernels into the cache, and ends with the one that began it.

Each kernel is kept as soon as it is done, so that what a short solve begins the next one goes on with.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bondwork.base.compiled import KernelSet

#: Exit code where another process is compiling into the cache.
BUSY = 75

#: Seconds between two looks at whether the process that began this one is still there.
_WATCH = 0.25

#: Seconds in which whoever only looked whether the cache is in use has let go of it again.
_PATIENCE = 0.5

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from bondwork.base.compiling import main; sys.exit(main(*sys.argv[1:]))"
)


class CompileProcess:
    """The process, as whoever began it sees it."""

    def __init__(self, kernels: KernelSet) -> None:
        if not sys.executable:
            raise OSError("this interpreter does not know where it is")
        command = [sys.executable, "-c", _RUN, json.dumps(sys.path), kernels.name, kernels.loader]
        command.append(str(os.getpid()))
        # its standard input closes when this process ends, however it ends
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        atexit.register(self.end)

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit code."""
        return self._process.poll()

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return (self.code or 0) < 0

    @property
    def left_to_another(self) -> bool:
        """Whether it ended because another process was compiling into the cache."""
        return self.code == BUSY

    def end(self) -> None:
        """End it; what it has compiled by now is kept."""
        if self.running:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        atexit.unregister(self.end)


def main(name: str, loader: str, parent: str) -> int:
    """Compile a set; ``parent`` is the number of the process that asked for it."""
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    from bondwork.base.compiled import KernelSet
    from bondwork.base.kernel_files import compile_lock

    until = time.monotonic() + _PATIENCE
    while True:
        with compile_lock() as mine:
            if mine:
                KernelSet(name, loader).load()
                return 0
        if time.monotonic() > until:
            return BUSY
        time.sleep(0.02)


def _end_with(parent: int) -> None:
    """End this process at once when its parent has ended.

    The pipe says so at once, but for a copy of its other end that a forked process may hold.
    """
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], _WATCH)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    os._exit(1)
