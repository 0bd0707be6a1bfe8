"""HiGHS's own strategies under names of their own, to be compared side by side.

Each is `extensive` with some options of HiGHS, nothing else: the same rows, the same start, the same checks.
Options that the caller gives by name win over those of a preset. The algorithm for linear programs decides
programs and relaxations without whole columns; within branch and bound HiGHS takes simplex or interior point
for the relaxation of a node, never PDLP.

When not to use them: to decide. HiGHS's own choice is seldom far from the best of them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from bondwork.strategies.extensive import Extensive

if TYPE_CHECKING:
    from bondwork.contracts import Observer, Options, ProgramDecision, Solution
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram

Value = bool | int | float | str


class _Preset(Extensive):
    """`extensive` with options of HiGHS that the caller did not give."""

    highs: ClassVar[dict[str, Value]]
    threads: ClassVar[int | None] = None

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        solution = super().solve(program, self._with_preset(options), observer)
        return dataclasses.replace(solution, notes=(*solution.notes, self._told()))

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`."""
        decision = super().solve_program(program, self._with_preset(options), observer)
        return dataclasses.replace(decision, notes=(*decision.notes, self._told()))

    def _with_preset(self, options: Options) -> Options:
        threads = options.threads if self.threads is None or options.threads else self.threads
        return dataclasses.replace(options, highs={**self.highs, **options.highs}, threads=threads)

    def _told(self) -> str:
        said = [f"{name}={str(value).lower()}" for name, value in self.highs.items()]
        if self.threads is not None:
            said.append(f"threads={self.threads}")
        return f"HiGHS with {', '.join(said)}"


class Simplex(_Preset):
    """Dual simplex for every linear program."""

    summary = "HiGHS by simplex, for linear programs and for the relaxations of branch and bound."
    highs: ClassVar[dict[str, Value]] = {"solver": "simplex", "mip_lp_solver": "simplex"}


class PrimalSimplex(_Preset):
    """Primal simplex for every linear program."""

    summary = "HiGHS by primal instead of dual simplex."
    highs: ClassVar[dict[str, Value]] = {
        "solver": "simplex",
        "mip_lp_solver": "simplex",
        "simplex_strategy": 4,
    }


class InteriorPoint(_Preset):
    """Interior point with crossover for every linear program."""

    summary = "HiGHS by interior point with crossover, for linear programs and for relaxations."
    highs: ClassVar[dict[str, Value]] = {"solver": "ipm", "mip_lp_solver": "ipm"}


class Pdlp(_Preset):
    """First-order method for linear programs; branch and bound keeps its own."""

    summary = "HiGHS by PDLP, a first-order method, for linear programs; branch and bound keeps simplex."
    highs: ClassVar[dict[str, Value]] = {"solver": "pdlp"}


class NoPresolve(_Preset):
    """No presolve."""

    summary = "HiGHS without presolve."
    highs: ClassVar[dict[str, Value]] = {"presolve": "off"}


class NoSymmetry(_Preset):
    """No detection of symmetry."""

    summary = "HiGHS without looking for symmetry in whole columns."
    highs: ClassVar[dict[str, Value]] = {"mip_detect_symmetry": False}


class Serial(_Preset):
    """One thread."""

    summary = "HiGHS in one thread, whatever the machine has."
    highs: ClassVar[dict[str, Value]] = {"parallel": "off"}
    threads = 1


class Parallel(_Preset):
    """All threads, for simplex too."""

    summary = "HiGHS in as many threads as it likes, for dual simplex too."
    highs: ClassVar[dict[str, Value]] = {"parallel": "on", "simplex_strategy": 3}
