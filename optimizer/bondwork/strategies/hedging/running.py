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
from bondwork.strategies.hedging.leash import FOLDER, OWNERS, SHARED_MEMORY, name_of

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

#: MPICH's launcher for one machine, which forks and talks through pipes: unlike its other one, which
#: listens on every address of the machine, it opens no port.
LOCAL_LAUNCHER = "mpiexec.gforker"


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
    if launcher == "auto":
        beside = [str(Path(sys.executable).parent / name) for name in (LOCAL_LAUNCHER, "mpiexec")]
        found = next((each for each in beside if os.access(each, os.X_OK)), shutil.which("mpiexec"))
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


def check_shared_memory() -> None:
    """Say so where MPI cannot start.

    Raises
    ------
    Refusal
        There is no shared memory for it.
    """
    if SHARED_MEMORY.is_dir() and not os.access(SHARED_MEMORY, os.W_OK):
        raise Refusal([f"hedging runs MPI, which needs shared memory: {SHARED_MEMORY} cannot be written to"])


def environment_of(launcher: str, folder: Path) -> dict[str, str]:
    """Environment of the processes of a run.

    Nobody but this machine can reach them, unless a launcher was named (it may know of other machines) or a
    variable says otherwise.
    """
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    network = dict.fromkeys(("HYDRA_IFACE", "UCX_NET_DEVICES", "FI_TCP_IFACE", "FI_SOCKETS_IFACE"), loopback)
    return {
        # ranks share the cores: more threads in each would only fight
        "OMP_NUM_THREADS": "1",
        **(network if launcher == "auto" else {}),
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        OWNERS: name_of(os.getpid()),
        FOLDER: str(folder),
    }


class Group:
    """The processes of one run. They end with this process, however it ends, and the folder with them.

    Parameters
    ----------
    launcher
        Path of what starts them.
    folder
        Theirs alone, temporary.
    environment
        See `environment_of`.
    """

    def __init__(
        self, launcher: str, ranks: int, given: list[str], folder: Path, environment: dict[str, str]
    ) -> None:
        self.log_file = folder / LOG
        program = [sys.executable, "-m", "mpi4py", "-m", CYLINDERS_MODULE, *given]
        guard = [sys.executable, "-m", "bondwork.strategies.hedging.guard"]
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
def started(
    launcher: str, ranks: int, given: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[Group]:
    """Start mpi-sppy; nothing of it is left when the block ends."""
    group = Group(launcher, ranks, given, folder, environment)
    try:
        yield group
    finally:
        group.end()


def last_lines(log: str) -> str:
    """Say how a log ends: the last error where there is one, or else the last lines."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "rror:" in line]
    return " | ".join(errors[-2:] or lines[-LAST_LINES:]) or "it printed nothing"
