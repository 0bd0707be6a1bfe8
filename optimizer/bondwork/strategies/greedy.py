"""Best net reward first: what operators do today, and the line that others must not fall below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.contracts import Observer, Options, Progress, Solution
from bondwork.program.choice_bound import choice_bound
from bondwork.program.filling import fill_greedily

if TYPE_CHECKING:
    from bondwork.program.program import Program


class Greedy:
    """Take the offer with the best net reward that still fits, again and again.

    Required tasks come first, then everything that earns something. Nothing is ever taken back, so a
    required task may find no room although a plan exists: the status is then ``locally_infeasible``.

    When not to use it: whenever there is a second to spare. It is here as the baseline to compare with.
    """

    summary = "Best net reward first, never taken back: the baseline that people use today."

    #: A rule is what it is: plans near what it chooses are not looked for.
    by_rule = True

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`. The bound is that of the best choice for each task."""
        filling = fill_greedily(program)
        bound = choice_bound(program)
        value = program.value(filling.x)
        if not filling.is_complete():
            return Solution("locally_infeasible", None, bound, partial=filling.x)
        observer.report(Progress(0.0, value, bound, "greedy"))
        return Solution("locally_solved", filling.x, max(bound, value))
