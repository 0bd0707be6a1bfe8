"""What a process does that compiles a set of kernels for another one, and ends with it."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from bondwork.base.compiled import KernelSet
from bondwork.base.kernel_files import BUSY, compile_lock

#: Seconds between two looks at whether the process that began this one is still there.
_WATCH = 0.25

#: Seconds in which whoever only looked whether the cache is in use has let go of it again.
_PATIENCE = 0.5


def main(name: str, loader: str, parent: str) -> int:
    """Compile a set; ``parent`` is the number of the process that asked for it."""
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
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
