"""Where compiled kernels are kept on disk: which folders, how a file is written, and how it is trusted.

Folders are looked through in order and all are read; what is compiled goes into the first that can be written
to. So code compiled while an image was built, into a folder that is read-only ever after, is still found. A
file says what it was made from and carries a digest: one that is damaged, cut off or out of date counts as
absent. Nothing here imports numba.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import importlib.metadata
import os
import stat
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"bondwork-kernel/1\n"
_DIGEST = hashlib.sha256().digest_size

#: Settings of numba that change no code.
_WITHOUT_EFFECT = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER")

#: Looked at after the folder for temporary files: often all that is left in a read-only container.
_SHARED_MEMORY = Path("/dev/shm")

#: Folders that are for temporary files, whoever works in them.
_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")

#: Exit code of a process that compiles where another one is compiling into the cache.
BUSY = 75

#: Seconds after which a file that was not finished was left by a process that is no more.
_ABANDONED = 3600.0

#: Bytes of a large kernel.
_LARGE = 2**19

_PACKAGE = Path(__file__).resolve().parents[1]


class Unwritable(OSError):
    """No folder can be written to."""


def cache_folders() -> list[Path]:
    """Every folder that may hold compiled kernels, in the order in which they are looked at.

    ``NUMBA_CACHE_DIR`` where it is set, the package's own, the user's cache, and a private one among the
    temporary files. Those that others could have written to are left out: what is read from them is run.
    """
    chosen = _chosen_folder()
    folders = [] if chosen is None else [chosen]
    folders.append(_PACKAGE / "__pycache__" / "kernels")
    home = _user_cache()
    own = [] if home is None else [home / "bondwork" / "kernels"]
    own += [each / f"bondwork-{_user()}" / "kernels" for each in _temporary_folders()]
    return folders + [each for each in own if _is_private(each)]


def _chosen_folder() -> Path | None:
    """Our folder in the one that the user named."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if not chosen:
        return None
    # several installations may share it
    place = hashlib.sha256(str(_PACKAGE).encode()).hexdigest()[:16]
    try:
        return Path(chosen).absolute() / f"bondwork-{place}"
    except OSError:  # told from a working directory that is gone
        return None


def writable_folder() -> Path:
    """Return the first folder that compiled kernels can be written to; made where it is missing.

    Raises
    ------
    Unwritable
        There is none.
    """
    for folder in cache_folders():
        # what is made here is for this user alone, but for the package's own and one that the user named
        shared = folder.is_relative_to(_PACKAGE) or folder == _chosen_folder()
        try:
            _make(folder, 0o777 if shared else 0o700)
            _try(folder)
        except OSError:
            continue
        if shared or _is_private(folder):
            return folder
    tried = ", ".join(map(str, cache_folders()))
    raise Unwritable(
        errno.EROFS, "no folder for compiled code can be written to; NUMBA_CACHE_DIR names one", tried
    )


def _try(folder: Path) -> None:
    """Write as much as a large kernel takes, and remove it: an empty file fits on a full disk, too."""
    handle, name = tempfile.mkstemp(prefix="try-", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(bytes(_LARGE))
    finally:
        Path(name).unlink()


def _make(folder: Path, mode: int) -> None:
    """Make a folder and those above it, as far as they are missing."""
    missing = []
    each = folder
    while not each.exists():
        missing.append(each)
        each = each.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was faster
            each.mkdir(mode=mode)


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _user_cache() -> Path | None:
    """The user's folder for caches; ``None`` without one. A home that does not exist is not made."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen and Path(chosen).is_absolute():
        return Path(chosen)
    try:
        home = Path.home()
        return home / ".cache" if home.is_dir() else None
    except (OSError, RuntimeError):  # nobody knows of this user
        return None


def _temporary_folders() -> list[Path]:
    folders = []
    with contextlib.suppress(OSError):  # none that can be written to
        found = Path(tempfile.gettempdir())
        # where nothing else can be written to that is the working directory, which is for other things
        if found != Path.cwd() or str(found) in _TEMPORARY or found in _named_temporary():
            folders.append(found)
    if _SHARED_MEMORY not in folders:
        folders.append(_SHARED_MEMORY)
    return folders


def _named_temporary() -> list[Path]:
    """Folders for temporary files that the user named."""
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return [Path(each).absolute() for each in named if each]


def _is_private(folder: Path) -> bool:
    """Whether nobody but this user, or root, could have put something there; true where it is missing.

    Of the folders above it only our own are looked at (``bondwork`` and ``bondwork-UID``): a user's cache is
    the user's, and the folder for temporary files belongs to all, but keeps names with those who made them.
    """
    for each in (folder, folder.parent):
        try:
            found = each.lstat()
        except OSError:
            continue  # not there yet
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        if found.st_uid not in (_user(), 0):
            return False
    return True


# -- what code is made for ----------------------------------------------------------------------------------


@cache
def machine_key() -> str:
    """What compiled code is made for, in 16 letters: interpreter, compiler, processor, settings of numba."""
    # a tenth of a second that `bondwork --help` does not have
    llvm: Any = importlib.import_module("llvmlite.binding")

    parts = [sys.implementation.cache_tag or "", sys.version, sys.platform, str(sys.maxsize)]
    parts += [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    parts += [llvm.get_default_triple(), llvm.get_host_cpu_name()]
    with contextlib.suppress(RuntimeError):  # not known everywhere
        parts.append(llvm.get_host_cpu_features().flatten())
    parts += [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith("NUMBA_") and name not in _WITHOUT_EFFECT
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


# -- files --------------------------------------------------------------------------------------------------


def read_entry(name: str, stamp: bytes) -> bytes | None:
    """Read what is kept under a name; ``None`` where no folder has it whole and made from the right sources.

    Parameters
    ----------
    name
        Name of the file.
    stamp
        32 bytes: of what it must have been made from.
    """
    for folder in cache_folders():
        with contextlib.suppress(OSError):
            found = _unpacked(_content(folder / name), stamp)
            if found is not None:
                return found
    return None


def _content(path: Path) -> bytes:
    """Read a file, and nothing that is none: a pipe would be waited for."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return path.read_bytes()


def _unpacked(data: bytes, stamp: bytes) -> bytes | None:
    head = len(_MAGIC) + 2 * _DIGEST
    if len(data) < head or not data.startswith(_MAGIC + stamp):
        return None
    content = data[head:]
    return content if hashlib.sha256(content).digest() == data[head - _DIGEST : head] else None


def write_entry(name: str, stamp: bytes, content: bytes) -> bool:
    """Keep something under a name; say whether it could be. Others find all of it or nothing."""
    data = _MAGIC + stamp + hashlib.sha256(content).digest() + content
    temporary = ""
    try:
        folder = writable_folder()
        handle, temporary = tempfile.mkstemp(prefix=f"{name}-", suffix=".tmp", dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # as readable as the folder lets it be: mkstemp makes files that other users cannot read
        Path(temporary).chmod(0o644)
        Path(temporary).replace(folder / name)
    except OSError:  # read-only, full, or gone
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        return False
    return True


def holds(folder: Path, name: str) -> bool:
    """Whether a folder holds a file of this name; one that is closed to this user holds none."""
    try:
        return (folder / name).is_file()
    except OSError:
        return False


def is_entry(name: str, digests: list[str]) -> bool:
    """Whether any folder holds a file of this name with one of these digests."""
    return not set(digests).isdisjoint(digest_of(name))


def digest_of(name: str) -> list[str]:
    """Digests of the files of this name, in all folders."""
    found = []
    for folder in cache_folders():
        with contextlib.suppress(OSError):
            found.append(hashlib.sha256(_content(folder / name)).hexdigest())
    return found


# -- one at a time ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def compile_lock() -> Iterator[bool]:
    """Be the only process that compiles into the cache, if no other one is; says whether that is so.

    Where there is no such lock (not on every file system), everybody is: the worst that comes of it is work
    done twice. Whoever dies lets go of it.
    """
    try:
        import fcntl

        folder = writable_folder()
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except (ImportError, OSError):
        yield True
        return
    try:
        mine = _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if mine:
            _clear(folder)
        yield mine
    finally:
        os.close(handle)


def _lock(handle: int, how: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return True
    return True


def _clear(folder: Path) -> None:
    """Remove what processes that are no more left unfinished."""
    for left in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()
