"""Why an infeasible round is infeasible: limits that cannot hold together, and how near one could come."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import Conflict
from bondwork.problem.limits import LimitKind
from bondwork.program.blocks import with_mean_risk, with_measures
from bondwork.program.cutting import CuttingPlanes
from bondwork.program.exact import for_solver
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import BoolArray, IntArray
    from bondwork.contracts import Observer, Options
    from bondwork.program.program import Program

#: Seconds after which the search for a smallest conflict gives what it has.
CONFLICT_SECONDS = 20.0


def find_conflict(program: Program, options: Options, observer: Observer) -> Conflict:
    """Find limits that cannot hold together, as few as the time allows (QuickXplain, Junker 2004).

    Each round of the search leaves limits out and asks HiGHS whether the rest can hold. A required task
    counts as a limit: left out, it may stay unassigned. For tail limits among the conflict the least value
    that the other limits allow is found, too. After `CONFLICT_SECONDS`, or when stopped, what is known by
    then is returned as not minimal.
    """
    search = _Search(program, options, observer)
    found = np.sort(search.smallest(search.narrowed()))
    labels = list(dict.fromkeys(search.label(item) for item in found.tolist()))
    return Conflict(limits=labels, minimal=not search.gave_up, least=search.least_values(found))


def _is_looser(program: Program) -> BoolArray:
    """Rows that say less tightly what another one of their name says: two budgets for one expected loss."""
    kinds = (
        LimitKind.EXPECTED_LOSS_NETWORK,
        LimitKind.EXPECTED_LOSS_OPERATOR,
        LimitKind.EXPECTED_LOSS_COPROCESSOR,
    )
    looser = np.zeros(len(program.limits.kind), dtype=bool)
    for kind in kinds:
        rows = program.limits.of_kind(kind)
        order = rows[np.lexsort((rows, program.row_upper[rows], program.limits.owner[rows]))]
        owner = program.limits.owner[order]
        looser[order[1:][owner[1:] == owner[:-1]]] = True
    return looser


def smallest_conflict(
    items: IntArray, can_hold: Callable[[IntArray], bool], gave_up: Callable[[], bool]
) -> IntArray:
    """Return a smallest conflict within ``items``, which are known to conflict.

    Parameters
    ----------
    can_hold
        Whether some items can hold together.
    gave_up
        Whether answers are no longer to be had: what is left is then returned as it is.
    """

    def explain(background: IntArray, items: IntArray, *, changed: bool) -> IntArray:
        if changed and not can_hold(background):
            return np.zeros(0, dtype=np.int64)
        if len(items) <= 1 or gave_up():
            return items
        first, second = items[: len(items) // 2], items[len(items) // 2 :]
        from_second = explain(np.concatenate([background, first]), second, changed=len(first) > 0)
        rest = np.concatenate([background, from_second])
        from_first = explain(rest, first, changed=len(from_second) > 0)
        both: IntArray = np.concatenate([from_first, from_second])
        return both

    return explain(np.zeros(0, dtype=np.int64), items, changed=False)


#: Seconds that a conflict is searched where no time is left.
LEAST_SECONDS = 0.1


class _Search:
    """Items of the search are numbered: first the limits of the program, then its tail limits."""

    def __init__(self, program: Program, options: Options, observer: Observer) -> None:
        core = program.without_auxiliaries()
        self.core = dataclasses.replace(
            core,
            objective=np.zeros_like(core.objective),
            offset=0.0,
            measures=(),
            lazy=(),
            mean_risk=None,
            loads=(),
        )
        self.measures = core.measures
        self.options = options
        self.observer = observer
        #: A caller in a hurry is not kept waiting for the reason longer than for the plan.
        self.seconds = min(CONFLICT_SECONDS, max(options.time_limit, LEAST_SECONDS))
        self.ends = time.perf_counter() + self.seconds
        self.gave_up = False
        further = np.arange(len(core.row_upper)) >= len(core.limits)
        #: Rows of the formulation's own hold always; constraints of the round are named in conflicts.
        self.is_own = further.copy()
        self.is_own[[row for row, _ in core.names]] = False
        self.is_task = np.append(core.limits.kind == LimitKind.TASK, further[further] & False)
        looser = np.append(_is_looser(core), self.is_own[further])
        limiting = ((core.row_lower > -math.inf) | ~self.is_task) & ~looser
        tails = len(self.is_task) + np.arange(len(self.measures))
        self.items = np.concatenate([np.flatnonzero(limiting), tails])

    def label(self, item: int) -> str:
        """Name of an item."""
        rows = len(self.is_task)
        if item >= rows:
            return self.measures[item - rows].label
        name = self.core.label(item)
        return f"{name} required" if self.is_task[item] else name

    def restricted(self, items: IntArray) -> Program:
        """Return the program with the limits ``items`` alone; one executor a task always holds."""
        rows = len(self.is_task)
        kept = self.is_own.copy()
        kept[items[items < rows]] = True
        program = dataclasses.replace(
            self.core,
            row_lower=np.where(kept, self.core.row_lower, -math.inf),
            row_upper=np.where(kept | self.is_task, self.core.row_upper, math.inf),
        )
        measures = [self.measures[item - rows] for item in items.tolist() if item >= rows]
        return with_measures(program, measures, [i for i, m in enumerate(measures) if not m.convex])

    def can_hold(self, items: IntArray) -> bool:
        """Whether the limits ``items`` can hold together, all others left out."""
        cuts = CuttingPlanes(self.restricted(items))
        while True:
            left = self.ends - time.perf_counter()
            if left <= 0.0 or self.observer.should_stop():
                self.gave_up = True
                return True  # unknown: keeping a limit in the conflict is the safe side
            options = dataclasses.replace(self.options, time_limit=left)
            answer = solve_program(cuts.matrices(), options, self.observer, phase="conflict")
            if answer.status == "infeasible":
                return False
            if answer.status != "optimal" or answer.x is None:
                self.gave_up = True
                return True
            if not cuts.separate(answer.x[: cuts.program.choices]):
                return True

    def narrowed(self) -> IntArray:
        """Narrow the search to the rows of a certificate of infeasibility, where the relaxation has one."""
        options = dataclasses.replace(self.options, time_limit=self.seconds)
        answer = solve_program(for_solver(self.core), options, self.observer, relaxed=True, phase="conflict")
        rows = self.items[self.items < len(self.is_task)]
        if answer.status == "infeasible" and answer.row_duals is not None:
            support: IntArray = rows[np.abs(answer.row_duals[rows]) > 0.0]
            if len(support) and not self.can_hold(support):
                return support
        return self.items

    def smallest(self, items: IntArray) -> IntArray:
        """Return a smallest conflict within ``items``, which are known to conflict."""
        return smallest_conflict(items, self.can_hold, lambda: self.gave_up)

    def least_values(self, found: IntArray) -> dict[str, float]:
        """Least value of each tail limit of the conflict that all other limits of the round allow.

        Of measures that can stand in an objective: CVaR, chance and solvency. Left out where the others
        cannot hold without it either, or time runs out.
        """
        least = {}
        rows = len(self.is_task)
        for item in found[found >= rows].tolist():
            measure = self.measures[item - rows]
            left = self.ends + self.seconds - time.perf_counter()
            if left <= 0.0 or not len(measure.block().measured):
                continue
            others = self.restricted(self.items[(self.items < rows)])
            free = with_mean_risk(others, 1.0, dataclasses.replace(measure, ceiling=math.inf))
            options = dataclasses.replace(self.options, time_limit=left)
            answer = solve_program(for_solver(free), options, self.observer, phase="least risk")
            if answer.status == "optimal" and answer.x is not None:
                least[measure.label] = measure.value(answer.x[: others.choices])
        return least
