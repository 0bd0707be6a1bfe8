"""Round the master's fractional plan by diving: fix what the knapsacks agree on, let prices answer, go on.

The running average of the knapsacks' choices says how much of each column the fractional plan uses. A dive
fixes the columns with the largest shares (a few per cent of the plan at a time), takes their weights off the
blocks, and lets the prices of the open tasks move for some evaluations before it fixes more. So blocks are
completed with the tasks that pack well, which local search finds hard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.strategies.lagrangian.shape import TOLERANCE, typical_prices

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.strategies.lagrangian.block_dual import BlockDual

#: Weight of the newest choice in the running average during a dive, and the least share that is fixed.
_AVERAGE, _LEAST_SHARE = 0.1, 0.05

#: How far the tails climb along the plan in the making, in spreads of the losses.
_FOLLOW = 0.3

#: Largest share of a linking row's price by which it moves at a time, and the least price (in typical ones)
#: that counts there.
_LINKING, _LINKING_FLOOR = 0.05, 0.2


def dive(
    dual: BlockDual,
    per_round: float,
    evaluations: int,
    pace: float,
    node_limit: int,
    noise: FloatArray | None = None,
) -> IntArray:
    """Dive from the dual's best point.

    Parameters
    ----------
    dual
        Its ``share`` is where the dive starts; ``point`` and ``share`` are left as they were.
    per_round
        Share of the plan to fix between two adjustments of the prices.
    evaluations
        Evaluations of the knapsacks for each adjustment.
    pace
        Step of a task's price for each executor too many, in mean task prices.
    node_limit
        Of each knapsack.
    noise
        Shape (n,). Factors on the shares when they are compared, so that dives differ.

    Returns
    -------
    assigned
        Shape (T,). A plan that meets all rows; it may have left tasks that still fit.
    """
    shape, session = dual.shape, dual.session
    point, share = dual.best.copy(), dual.share.copy()
    size = max(1, round(per_round * float(share.sum())))
    step = pace * float(np.abs(point.task).mean())
    column_of_entry = np.repeat(np.arange(len(shape.value)), np.diff(shape.entry_ptr))
    assigned = np.full(shape.tasks, -1, dtype=np.int64)
    gone = np.zeros(len(shape.value), dtype=bool)
    load = np.zeros(shape.rows)
    own = shape.block_row_count
    # A price of 0 must be able to rise: the row may bind only once columns are fixed.
    floor = _LINKING_FLOOR * typical_prices(shape)[own:]
    fixed_share = np.zeros(len(share))
    while True:
        order = np.argsort(-(share if noise is None else share * noise), kind="stable")[: 4 * size]
        fixed = 0
        for j in order[share[order] > _LEAST_SHARE]:
            entries = slice(shape.entry_ptr[j], shape.entry_ptr[j + 1])
            rows, weights = shape.entry_row[entries], session.weight[entries]
            if assigned[shape.task[j]] >= 0 or (load[rows] + weights > 1.0 + TOLERANCE).any():
                continue
            load[rows] += weights
            assigned[shape.task[j]] = j
            fixed_share[j] = 1.0
            fixed += 1
            if fixed == size:
                break
        if fixed == 0:
            return assigned
        if session.tails is not None:
            # The tail that matters is that of what is fixed, more and more.
            session.tails.climb(fixed_share + np.where(assigned[shape.task] < 0, share, 0.0), _FOLLOW)
            session.tails.hold_to_mixture()
            dual.take_weights()
            held = session.weight * fixed_share[column_of_entry]
            load[:] = np.bincount(shape.entry_row, held, minlength=shape.rows)
        gone |= assigned[shape.task] >= 0
        gone[column_of_entry[load[shape.entry_row] + session.weight > 1.0 + TOLERANCE]] = True
        share[gone] = 0.0
        still_open = assigned < 0
        for _ in range(evaluations):
            dual.evaluate(point, node_limit, gone, load[:own])
            session.check()
            share += _AVERAGE * (dual.chosen - share)
            slack, linking_slack = dual.slack()
            optional = still_open & ~shape.required
            point.task = np.where(still_open, point.task - step * slack, point.task)
            point.task[optional] = np.maximum(0.0, point.task[optional])
            if len(linking_slack):
                # A linking row in balance has left over what the fixed columns do not use.
                left = linking_slack - load[own:]
                change = np.maximum(point.linking, floor) * np.clip(left, -_LINKING, _LINKING)
                point.linking = np.maximum(0.0, point.linking - change)
