"""What knowing everything beforehand would earn: a bound, and no plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bondwork.contracts import Observer, Options, ProgramDecision
from bondwork.program.stochastic_value import NoValue, Paths, wait_and_see

if TYPE_CHECKING:
    from bondwork.program.stochastic import StochasticProgram


class WaitAndSee:
    """Solve each scenario by itself, as if it were known from the start; nobody can do better than that.

    The scenarios' decisions contradict each other where something must be decided before it is known: there
    is no plan, and the status is that of the bound. An infeasible scenario makes the program infeasible.

    When not to use it: for a plan; and for a tight bound, since it is above the optimum by what perfect
    information is worth (EVPI).

    References
    ----------
    A. Madansky, Inequalities for stochastic linear programming problems, Management Science 6 (1960) 197-204.
    """

    #: It decides with what nobody knows: of a round, it must be told what luck does to the first stage.
    knows_outcomes = True

    #: What it does not find nobody else is to find for it: it is a bound.
    is_reference = True

    summary = "A bound without a plan: every scenario solved as if it were known from the start."

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Find the bound; see `bondwork.contracts.ProgramStrategy`."""
        paths = Paths(program, options, observer)
        sign = 1.0 if program.sense == "max" else -1.0
        notes: list[str] = []
        try:
            _, bound = wait_and_see(program, paths)
        except NoValue as reason:
            if reason.status == "dual_infeasible":  # of the scenario, of which the program is not its copy
                notes.append(f"the bound is infinite: {reason}; the program itself need not be unbounded")
                return ProgramDecision("optimal", math.inf, None, notes=tuple(notes))
            status = reason.status or "other_error"
            worst = -math.inf if status == "infeasible" else math.inf
            return ProgramDecision(status, worst, None, notes=(str(reason),))
        paths.take_note("wait-and-see", notes)
        notes.append("a bound without a plan: every scenario decided as if it were known from the start")
        return ProgramDecision(
            "optimal", math.inf if bound is None else sign * bound, None, notes=tuple(notes)
        )
