"""Progressive hedging through mpi-sppy over MPI: for programs that have outgrown one machine.

The strategy is imported when it is asked for: guard and ranks are modules of this package and processes of
their own, and need none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bondwork.strategies.hedging.strategy import Hedging

__all__ = ["Hedging"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bondwork.strategies.hedging.strategy import Hedging

    globals()[name] = Hedging
    return Hedging
