"""How much memory a piece of work took, above what its process held before."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Peak:
    """MiB above the start at the highest moment; ``None`` where the system does not tell."""

    mebibytes: float | None = None


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak of the resident memory of this process while the block runs.

    Linux only: the kernel's high-water mark is reset at the start, which no other system offers. Other
    threads of the process count as well.
    """
    peak = Peak()
    start = None
    with suppress(OSError):
        _RESET.write_text("5", encoding="ascii")
        start = _kibibytes("VmRSS")
    try:
        yield peak
    finally:
        highest = None if start is None else _kibibytes("VmHWM")
        if start is not None and highest is not None:
            peak.mebibytes = max(highest - start, 0) / 1024.0


def _kibibytes(name: str) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return None
