"""What a further choice would be worth to a plan, and up to which size that is nothing.

A choice earns the sum of its terms: reward, slashing, what each executor is paid and gives back, the cost of
leaving the task, load incentives, and its part in the price of risk. Rewards and costs that cancel on paper
leave a rounding in binary: within `WORTH_NOISE` of the sum of the sizes of its terms a choice is worth
nothing, and a plan may take it or leave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.base.tolerances import WORTH_NOISE
from bondwork.problem.teams import team_size, teams_of_single_offers

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.program.filling import Filling


class WorthOfChoices:
    """What each choice of a program would add to what a filling has chosen.

    Parameters
    ----------
    instance
        The round.
    filling
        The choices of a plan; its program is one of the round's.
    """

    def __init__(self, instance: Instance, filling: Filling) -> None:
        self._filling = filling
        core = filling.program
        teams = core.teams if core.teams is not None else teams_of_single_offers(instance, core.columns)
        size = team_size(instance, teams) + instance.tasks.unassigned_cost[instance.claims.task[teams.claim]]
        weight = 0.0 if core.mean_risk is None else core.mean_risk[0]
        self._size: FloatArray = (1.0 - weight) * size
        self._risk_now = 0.0 if filling.risk is None else abs(filling.risk.value)

    def candidates(self) -> BoolArray:
        """Choices that may be worth something or nothing: all others surely cost more than they bring."""
        core = self._filling.program
        noise = WORTH_NOISE * (self._size + self._risk_now)
        found: BoolArray = core.objective[: core.choices] >= -noise
        for term in core.loads:
            row = slice(core.matrix.indptr[term.row], core.matrix.indptr[term.row + 1])
            found[core.matrix.indices[row]] = True
        return found

    def of(self, columns: IntArray) -> tuple[FloatArray, FloatArray]:
        """What each of some choices, by itself, would earn, and the size up to which that is nothing."""
        filling = self._filling
        gain, size = filling.program.objective[columns], self._size[columns]
        if filling.program.loads or filling.risk is not None:
            for number, column in enumerate(columns.tolist()):
                for before, after in filling.load_moves(column):
                    gain[number] += after - before
                    size[number] += abs(before) + abs(after)
                if filling.program.mean_risk is not None and filling.risk is not None:
                    rise = filling.program.mean_risk[0] * filling.risk.rise(column)
                    gain[number] -= rise
                    size[number] += abs(rise) + self._risk_now
        return gain, WORTH_NOISE * size
