"""Temporary folders that do not outlive whoever made them, however that ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bondwork.strategies.hedging.leash import is_gone, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How the folders' names begin, and the file in each that names the process that made it.
PREFIX, OWNER = "bondwork-hedging-", "owner"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder that is gone when the block ends; remove those whose makers were killed."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        (folder / OWNER).write_text(name_of(os.getpid()), encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the folders of this user whose makers, on this machine, are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
                continue
            if is_gone((folder / OWNER).read_text(encoding="utf-8")):
                shutil.rmtree(folder, ignore_errors=True)
