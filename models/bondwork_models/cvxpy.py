"""The model in CVXPY: for each kind of limit one vector inequality, its matrix says what the limit means."""

from __future__ import annotations

from operator import eq, ge, le
from typing import TYPE_CHECKING, Any, TypeAlias

import cvxpy as cp
import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.teams import enumerate_teams, member_slashing, team_slashing, team_value
from bondwork.problem.values import at_stake, is_committed, posted
from bondwork.program.loads import Pieces, start_value, work_of_rows
from bondwork_models._compiled import BOTH, LOWER, UPPER, Beside, program_of
from bondwork_models._cvxpy_parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.risk.measure import Measure

# CVXPY is imported without its types, and scipy's leave products and slices open: these say what is meant.
Problem: TypeAlias = Any
Variable: TypeAlias = Any
Expression: TypeAlias = Any
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
        self,
        instance: Instance,
        measures: Sequence[Measure] = (),
        in_rows: Collection[int] = (),
        teams: Teams | None = None,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Program:
        """Return the model of ``instance``; see `bondwork.contracts.Formulation`."""
        limits = enumerate_limits(instance)
        teams = enumerate_teams(instance) if teams is None else teams
        # CVXPY would list boolean entries one by one, twice: a quarter of its time. The program itself
        # says that every column is 0 or 1, so the relaxed problem is all that it has to compile.
        parts = Parts(cp.Variable(len(teams)), plain=True)
        beside = Beside.of(limits, teams, measures, in_rows, mean_risk)
        problem, said = _problem(instance, limits, teams, parts, beside)
        return beside.noted(_compile(problem, said, limits, teams, parts))

    def stochastic_problem(self, program: StochasticProgram) -> Problem:
        """Return a stochastic program as a ``cvxpy.Problem``; see `bondwork_models.stochastic_cvxpy`."""
        from bondwork_models.stochastic_cvxpy import stochastic_problem

        return stochastic_problem(program)

    def extensive_form(self, program: StochasticProgram) -> ExtensiveForm:
        """Compile a stochastic program to matrices; see `bondwork_models.stochastic_cvxpy`."""
        from bondwork_models.stochastic_cvxpy import extensive_form

        return extensive_form(program)

    def problem(
        self,
        instance: Instance,
        measures: Sequence[Measure] = (),
        in_rows: Collection[int] | None = None,
        teams: Teams | None = None,
        *,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Problem:
        """Return the model of ``instance`` as a new ``cvxpy.Problem``.

        Parameters
        ----------
        instance
            The round.
        measures, in_rows
            Tail limits, from `bondwork.road.sample_risk`, and the numbers of those to write down: all
            if left out.
        teams
            What the choices decide about; default: as `bondwork.solve` does.
        mean_risk
            Weight and measure of the mean-risk objective, from `bondwork.road.sample_risk`, too.

        Notes
        -----
        The variable ``x`` decides about the teams of `bondwork.problem.teams.enumerate_teams`: without
        replicas about the eligible offers in ascending order. The constraints follow the order of
        `bondwork.problem.limits.LimitKind`; a kind that does not occur has none, and within a kind equalities
        come before upper and lower bounds. Then come those of load incentives, tail limits and the mean-risk
        objective with their variables, see `bondwork_models._cvxpy_parts.Parts`.
        """
        limits = enumerate_limits(instance)
        teams = enumerate_teams(instance) if teams is None else teams
        parts = Parts(cp.Variable(len(teams), boolean=True, name="x"), plain=False)
        beside = Beside.of(limits, teams, measures, in_rows, mean_risk)
        return _problem(instance, limits, teams, parts, beside)[0]


#: What a constraint says, by its id: the rows that it bounds, and from which side.
Said: TypeAlias = "dict[int, tuple[IntArray, int]]"


def _problem(
    instance: Instance, limits: Limits, teams: Teams, parts: Parts, beside: Beside
) -> tuple[Problem, Said]:
    x = parts.x
    offers, tasks, claims, member = instance.offers, instance.tasks, instance.claims, teams.member
    # The task and the operator are the team's, of which some limits take; the rest take of each member.
    of_task = _incidence(claims.task[teams.claim], len(tasks))
    of_operator = _incidence(claims.operator[teams.claim], len(instance.operators))
    slashing, collateral = at_stake(instance)[teams.claim], posted(instance)[member]
    expected_loss = team_slashing(instance, teams)
    executing = np.where(offers.is_self[member], offers.operator[member], NOBODY)
    executed_by = _incidence(executing, len(instance.operators))
    of_coprocessor = _incidence(offers.coprocessor[member], len(instance.coprocessors))
    work = offers.work[member].T
    joined = _incidence(teams.team, len(teams)).T

    def due(coprocessor: IntArray, latest: FloatArray) -> Matrix:
        return _until(of_coprocessor[coprocessor], tasks.deadline[offers.task[member]], latest)

    # What each team takes of the limits of a kind, given the limits' owners, details and deadlines.
    takes: dict[LimitKind, Callable[[IntArray, IntArray, FloatArray], Matrix]] = {
        LimitKind.TASK: lambda a, _, __: of_task[a],
        LimitKind.CAPACITY: lambda c, k, _: (
            _each(of_coprocessor, work)[k * len(instance.coprocessors) + c] @ joined
        ),
        LimitKind.OPERATOR_CAPACITY: lambda v, k, _: (
            _each(executed_by, work)[k * len(instance.operators) + v] @ joined
        ),
        LimitKind.COLLATERAL: lambda c, _, __: _times(of_coprocessor, collateral)[c] @ joined,
        LimitKind.STAKE: lambda v, _, __: _times(of_operator, slashing)[v],
        LimitKind.DEADLINE: lambda c, _, latest: _times(due(c, latest), offers.duration[member]) @ joined,
        LimitKind.EXPECTED_LOSS_NETWORK: lambda _, i, __: csr_array(np.tile(expected_loss, (len(i), 1))),
        LimitKind.EXPECTED_LOSS_OPERATOR: lambda v, _, __: _times(of_operator, expected_loss)[v],
        LimitKind.EXPECTED_LOSS_COPROCESSOR: lambda c, _, __: (
            _times(of_coprocessor, member_slashing(instance, teams))[c] @ joined
        ),
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
    gained = (team_value(instance, teams) + left @ of_task) @ x - left.sum()
    objective = _with_beside(parts, gained, limits, teams, beside)
    first = len(limits)
    for constraint in parts.constraints:
        # whichever way it was written, it is compiled as "at most"
        side = BOTH if isinstance(constraint, cp.constraints.Equality) else UPPER
        said[constraint.id] = first + np.arange(constraint.size), side
        first += constraint.size
    return cp.Problem(cp.Maximize(objective), constraints + parts.constraints), said


def _with_beside(
    parts: Parts, gained: Expression, limits: Limits, teams: Teams, beside: Beside
) -> Expression:
    """Write down what is beside choices and limits; return the objective."""
    if beside.loads:
        pieces = Pieces.of(beside.loads)
        gained += parts.add_loads(pieces, work_of_rows(limits, teams, pieces.row))
        gained += start_value(beside.loads)
    for number in beside.in_rows:
        parts.add_measure(beside.measures[number])
    if beside.mean_risk is None:
        return gained
    weight, measure = beside.mean_risk
    return (1.0 - weight) * gained - weight * parts.add_measure(measure, limited=False)


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


def _compile(problem: Problem, said: Said, limits: Limits, teams: Teams, parts: Parts) -> Program:
    """Turn the problem into matrices, the constraints recognised by their ids."""
    # The fastest of CVXPY's backends for this model, and it keeps numbers of any size.
    data, _, inverse = problem.get_problem_data(cp.HIGHS, canon_backend="SCIPY", ignore_dpp=True)
    # CVXPY minimises A x <= b, and orders the constraints by cone: first the equalities, then the rest.
    compiled = data["param_prob"]
    known = [said[constraint.id] for constraint in compiled.constraints]
    empty = np.zeros(0, dtype=np.int64)
    row = np.concatenate([empty, *(rows for rows, _ in known)])
    side = np.concatenate([empty, *(np.full(len(rows), side) for rows, side in known)])
    sign = np.where(side == LOWER, -1.0, 1.0)
    entries = data["A"].tocoo()
    # and it orders the variables by their ids, those without a size left out
    made = [each for each in parts.all_variables() if each.size]
    columns = [compiled.var_id_to_col[each.id] + np.arange(each.size) for each in made]
    place = np.concatenate([empty, *columns])
    column = np.empty_like(place)
    column[place] = np.arange(len(place))
    return program_of(
        limits,
        teams,
        objective=-data["c"][place],
        offset=-float(inverse[-1]["offset"]),
        matrix=coo_array(
            (sign[entries.row] * entries.data, (entries.row, column[entries.col])), shape=entries.shape
        ),
        row=row,
        side=side,
        bound=sign * data["b"],
        upper=np.concatenate([np.zeros(0), *(upper for _, upper, _ in parts.variables)]),
        binary=np.repeat(
            np.array([binary for _, _, binary in parts.variables], dtype=np.bool_),
            [len(upper) for _, upper, _ in parts.variables],
        ),
    )
