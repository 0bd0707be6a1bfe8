"""Progressive hedging through mpi-sppy over MPI: for programs that have outgrown one machine."""

from __future__ import annotations

from bondwork.strategies.hedging.strategy import Hedging

__all__ = ["Hedging"]
