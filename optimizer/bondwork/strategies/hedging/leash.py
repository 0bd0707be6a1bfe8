"""What ties the processes of a run to whoever asked for it, however that ends.

A process that is killed tells nobody. So each rank looks twice a second whether the process that asked, the
guard and its own parent are still there, and ends itself where one of them is not: no launcher puts its
ranks where a signal to a group or the end of a parent would reach them all. On Linux the kernel ends a rank
with its parent, too, even where it is stuck in compiled code.

Processes are named by machine, number and moment of birth: numbers are used again, and of a process on
another machine (``srun``) nothing can be said.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names of environment variables: those without whom a rank has no reason to go on, the one who asked first;
#: and the folder that goes with that one.
OWNERS, FOLDER = "BONDWORK_HEDGING_OWNERS", "BONDWORK_HEDGING_FOLDER"

#: Where MPI's processes of one machine meet, and how the files begin that MPICH and Open MPI make there. They
#: stay where the processes are killed: 3 MB for each run.
SHARED_MEMORY = Path("/dev/shm")
_SEGMENTS = ("mpich_shm_", "vader_segment.")

#: Seconds between two looks.
INTERVAL = 0.5

#: ``PR_SET_PDEATHSIG`` of Linux.
_SIGNAL_OF_PARENTS_DEATH = 1


def name_of(process: int) -> str:
    """Name a process so that it can be told from any other, of any time, on any machine."""
    return f"{_machine()}|{process}|{birth(process) or ''}"


def is_gone(name: str) -> bool:
    """Whether a process of this machine has ended; of those on other machines nobody knows."""
    parts = name.split("|")
    if len(parts) != 3 or parts[0] != _machine() or not parts[1].isdigit():
        return False
    process, born = int(parts[1]), parts[2]
    return not is_alive(process) or (bool(born) and birth(process) != born)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number that has not ended; a zombie has."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _stat(process)
    return fields is None or fields[0] not in ("Z", "X")


def birth(process: int) -> str | None:
    """When a process began, in ticks of the machine; ``None`` where only Linux would tell."""
    fields = _stat(process)
    return None if fields is None else fields[19]


def _stat(process: int) -> list[str] | None:
    """What Linux says of a process, from its state on."""
    with contextlib.suppress(OSError):
        # the name before it may hold anything
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return None


def _machine() -> str:
    """Name this machine, and within it the space of process numbers."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def tie_to_owners() -> None:
    """End this process when one of its owners has: to be called first thing in a rank.

    Does nothing where nobody says who they are: a rank that was started by hand is its starter's business.
    """
    owners = os.environ.get(OWNERS, "").split()
    if not owners:
        return
    parent = os.getppid()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SIGNAL_OF_PARENTS_DEATH, int(signal.SIGKILL))
    folder = os.environ.get(FOLDER)
    threading.Thread(target=_look, args=(owners, parent, folder), name="leash", daemon=True).start()


def _look(owners: list[str], parent: int, folder: str | None) -> None:
    while os.getppid() == parent and not any(map(is_gone, owners)):
        time.sleep(INTERVAL)
    remove_segments(segments_of(os.getpid()))
    if is_gone(owners[0]):
        remove(folder)
    os.kill(os.getpid(), signal.SIGKILL)


def remove(folder: str | None) -> None:
    """Remove the folder of an owner who cannot do so any more."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def segments_of(process: int) -> set[Path]:
    """Files of MPI's shared memory that a process has in use; none where only Linux would tell."""
    with contextlib.suppress(OSError):
        maps = Path(f"/proc/{process}/maps").read_text(errors="replace")
        found = {Path(words[5]) for line in maps.splitlines() if len(words := line.split(maxsplit=5)) == 6}
        return {each for each in found if each.parent == SHARED_MEMORY and each.name.startswith(_SEGMENTS)}
    return set()


def remove_segments(files: Iterable[Path]) -> None:
    """Remove shared memory whose processes have been killed, or are about to be."""
    for each in files:
        with contextlib.suppress(OSError):
            each.unlink()
