"""The L-shaped method: a master problem, cuts from scenarios, trust region, whole columns, processes."""

from bondwork.strategies.l_shaped.strategy import LShaped

__all__ = ["LShaped"]
