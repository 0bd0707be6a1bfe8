"""Decomposition by multipliers: tasks on one side, a knapsack per coprocessor on the other.

`Lagrangian` is the strategy; `NotDecomposable` says why a program is none of its business. The compiled parts
are loaded at the first solve.
"""

from __future__ import annotations

from bondwork.strategies.lagrangian.errors import NotDecomposable
from bondwork.strategies.lagrangian.strategy import Lagrangian

__all__ = ["Lagrangian", "NotDecomposable"]
