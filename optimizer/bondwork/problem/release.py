"""When what is decided now is settled: which later period of a path releases it (MODEL 4).

A *decision point* is this round, number `THIS_ROUND`, or one of its periods, by index. What is chosen at one
holds capacity, collateral and stake until it is released: at the first later period of the path whose time
has come to the decision's plus the offer's duration. An offer without a duration, and an operator that
executes a task itself, are done by the next period. A commitment is released at the first period from its
``release_at`` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import NOBODY
from bondwork.problem.periods import instance_of_period

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray
    from bondwork.problem.instance import Instance

#: Number of the round itself among its decision points: what ``above`` says of its first periods.
THIS_ROUND = NOBODY


class Horizon:
    """A round with its later periods as rounds of their own, and who comes before whom.

    Periods of probability 0, and what follows them, are never reached and left out.

    Attributes
    ----------
    instance
        The round.
    rounds
        P + 1 of them: the periods in the order of the input, then the round itself, so that the number of a
        decision point, `THIS_ROUND` among them, is its position.
    children
        By decision point, the periods that follow it, ascending.
    reached
        The periods that are reached, ascending.
    depth
        By decision point: how many decisions come before it.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        count = len(instance.periods)
        self.rounds = [*(instance_of_period(instance, n) for n in range(count)), instance]
        self.children: list[list[int]] = [[] for _ in range(count + 1)]
        self.depth = [0] * (count + 1)
        self.reached: list[int] = []
        for n, period in enumerate(instance.periods):  # parents stand before their children
            is_reached = period.above == THIS_ROUND or period.above in self.reached
            if is_reached and period.probability > 0.0:
                self.reached.append(n)
                self.children[period.above].append(n)
                self.depth[n] = self.depth[period.above] + 1

    @property
    def ends(self) -> list[int]:
        """The decision points that nothing follows: with each a path ends."""
        return [point for point in (THIS_ROUND, *self.reached) if not self.children[point]]

    @property
    def stages(self) -> int:
        """How many decisions the longest path has."""
        return max(self.depth) + 1

    def path(self, period: int) -> list[int]:
        """Decision points from this round to one of them, itself included."""
        points = [period]
        while points[-1] != THIS_ROUND:
            points.append(self.instance.periods[points[-1]].above)
        return points[::-1]

    def released(self, point: int, period: int) -> BoolArray:
        """Whether each offer chosen at ``point`` is released at ``period``, which follows it, or before."""
        decided = self.rounds[point]
        done: BoolArray = decided.now + decided.offers.duration <= self.rounds[period].now
        return done

    def settled(self, point: int, period: int) -> BoolArray:
        """Whether each offer chosen at ``point`` is released at ``period`` and not before."""
        done = self.released(point, period)
        above = self.instance.periods[period].above
        return done if above == point else done & ~self.released(point, above)

    def left_open(self, point: int, last: int) -> BoolArray:
        """Whether each offer chosen at ``point`` is held beyond ``last``, the end of a path through it."""
        if point == last:
            return np.ones(len(self.rounds[point].offers), dtype=bool)
        left: BoolArray = ~self.released(point, last)
        return left

    def commitments_released(self, period: int) -> BoolArray:
        """Whether each commitment is released at a decision point or before; none is at the round itself."""
        release_at = self.instance.commitments.release_at
        if period == THIS_ROUND:
            return np.zeros(len(release_at), dtype=bool)
        done: BoolArray = release_at <= self.rounds[period].now
        return done

    def commitments_settled(self, period: int) -> BoolArray:
        """Whether each commitment is released at ``period`` and not before."""
        above = self.instance.periods[period].above
        settled: BoolArray = self.commitments_released(period) & ~self.commitments_released(above)
        return settled
