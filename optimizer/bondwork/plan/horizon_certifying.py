"""From the program of a round with later periods to the certificate of its plan.

The multipliers are those of the extensive form's linear relaxation, put in the words of limits at nodes.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from bondwork.observing import Silence
from bondwork.plan.certificate import Entry
from bondwork.plan.certifying import WORDS, with_bound, with_refutation, without_certificate
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_horizon_bound import HorizonBound
from bondwork.problem.limits import LimitKind
from bondwork.problem.release import THIS_ROUND
from bondwork.program.extensive import extensive_form
from bondwork.program.limit_prices import OnePerTask, Priced, lower_bound_by_steps
from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program
from bondwork.uncertainty.horizon import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Options, Voucher
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.horizon import HorizonProgram, PointRows

#: Seconds that the linear relaxation may take, and those that an offer at a node takes in whole numbers, once
#: here and once for whoever verifies it.
_SECONDS, _SECONDS_PER_CHOICE = 20.0, 2e-5

#: Seconds, besides, for each team of several that the round itself may choose: how often it succeeds is
#: worked out for each, here and there.
_SECONDS_PER_TEAM = 2.5e-4

#: Share of them for the relaxation, before steps are taken instead.
_RELAXATION_SHARE = 0.5

#: Matrix entries from which on an interior point is enough: any multipliers prove something, and these are
#: there much sooner and as good to eight digits.
_MANY_ENTRIES, _INTERIOR = 100_000, {"solver": "ipm", "run_crossover": "off"}


def certify_horizon(
    instance: Instance,
    plan: Plan,
    made: HorizonProgram,
    options: Options,
    *,
    vouched_by: Voucher,
    later: float = 0.0,
) -> Plan:
    """Return the plan of a round with later periods with the certificate of its bound.

    What the certificate proves is what `bondwork.verify` will recompute. Where it is better than the bound
    that the strategy told, it becomes the plan's. Whatever goes wrong costs the certificate, not the plan.

    Parameters
    ----------
    instance, plan, made
        The round, its plan, and the program that was solved.
    options
        The time limit is for the certificate, and for recomputing it once more.
    vouched_by
        Who says that the plan's bound holds where that is better.
    later
        Seconds of the limit that are needed for what follows.
    """
    if plan.status == "interrupted":
        return plan
    ends = time.perf_counter() + options.time_limit - later
    try:
        return _certified(instance, plan, made, _Within(options, ends), vouched_by)
    except Exception as reason:
        return without_certificate(plan, reason)


def _certified(instance: Instance, plan: Plan, made: HorizonProgram, within: _Within, by: Voucher) -> Plan:
    counts = np.array([len(each) for each in made.teams])
    choices = int(counts[made.tree.period[made.tree.period != ENDED]].sum())
    several = int(np.sum(made.teams[THIS_ROUND].sizes > 1))
    within.keep(2 * (_SECONDS_PER_CHOICE * choices + _SECONDS_PER_TEAM * several))
    recount = HorizonBound(instance, made.tree, plan.provenance.seed)
    form = extensive_form(made.program)
    duals = None
    if plan.status != "infeasible":
        reached = form.matrices.offset if plan.objective is None else plan.objective / made.unit
        duals = _duals(made, form, within, reached)
    if duals is not None:
        return with_bound(plan, recount, [list(_entries(made, form, duals))], by)
    if plan.solution != "none":
        raise Uncheckable("the linear relaxation ended with infeasible")
    entries: list[Entry] = []
    if not recount.refutes(entries):
        entries = list(_entries(made, form, _refutation(form, within)))
        if not recount.refutes(entries):
            raise Uncheckable("the multipliers of the linear relaxation prove nothing when recomputed")
    return with_refutation(plan, entries)


def _duals(made: HorizonProgram, form: ExtensiveForm, within: _Within, reached: float) -> FloatArray | None:
    """Multipliers of the linear relaxation, else of steps; ``None`` where the relaxation is infeasible."""
    begun = time.perf_counter()
    some = _Within(within.options, within.ends)
    if math.isfinite(within.ends):
        some.ends = begun + _RELAXATION_SHARE * (within.ends - begun)
    try:
        relaxed = _relaxed(form.matrices, some)
    except Uncheckable:
        ends = min(within.ends, time.perf_counter() + _SECONDS)
        if ends <= time.perf_counter():
            raise
        return _stepped(made, form, reached, ends)
    return None if relaxed is None else relaxed[0]


def _stepped(made: HorizonProgram, form: ExtensiveForm, reached: float, ends: float) -> FloatArray:
    """Multipliers by steps: what takes too long to be solved still has good ones."""
    given, tree, start = form.matrices, made.tree, form.row_start
    task = np.full(len(given.objective), -1)
    rows, weight = [], np.zeros(len(given.row_upper))
    for node in np.flatnonzero(tree.period != ENDED).tolist():
        limits = made.rows[int(tree.period[node])].limits
        mine = int(start[node]) + np.arange(len(limits))
        of_task = mine[limits.kind == LimitKind.TASK]
        for row in of_task.tolist():
            task[given.matrix.indices[given.matrix.indptr[row] : given.matrix.indptr[row + 1]]] = row
        rows.append(mine[limits.kind != LimitKind.TASK])
        weight[mine] = tree.tree.probability[node]
    task[given.upper <= 0.0] = -1
    priced = np.concatenate(rows)
    priced = priced[np.isfinite(given.row_upper[priced])]
    program = Priced(
        given.objective,
        given.offset,
        csr_array(given.matrix[priced]),
        given.row_upper[priced],
        weight[priced],
        OnePerTask(task, given.row_lower > 0.0),
    )
    duals = np.zeros(len(given.row_upper))
    duals[priced], _ = lower_bound_by_steps(program, duals[priced], reached, ends=ends)
    return duals


class _Within:
    """Options whose time limit is what is left until a moment."""

    def __init__(self, options: Options, ends: float) -> None:
        self.options = options
        self.ends = ends

    def keep(self, seconds: float) -> None:
        """Keep some of it for what follows."""
        self.ends -= seconds
        self.left()

    def left(self, *, roughly: bool = False) -> Options:
        """Options for now."""
        seconds = min(self.ends - time.perf_counter(), _SECONDS)
        if seconds <= 0.0:
            raise Uncheckable("no time was left for it")
        highs = {**self.options.highs, **_INTERIOR} if roughly else self.options.highs
        return dataclasses.replace(self.options, time_limit=seconds, highs=highs)


def _relaxed(matrices: Matrices, within: _Within) -> tuple[FloatArray, FloatArray] | None:
    """Multipliers of the rows of a linear relaxation, and its columns; ``None`` where it is infeasible."""
    options = within.left(roughly=matrices.matrix.nnz >= _MANY_ENTRIES)
    answer = solve_program(matrices, options, Silence(), relaxed=True, phase="proof")
    if answer.status == "infeasible":
        return None
    if answer.status != "optimal" or answer.row_duals is None or answer.x is None:
        raise Uncheckable(f"the linear relaxation ended with {answer.status.replace('_', ' ')}")
    return answer.row_duals, answer.x


def _refutation(form: ExtensiveForm, within: _Within) -> FloatArray:
    """Multipliers of the program that leaves as few of the required tasks as it can; nothing else counts."""
    given = form.matrices
    rows = np.flatnonzero(given.row_lower > 0.0)
    n, m, k = len(given.objective), len(given.row_lower), len(rows)
    left = csr_array((np.ones(k), (rows, np.arange(k))), shape=(m, k))
    elastic = Matrices(
        objective=np.append(np.zeros(n), -np.ones(k)),
        offset=0.0,
        matrix=csr_array(hstack([given.matrix, left], format="csr")),
        row_lower=given.row_lower,
        row_upper=given.row_upper,
        lower=np.append(given.lower, np.zeros(k)),
        upper=np.append(given.upper, np.ones(k)),
        integer=np.zeros(n + k, dtype=bool),
    )
    found = _relaxed(elastic, within)
    if found is None or found[1][n:].sum() <= 0.0:
        raise Uncheckable("the linear relaxation is feasible")
    return found[0]


def _entries(made: HorizonProgram, form: ExtensiveForm, row_duals: FloatArray) -> Iterator[Entry]:
    """Multipliers of the extensive form in the words of the limits at its nodes."""
    duals = np.nan_to_num(row_duals, nan=0.0, posinf=0.0, neginf=0.0)
    for node, point in enumerate(made.tree.period.tolist()):
        if point == ENDED:
            continue
        rows, first = made.rows[point], int(form.row_start[node])
        mine = duals[first : first + len(rows.limits)]
        for row in np.flatnonzero(mine > 0.0).tolist():
            if rows.limits.kind[row] != LimitKind.TASK:
                y = float(mine[row]) * made.unit / float(rows.units[row])
                yield Entry(*_about(rows, row, made.tree.horizon.depth[point]), y, node=node)


def _about(rows: PointRows, row: int, depth: int) -> tuple[str, tuple[int | float, ...]]:
    """Word of a limit, and whose it is."""
    limits = rows.limits
    kind, owner, detail = LimitKind(limits.kind[row]), int(limits.owner[row]), int(limits.detail[row])
    if kind in (LimitKind.CAPACITY, LimitKind.OPERATOR_CAPACITY):
        return WORDS[kind], (owner, detail)
    if kind == LimitKind.DEADLINE:
        begin, due = int(rows.begins[row]), float(limits.deadline[row])
        return (WORDS[kind], (owner, due)) if begin == depth else ("window", (owner, begin, due))
    if WORDS[kind] == "expected":
        return "expected", (detail, max(owner, 0))
    return WORDS[kind], (owner,)
