"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a temporary file beside ``path``, then rename it: nobody ever sees half a file. Text is UTF-8.

    What is no regular file (a pipe, a terminal, ``/dev/stdout``) cannot be renamed over and is written to.

    Raises
    ------
    OSError
        The folder is missing or not writable, or the disk is full.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(data)
        except OSError as error:
            error.filename = str(path)
            raise
        return
    target = path.resolve()  # through a link, as an ordinary write would go
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".tmp")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # not the temporary file's name
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename in (None, name):
            error.filename = str(path)
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def check_writable(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Find out whether `write_whole` could write ``path``, before hours of work are done for it.

    Parameters
    ----------
    inputs
        Files that are read, or written too: a result must not take the place of one.

    Raises
    ------
    InvalidInput
        ``path`` is one of ``inputs``.
    OSError
        The folder is missing or not writable, or ``path`` is a folder.
    """
    if any(_same(path, each) for each in inputs):
        raise InvalidInput([Fault(str(path), "a file that is read or written already", "another file")])
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one regular file, or will be."""
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one.resolve() == other.resolve()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
