"""A process of its own that compiles a set of kernels into the cache, and ends with the one that began it.

Each kernel is kept as soon as it is done, so that what a short solve begins the next one goes on with.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from bondwork.base.kernel_files import BUSY

if TYPE_CHECKING:
    from bondwork.base.compiled import KernelSet

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from bondwork.base.compiling_worker import main; sys.exit(main(*sys.argv[1:]))"
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
