"""The model in CVXPY: for each kind of limit one vector inequality, its matrix says what the limit means."""

from __future__ import annotations

from operator import eq, ge, le
from typing import TYPE_CHECKING, Any, TypeAlias

import cvxpy as cp
import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.values import expected_slashing, is_committed, is_eligible, net_reward
from bondwork.program.blocks import with_measures
from bondwork_models._compiled import BOTH, LOWER, UPPER, program_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.program.program import Program
    from bondwork.risk.measure import Measure

# CVXPY is imported without its types, and scipy's leave products and slices open: these say what is meant.
Problem: TypeAlias = Any
Variable: TypeAlias = Any
Matrix: TypeAlias = Any


class CvxpyFormulation:
    """Writes the model down as a ``cvxpy.Problem`` and compiles it to matrices.

    Use it to add constraints of your own in vector algebra, convex ones too. The matrix of each kind of limit
    is an incidence matrix, which says whose an offer is, times what the offer takes of the limit.

    Examples
    --------
    >>> import bondwork
    >>> from bondwork_models.cvxpy import CvxpyFormulation
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op-1"}],
    ...     "coprocessors": [{"id": "cp-1", "free_collateral": 30}],
    ...     "tasks": [
    ...         {"id": "t-1", "operator": "op-1", "reward": 8, "slashing": 16},
    ...         {"id": "t-2", "operator": "op-1", "reward": 4, "slashing": 4},
    ...     ],
    ...     "offers": [
    ...         {"task": "t-1", "coprocessor": "cp-1", "bid": 2, "collateral": 25,
    ...          "success_probability": 0.875},
    ...         {"task": "t-2", "coprocessor": "cp-1", "bid": 1, "collateral": 10,
    ...          "success_probability": 0.75},
    ...     ],
    ... })
    >>> problem = CvxpyFormulation().problem(instance)
    >>> [constraint.shape for constraint in problem.constraints]  # two tasks, one budget of collateral
    [(2,), (1,)]
    >>> print(f"{problem.solve(solver='HIGHS'):.3f}")
    3.000
    >>> CvxpyFormulation().build(instance).matrix.toarray().tolist()
    [[1.0, 0.0], [0.0, 1.0], [25.0, 10.0]]
    """

    def build(
        self, instance: Instance, measures: Sequence[Measure] = (), in_rows: Collection[int] = ()
    ) -> Program:
        """Return the model of ``instance``; see `bondwork.contracts.Formulation`."""
        limits = enumerate_limits(instance)
        columns = np.flatnonzero(is_eligible(instance))
        # CVXPY would list boolean entries one by one, twice: a quarter of its time. The program itself
        # says that every column is 0 or 1, so the relaxed problem is all that it has to compile.
        problem, said = _problem(instance, limits, columns, cp.Variable(len(columns)))
        return with_measures(_compile(problem, said, limits, columns), measures, in_rows)

    def problem(self, instance: Instance) -> Problem:
        """Return the model of ``instance`` as a new ``cvxpy.Problem``.

        Its only variable, ``x``, decides about the eligible offers in ascending order. Its constraints follow
        the order of `bondwork.problem.limits.LimitKind`; a kind that does not occur has none, and within a
        kind equalities come before upper and lower bounds.
        """
        columns = np.flatnonzero(is_eligible(instance))
        x = cp.Variable(len(columns), boolean=True, name="x")
        problem, _ = _problem(instance, enumerate_limits(instance), columns, x)
        return problem


#: What a constraint says, by its id: the rows that it bounds, and from which side.
Said: TypeAlias = "dict[int, tuple[IntArray, int]]"


def _problem(instance: Instance, limits: Limits, columns: IntArray, x: Variable) -> tuple[Problem, Said]:
    offers, tasks = instance.offers, instance.tasks
    operator, is_self = offers.operator[columns], offers.is_self[columns]
    of_task = _incidence(offers.task[columns], len(tasks))
    of_operator = _incidence(operator, len(instance.operators))
    executed_by = _incidence(np.where(is_self, operator, NOBODY), len(instance.operators))
    of_coprocessor = _incidence(offers.coprocessor[columns], len(instance.coprocessors))
    work = offers.work[columns].T
    slashing = instance.claims.slashing[offers.claim[columns]]
    expected_loss = expected_slashing(instance)[columns]

    def due(coprocessor: IntArray, latest: FloatArray) -> Matrix:
        return _until(of_coprocessor[coprocessor], tasks.deadline[offers.task[columns]], latest)

    # What each offer takes of the limits of a kind, given the limits' owners, details and deadlines.
    takes: dict[LimitKind, Callable[[IntArray, IntArray, FloatArray], Matrix]] = {
        LimitKind.TASK: lambda a, _, __: of_task[a],
        LimitKind.CAPACITY: lambda c, k, _: _each(of_coprocessor, work)[k * len(instance.coprocessors) + c],
        LimitKind.OPERATOR_CAPACITY: lambda v, k, _: _each(executed_by, work)[
            k * len(instance.operators) + v
        ],
        LimitKind.COLLATERAL: lambda c, _, __: _times(of_coprocessor, offers.collateral[columns])[c],
        LimitKind.STAKE: lambda v, _, __: _times(of_operator, slashing)[v],
        LimitKind.DEADLINE: lambda c, _, latest: _times(due(c, latest), offers.duration[columns]),
        LimitKind.EXPECTED_LOSS_NETWORK: lambda _, i, __: csr_array(np.tile(expected_loss, (len(i), 1))),
        LimitKind.EXPECTED_LOSS_OPERATOR: lambda v, _, __: _times(of_operator, expected_loss)[v],
        LimitKind.EXPECTED_LOSS_COPROCESSOR: lambda c, _, __: _times(of_coprocessor, expected_loss)[c],
    }
    constraints = []
    said: Said = {}
    for kind, taken in takes.items():
        of_kind = limits.of_kind(kind)
        lower, upper = limits.lower[of_kind], limits.upper[of_kind]
        both = lower == upper
        for side, holds, bounded, bounds in (
            (BOTH, eq, both, upper),
            (UPPER, le, ~both & np.isfinite(upper), upper),
            (LOWER, ge, ~both & np.isfinite(lower), lower),
        ):
            if bounded.any():
                rows = of_kind[bounded]
                matrix = taken(limits.owner[rows], limits.detail[rows], limits.deadline[rows])
                constraint = holds(matrix @ x, bounds[bounded])
                constraints.append(constraint)
                said[constraint.id] = rows, side

    # Whoever is given a task earns its net reward and saves what leaving the task would have cost.
    left = np.where(is_committed(instance), 0.0, tasks.unassigned_cost)
    gained = (net_reward(instance)[columns] + left @ of_task) @ x - left.sum()
    return cp.Problem(cp.Maximize(gained), constraints), said


def _incidence(owner: IntArray, size: int) -> Matrix:
    """Return 1 where the owner in the row has the offer in the column. Shape (size, n)."""
    column = np.flatnonzero(owner != NOBODY)
    return csr_array((np.ones(len(column)), (owner[column], column)), shape=(size, len(owner)))


def _times(incidence: Matrix, values: FloatArray) -> Matrix:
    """Multiply each offer's column by the offer's value."""
    parts = incidence.data * values[incidence.indices], incidence.indices, incidence.indptr
    return csr_array(parts, shape=incidence.shape)


def _each(incidence: Matrix, work: FloatArray) -> Matrix:
    """Stack the incidence times the work of each resource, one resource below the other."""
    return vstack([_times(incidence, used) for used in work], format="csr")


def _until(theirs: Matrix, deadline: FloatArray, latest: FloatArray) -> Matrix:
    """Keep of each row's offers those that have to be done by the row's ``latest``."""
    held = theirs.tocoo()
    due = deadline[held.col] <= latest[held.row]
    return csr_array((held.data[due], (held.row[due], held.col[due])), shape=held.shape)


def _compile(problem: Problem, said: Said, limits: Limits, columns: IntArray) -> Program:
    """Turn the problem into matrices, the constraints recognised by their ids."""
    # The fastest of CVXPY's backends for this model, and it keeps numbers of any size.
    data, _, inverse = problem.get_problem_data(cp.HIGHS, canon_backend="SCIPY", ignore_dpp=True)
    # CVXPY minimises A x <= b, and orders the constraints by cone: first the equalities, then the rest.
    parts = [said[constraint.id] for constraint in data["param_prob"].constraints]
    empty = np.zeros(0, dtype=np.int64)
    row = np.concatenate([empty, *(rows for rows, _ in parts)])
    side = np.concatenate([empty, *(np.full(len(rows), side) for rows, side in parts)])
    sign = np.where(side == LOWER, -1.0, 1.0)
    entries = data["A"].tocoo()
    return program_of(
        limits,
        columns,
        objective=-data["c"],
        offset=-float(inverse[-1]["offset"]),
        matrix=coo_array((sign[entries.row] * entries.data, (entries.row, entries.col)), shape=entries.shape),
        row=row,
        side=side,
        bound=sign * data["b"],
    )
