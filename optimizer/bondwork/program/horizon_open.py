"""What a claim still loses where some of its executors have been released and others have not (MODEL 4).

What was seen counts as it was. The others count with the probabilities that they had before, as if they were
released together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.teams import chances_of

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance


def open_loss(
    decided: Instance,
    good: BoolArray,
    members: IntArray,
    needed: int,
    *,
    seen_of: BoolArray | None = None,
    open_of: BoolArray | None = None,
    held: bool = False,
) -> FloatArray:
    """Probability that a claim is lost, by what was seen of it; 0 once that is decided. Shape (N,).

    Parameters
    ----------
    decided
        The decision point as a round.
    good
        Shape (N, R). Which of the R released executors succeeded, by node.
    members
        Shape (U,). The others: offers of the round, or commitments that are ``held``. One at least.
    needed
        The quorum, of all R + U.
    seen_of, open_of
        Shapes (R,) and (U,). Where given, only losses count in which one of these failed too.
    """
    wins = good.sum(axis=1)
    found = np.zeros(len(good))
    to_blame = np.zeros(len(good), dtype=bool)
    if seen_of is not None:
        to_blame = np.any(~good[:, seen_of], axis=1)
    for count in np.unique(wins).tolist():
        missing = needed - count
        if not 0 < missing <= len(members):
            continue
        success, blame = chances_of(decided, members[None], missing, held=held)
        loss = 1.0 - float(success[0])
        mine = wins == count
        if open_of is None:
            found[mine] = loss
        else:
            found[mine] = np.where(to_blame[mine], loss, float(blame[0, open_of].sum()))
    return found
