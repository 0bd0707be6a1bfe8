"""The extensive form, whole, to HiGHS: exact, with a proof."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

from bondwork.contracts import Observer, Options, Solution
from bondwork.program.highs import solve_program
from bondwork.strategies.filling import fill_up
from bondwork.strategies.relaxation import Relaxation

if TYPE_CHECKING:
    from bondwork.program.program import Program


class Extensive:
    """Solve the whole program as one mixed-integer program with HiGHS.

    The linear relaxation comes first: its multipliers are the plan's shadow prices, its rounding is the
    point from which HiGHS starts, and both are there when a time limit strikes early.

    When not to use it: beyond about 20,000 offers with tight limits HiGHS alone leaves a gap of several per
    cent after a minute.
    """

    summary = "The whole program to HiGHS: exact, optimal with a proof; slow on large tight rounds."

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        started = time.perf_counter()
        root = Relaxation().solve(program, options, observer)
        if root.bound == -math.inf or root.status == "interrupted":
            return root
        left = max(options.time_limit - (time.perf_counter() - started), 0.0)
        answer = solve_program(
            program,
            dataclasses.replace(options, time_limit=left),
            observer,
            start=root.x,
            phase="branch and bound",
        )
        if answer.status == "infeasible":
            return Solution("infeasible", None, -math.inf)
        x = answer.x
        if root.x is not None and (x is None or program.value(root.x) > program.value(x)):
            x = root.x
        bound = min(root.bound, answer.bound)
        if x is not None:
            x = fill_up(program, x)
            bound = max(bound, program.value(x))
        return dataclasses.replace(root, status=answer.status, x=x, bound=bound, partial=None)
