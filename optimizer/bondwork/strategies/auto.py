"""The strategy for those who do not choose one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bondwork.strategies.extensive import Extensive
from bondwork.strategies.relaxation import Relaxation

if TYPE_CHECKING:
    from bondwork.contracts import Observer, Options, Solution
    from bondwork.program.program import Program

#: Offers beyond which the extensive form is not tried: its linear relaxation alone then takes minutes.
LARGEST_EXTENSIVE = 500_000


class Auto:
    """Choose a strategy by the size of the round, and say in the plan which one and why."""

    summary = "Chooses by size: extensive, or relaxation for rounds beyond its reach."

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        offers = len(program.objective)
        if offers <= LARGEST_EXTENSIVE:
            solution, name = Extensive().solve(program, options, observer), "extensive"
            why = f"auto chose extensive: {offers} eligible offers"
        else:
            solution, name = Relaxation().solve(program, options, observer), "relaxation"
            why = f"auto chose relaxation: {offers} eligible offers are more than {LARGEST_EXTENSIVE}"
        return dataclasses.replace(solution, strategy=name, notes=(why, *solution.notes))
