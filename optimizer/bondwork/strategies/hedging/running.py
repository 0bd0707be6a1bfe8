"""mpi-sppy as a group of processes: what to start, how to watch it, how to end all of it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bondwork.problem.faults import Refusal
from bondwork.strategies.hedging.hand_over import CONSENSUS, INCUMBENTS, PRICES, TRACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.contracts import Options
    from bondwork.strategies.hedging.settings import Settings

#: What each process runs.
CYLINDERS_MODULE = "bondwork.strategies.hedging.cylinders"

#: Where all processes print, in the folder.
LOG = "mpi-sppy.log"

#: Lines of the log that are shown where mpi-sppy fails.
LAST_LINES = 8

#: Seconds that the guard has to end everything.
PATIENCE = 15.0

#: What the extra installs: packages that mpi-sppy's door for files imports.
NEEDED = {"mpisppy": "mpi-sppy", "mpi4py": "mpi4py", "pandas": "pandas"}

INSTALL = "pip install 'bondwork[cluster]'"


def check_installed(launcher: str) -> str:
    """Return the path of the launcher, where everything that hedging needs is there.

    Raises
    ------
    Refusal
        Something is missing.
    """
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise Refusal([f"hedging needs {', '.join(missing)}: {INSTALL}"])
    beside = Path(sys.executable).parent / "mpiexec"
    if launcher == "auto":
        found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    else:
        found = shutil.which(launcher)
    if found is None:
        remedy = INSTALL if launcher == "auto" else "it is not on the path"
        name = "mpiexec" if launcher == "auto" else launcher
        raise Refusal([f"hedging needs {name}, which starts MPI programs: {remedy}"])
    return found


def arguments(options: Options, settings: Settings, *, whole: bool) -> list[str]:
    """Arguments of mpi-sppy, from within its folder.

    Parameters
    ----------
    whole
        Some columns are whole: HiGHS then takes no squares, and the penalties are linearised.
    """
    # bounds and incumbents of subproblems must be better than the gap that they are to prove together
    solver = {
        "mip_rel_gap": options.mip_rel_gap / 2.0,
        "threads": max(options.threads, 1),
        "random_seed": options.random_seed,
        **options.highs,
    }
    result = ["--mps-files-directory", ".", "--solver-name", "highs"]
    result += ["--solver-options", " ".join(f"{name}={value}" for name, value in solver.items())]
    # every column has its own penalty: the default is never used, but asked for
    result += ["--default-rho", "1", "--max-iterations", str(settings.iterations)]
    result += ["--lagrangian", "--xhatshuffle", "--rel-gap", repr(options.mip_rel_gap)]
    result += ["--max-stalled-iters", str(settings.iterations)]
    result += ["--trace-prefix", TRACES, "--incumbent-on-improvement-filename-prefix", INCUMBENTS]
    result += ["--W-and-xbar-writer", "--Xbar-fname", CONSENSUS, "--W-fname", PRICES]
    return [*result, "--linearize-proximal-terms"] if whole else result


class Group:
    """The processes of one run. They end with this process, however it ends."""

    def __init__(self, launcher: str, ranks: int, given: list[str], folder: Path) -> None:
        self.log_file = folder / LOG
        program = [sys.executable, "-m", "mpi4py", "-m", CYLINDERS_MODULE, *given]
        guard = [sys.executable, "-m", "bondwork.strategies.hedging.guard"]
        # ranks share the cores: more threads in each would only fight
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONUNBUFFERED": "1"}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*guard, launcher, "-n", str(ranks), *program],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float) -> int | None:
        """Wait for the end; return the exit code, or ``None`` where it goes on."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def log(self) -> str:
        """Everything printed so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """End all processes, and return when they have: the guard sees to it."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                # a byte, too: some other child of this process may hold the pipe open
                self.process.stdin.write(b".")
                self.process.stdin.close()
        if self.wait(PATIENCE) is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def started(launcher: str, ranks: int, given: list[str], folder: Path) -> Iterator[Group]:
    """Start mpi-sppy; nothing of it is left when the block ends."""
    group = Group(launcher, ranks, given, folder)
    try:
        yield group
    finally:
        group.end()


def last_lines(log: str) -> str:
    """Say how a log ends: the last error where there is one, or else the last lines."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "rror:" in line]
    return " | ".join(errors[-2:] or lines[-LAST_LINES:]) or "it printed nothing"
