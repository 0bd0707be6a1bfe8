"""Why tasks were left, what limits are worth, and why a round has no plan at all."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import Conflict, Price, Unassigned
from bondwork.problem.limits import LimitKind
from bondwork.problem.values import is_committed
from bondwork.program.highs import solve_program
from bondwork.strategies.filling import Filling

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options, Solution
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program

#: Seconds after which the search for a smallest conflict gives what it has.
CONFLICT_SECONDS = 20.0

#: Share of the largest price below which a shadow price is the solver's noise.
_PRICE_NOISE = 1e-9


def explain_unassigned(instance: Instance, program: Program, x: FloatArray) -> list[Unassigned]:
    """Say for each task without an executor why: no eligible offer, none worth it, or no room and where."""
    filling = Filling(program, x)
    core = filling.program
    task_of = instance.offers.task[core.columns]
    left = ~is_committed(instance)
    left[task_of[x > 0.5]] = False
    offered = np.bincount(task_of, minlength=len(left)) > 0
    rows_of: dict[int, set[int]] = {}
    measures_of: dict[int, list[str]] = {}
    for column in np.flatnonzero(left[task_of] & (core.objective > 0.0)).tolist():
        if not filling.would_gain(column):
            continue
        task = int(task_of[column])
        rows = filling.rows_without_room(column).tolist()
        rows_of.setdefault(task, set()).update(rows)
        # tail limits are asked only where the others leave room: each question looks at every scenario
        measures_of.setdefault(task, []).extend([] if rows else filling.measures_without_room(column))
    result = []
    for task in np.flatnonzero(left).tolist():
        name = instance.tasks.ids[task]
        if not offered[task]:
            result.append(Unassigned(task=name, reason="no_eligible_offer"))
        elif task not in rows_of:
            result.append(Unassigned(task=name, reason="not_worth_it"))
        else:
            labels = [program.limits.label(row) for row in sorted(rows_of[task])]
            labels = list(dict.fromkeys(labels + measures_of[task]))
            result.append(Unassigned(task=name, reason="no_room", limits=labels))
    return result


def price_limits(program: Program, solution: Solution) -> list[Price]:
    """List the limits that a little more of would earn something, with the price of one unit.

    The one-executor rows have multipliers too, but nobody can buy a second executor of that kind: they are
    left out, except where a required task costs something.
    """
    row_duals = solution.row_duals
    if row_duals is None:
        return []
    matrix = program.without_auxiliaries().matrix
    is_task = program.limits.kind == LimitKind.TASK
    # what a unit of each row moves in currency: prices in different units must not drown each other
    size = np.zeros(len(row_duals))
    rows = np.repeat(np.arange(len(size)), np.diff(matrix.indptr))
    np.maximum.at(size, rows, np.abs(matrix.data))
    worth = np.abs(row_duals) * np.where(size > 0.0, size, 1.0)
    threshold = _PRICE_NOISE * np.max(np.abs(program.objective), initial=0.0)
    shown = np.flatnonzero((worth > threshold) & (~is_task | (row_duals < 0.0)))
    prices = [Price(limit=program.limits.label(row), price=float(row_duals[row])) for row in shown.tolist()]
    return prices + _price_measures(program, solution)


def _price_measures(program: Program, solution: Solution) -> list[Price]:
    """Prices of tail limits: of cut limits as found; null for those in rows of scenarios that are no sum."""
    known: dict[int, float] = {}
    if solution.measure_prices is not None:
        known = dict(zip(program.lazy, solution.measure_prices.tolist(), strict=True))
    listed = []
    for number, measure in enumerate(program.measures):
        if not measure.convex:
            listed.append(Price(limit=measure.label, price=None))
        elif known.get(number, 0.0) > 0.0:
            listed.append(Price(limit=measure.label, price=known[number]))
    return listed


def find_conflict(program: Program, options: Options, observer: Observer) -> Conflict:
    """Find limits that cannot hold together, as few as the time allows (QuickXplain, Junker 2004).

    Each round of the search leaves limits out and asks HiGHS whether the rest can hold. A required task
    counts as a limit: left out, it may stay unassigned. After `CONFLICT_SECONDS`, or when stopped, what is
    known by then is returned as not minimal; so are all limits where a tail limit has a part in the conflict.
    """
    tails = [measure.label for measure in program.measures]
    program = program.without_auxiliaries()
    rows = np.flatnonzero((program.row_lower > -math.inf) | (program.limits.kind != LimitKind.TASK))
    search = _ConflictSearch(program, options, observer)
    if tails and search.can_hold(rows):
        found, minimal = rows, False
    else:
        found, tails = search.smallest(search.ray_support(rows)), []
        minimal = not search.gave_up
    labels = dict.fromkeys(_conflict_label(program, row) for row in np.sort(found).tolist())
    return Conflict(limits=[*labels, *tails], minimal=minimal)


def _conflict_label(program: Program, row: int) -> str:
    label = program.limits.label(row)
    return f"{label} required" if program.limits.kind[row] == LimitKind.TASK else label


class _ConflictSearch:
    def __init__(self, program: Program, options: Options, observer: Observer) -> None:
        self.program = dataclasses.replace(program, objective=np.zeros_like(program.objective), offset=0.0)
        self.options = options
        self.observer = observer
        self.ends = time.perf_counter() + CONFLICT_SECONDS
        self.gave_up = False

    def can_hold(self, rows: IntArray, *, relaxed: bool = False) -> bool:
        """Whether the limits ``rows`` can hold together, all others left out."""
        left = self.ends - time.perf_counter()
        if left <= 0.0 or self.observer.should_stop():
            self.gave_up = True
            return True  # unknown: keeping a limit in the conflict is the safe side
        kept = np.zeros(len(self.program.row_lower), dtype=bool)
        kept[rows] = True
        upper_stays = kept | (self.program.limits.kind == LimitKind.TASK)
        program = dataclasses.replace(
            self.program,
            row_lower=np.where(kept, self.program.row_lower, -math.inf),
            row_upper=np.where(upper_stays, self.program.row_upper, math.inf),
        )
        options = dataclasses.replace(self.options, time_limit=left)
        answer = solve_program(program, options, self.observer, relaxed=relaxed, phase="conflict")
        if answer.status not in ("optimal", "infeasible"):
            self.gave_up = True
        return answer.status != "infeasible"

    def ray_support(self, rows: IntArray) -> IntArray:
        """Narrow the search to the rows of a certificate of infeasibility, where the relaxation has one."""
        options = dataclasses.replace(self.options, time_limit=CONFLICT_SECONDS)
        answer = solve_program(self.program, options, self.observer, relaxed=True, phase="conflict")
        if answer.status != "infeasible" or answer.row_duals is None:
            return rows
        support = rows[np.abs(answer.row_duals[rows]) > 0.0]
        return support if len(support) and not self.can_hold(support, relaxed=True) else rows

    def smallest(self, rows: IntArray) -> IntArray:
        """Return a smallest conflict within ``rows``, which are known to conflict."""
        return self._explain(np.zeros(0, dtype=np.int64), rows, changed=False)

    def _explain(self, background: IntArray, rows: IntArray, *, changed: bool) -> IntArray:
        if changed and not self.can_hold(background):
            return np.zeros(0, dtype=np.int64)
        if len(rows) == 1 or self.gave_up:
            return rows
        first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        from_second = self._explain(np.concatenate([background, first]), second, changed=len(first) > 0)
        from_first = self._explain(
            np.concatenate([background, from_second]), first, changed=len(from_second) > 0
        )
        return np.concatenate([from_first, from_second])
