"""Planning with means: what those do who do not model what is random."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import Observer, Options, ProgramDecision
from bondwork.program.bounds import gap
from bondwork.program.stochastic_value import NoValue, Paths, carry_out_means, plan_with_means

if TYPE_CHECKING:
    from bondwork.program.stochastic import StochasticProgram

#: Fields of which means prove something: where only they are random, recourse is concave in them.
_CONCAVE = ("constant", "lower", "upper", "row_lower", "row_upper")


class ExpectedValue:
    """Solve the mean problem and carry its first decision out; at later nodes, again with the means ahead.

    In two stages that is the mean problem's first stage with the best recourse in every scenario (EEV). The
    bound is the mean problem's where that is one: only limits, bounds and constants random, columns after the
    first stage not whole (A. Madansky, Management Science 6 (1960) 197-204); elsewhere there is none.

    When not to use it: to decide. It is what other strategies are compared with, and it has no plan where the
    mean problem is infeasible or leaves a scenario without recourse.
    """

    #: What follows the root is decided afterwards, within the same time limit.
    decides_root_only = True

    #: What it does not find nobody else is to find for it: others are measured against it.
    is_reference = True

    summary = "Plans with the means of what is random: the baseline that the others are measured against."

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`."""
        paths = Paths(program, options, observer)
        sign = 1.0 if program.sense == "max" else -1.0
        bound = math.inf
        try:
            means = plan_with_means(program, 0, [], paths)
            if _is_bound(program):
                bound = sign * means.bound
            value, nodes = carry_out_means(program, means, paths)
        except NoValue as reason:
            stopped = reason.status in ("time_limit", "interrupted", "iteration_limit")
            status = reason.status if stopped and reason.status else "locally_infeasible"
            return ProgramDecision(status, bound, None, notes=(str(reason),))
        notes: list[str] = []
        paths.take_note("planning with means", notes)
        proved = math.isfinite(bound) and gap(sign * value, bound) <= options.mip_rel_gap
        return ProgramDecision(
            "optimal" if proved else "locally_solved", bound, nodes[0], nodes, tuple(notes)
        )


def _is_bound(program: StochasticProgram) -> bool:
    """Whether the mean problem's optimum is a bound of the program's, by Jensen's inequality."""
    node = np.repeat(np.arange(len(program)), np.diff(program.change_start))
    for kind in np.unique(program.template[1:]).tolist():
        template = program.templates[kind]
        if template.integer.any():
            return False
        mine = program.change_position[(program.template[node] == kind) & (node > 0)]
        known = np.zeros(len(template.values), dtype=bool)
        for name in _CONCAVE:
            known[template.spans[name]] = True
        if not known[mine].all():
            return False
    return True
