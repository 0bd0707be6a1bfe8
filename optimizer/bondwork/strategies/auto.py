"""The strategy for those who do not choose one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.faults import Refusal
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.l_shaped.strategy import LShaped
from bondwork.strategies.lagrangian.errors import NotDecomposable
from bondwork.strategies.lagrangian.strategy import Lagrangian
from bondwork.strategies.relaxation import Relaxation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.contracts import Observer, Options, ProgramDecision, Solution, Strategy
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram

#: Offers up to which HiGHS alone proves most rounds optimal within seconds.
MOST_EXTENSIVE = 2_000

#: Offers beyond which the extensive form is not tried at all: its linear relaxation alone takes minutes.
LARGEST_EXTENSIVE = 500_000

#: Columns of a two-stage program's extensive form, over all scenarios, from which on it is taken apart, and
#: scenarios that it must have for that: measured in docs/strategies.md.
LEAST_L_SHAPED = 20_000
LEAST_SCENARIOS = 50


class Auto:
    """Choose a strategy by the size and the shape of the round, and say in the plan which one and why."""

    summary = "Chooses by size and shape: extensive for the small, lagrangian or l-shaped for the large."

    def __init__(self) -> None:
        #: Writes the extensive form down; where it is set, that form is what is solved.
        self.write: Callable[[StochasticProgram], ExtensiveForm] | None = None

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

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`."""
        scenarios = len(program.leaves)
        notes: list[str] = []
        columns = np.array([len(each.columns) for each in program.templates])[program.template].sum()
        if columns >= LEAST_L_SHAPED and scenarios >= LEAST_SCENARIOS and self.write is None:
            try:
                decision = LShaped().solve_program(program, options, observer)
            except Refusal as refusal:
                notes += [f"l-shaped refused: {reason}" for reason in refusal.reasons]
            else:
                return _told(decision, "l-shaped", scenarios, notes)
        whole = Extensive()
        whole.write = self.write or whole.write
        return _told(whole.solve_program(program, options, observer), "extensive", scenarios, notes)


def _told(decision: ProgramDecision, name: str, scenarios: int, notes: list[str]) -> ProgramDecision:
    chosen = f"auto chose {name}: {scenarios} scenarios"
    return dataclasses.replace(decision, strategy=name, notes=(*notes, chosen, *decision.notes))


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
