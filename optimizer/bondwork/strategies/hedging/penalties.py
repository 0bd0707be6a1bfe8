"""How hard progressive hedging punishes disagreement about each of the root's columns.

References
----------
J.-P. Watson & D. L. Woodruff, Progressive hedging innovations for a class of stochastic mixed-integer
resource allocation problems, Computational Management Science 8 (2011) 355-370, section 2.1 (the rule "SEP").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.strategies.hedging.splitting import Split

#: Parts that agree about a column to within this share of its size do so by chance: no smaller spread counts.
LEAST_SPREAD = 0.01


def penalties(split: Split, wishes: FloatArray, factor: float = 1.0) -> FloatArray:
    """Penalty of each of the root's columns: its cost over how far apart the parts want it.

    Columns without a cost (thresholds of a risk measure, say) get the median cost of the others.

    Parameters
    ----------
    wishes
        Shape (parts, root); from `parts.ask_parts`.
    factor
        Multiplies all of them. More makes the parts agree sooner, on something worse.

    Returns
    -------
    FloatArray
        Shape (root,), positive; in the scale of the split.
    """
    cost = np.abs(split.parts[0].objective[: split.root])
    priced = cost > 0.0
    everything = np.abs(np.concatenate([part.objective for part in split.parts]))
    others = cost[priced] if priced.any() else everything[everything > 0.0]
    cost = np.where(priced, cost, np.median(others) if len(others) else 1.0)
    size = np.abs(wishes).max(axis=0, initial=0.0)
    spread = np.maximum(np.ptp(wishes, axis=0), LEAST_SPREAD * size)
    spread = np.where(split.parts[0].integer[: split.root], spread + 1.0, np.where(spread > 0.0, spread, 1.0))
    rho: FloatArray = factor * cost / spread
    return rho
