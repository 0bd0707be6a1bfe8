"""The strategy for those who do not choose one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bondwork.strategies.extensive import Extensive
from bondwork.strategies.lagrangian.errors import NotDecomposable
from bondwork.strategies.lagrangian.strategy import Lagrangian
from bondwork.strategies.relaxation import Relaxation

if TYPE_CHECKING:
    from bondwork.contracts import Observer, Options, Solution, Strategy
    from bondwork.program.program import Program

#: Offers up to which HiGHS alone proves most rounds optimal within seconds.
MOST_EXTENSIVE = 2_000

#: Offers beyond which the extensive form is not tried at all: its linear relaxation alone takes minutes.
LARGEST_EXTENSIVE = 500_000


class Auto:
    """Choose a strategy by the size and the shape of the round, and say in the plan which one and why."""

    summary = "Chooses by size and shape: extensive for small rounds, lagrangian for large ones."

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        offers = program.choices
        notes: list[str] = []
        if offers > MOST_EXTENSIVE:
            try:
                return _by(Lagrangian(), "lagrangian", offers, notes, (program, options, observer))
            except NotDecomposable as refusal:
                notes.append(f"lagrangian refused: {refusal.reason}")
        if offers <= LARGEST_EXTENSIVE:
            return _by(Extensive(), "extensive", offers, notes, (program, options, observer))
        return _by(Relaxation(), "relaxation", offers, notes, (program, options, observer))


def _by(
    strategy: Strategy,
    name: str,
    offers: int,
    notes: list[str],
    task: tuple[Program, Options, Observer],
) -> Solution:
    solution = strategy.solve(*task)
    chosen = f"auto chose {name}: {offers} eligible offers"
    return dataclasses.replace(solution, strategy=name, notes=(*notes, chosen, *solution.notes))
