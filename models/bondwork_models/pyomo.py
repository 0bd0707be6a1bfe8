"""The model in Pyomo's algebra, for people who want to read it, add to it, or write it to an LP file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC
from pyomo.core.expr import LinearExpression
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import coo_array

from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.teams import enumerate_teams, member_slashing, team_slashing, team_value
from bondwork.problem.values import at_stake, is_committed, posted
from bondwork.program.loads import Pieces, start_value, work_of_rows
from bondwork_models._compiled import Beside, program_of
from bondwork_models._pyomo_parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.risk.measure import Measure

# Pyomo has no types: these say what is meant.
Model: TypeAlias = Any
Variable: TypeAlias = Any
Expression: TypeAlias = Any

#: What the constraint of each kind of limit is called in the model.
NAMES = {
    LimitKind.TASK: "one_executor",
    LimitKind.CAPACITY: "capacity",
    LimitKind.OPERATOR_CAPACITY: "operator_capacity",
    LimitKind.COLLATERAL: "collateral",
    LimitKind.STAKE: "stake",
    LimitKind.DEADLINE: "deadline",
    LimitKind.EXPECTED_LOSS_NETWORK: "expected_loss_network",
    LimitKind.EXPECTED_LOSS_OPERATOR: "expected_loss_operator",
    LimitKind.EXPECTED_LOSS_COPROCESSOR: "expected_loss_coprocessor",
}


class PyomoFormulation:
    """Writes the model down as a Pyomo ``ConcreteModel`` and compiles it to matrices.

    Use it to read the model, to add constraints of your own, or to hand it to another solver. For large
    rounds `bondwork_models.highs` builds the same matrices some fifty times faster.

    Examples
    --------
    >>> import bondwork
    >>> from bondwork_models.pyomo import PyomoFormulation
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
    >>> model = PyomoFormulation().model(instance)
    >>> print(model.collateral[0].expr)
    25.0*x[0] + 10.0*x[1]  <=  30.0
    >>> print(model.net_reward.expr)
    3.0*x[0] + x[1]
    >>> PyomoFormulation().build(instance).matrix.toarray().tolist()
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
        # Looking for garbage among a million new objects takes longer than making them. A Pyomo model refers
        # to itself, so its parts are let go here, or the collector would walk through all of them later.
        beside = Beside.of(limits, teams, measures, in_rows, mean_risk)
        with PauseGC():
            model, parts = _model(instance, limits, teams, beside)
            program = _compile(model, parts, limits, teams)
            model.net_reward.clear()
            model.clear()
        return beside.noted(program)

    def stochastic_model(self, program: StochasticProgram) -> Model:
        """Return a stochastic program as a ``ConcreteModel``; see `bondwork_models.stochastic_pyomo`."""
        from bondwork_models.stochastic_pyomo import stochastic_model

        return stochastic_model(program)

    def extensive_form(self, program: StochasticProgram) -> ExtensiveForm:
        """Compile a stochastic program to matrices; see `bondwork_models.stochastic_pyomo`."""
        from bondwork_models.stochastic_pyomo import extensive_form

        return extensive_form(program)

    def model(
        self,
        instance: Instance,
        measures: Sequence[Measure] = (),
        in_rows: Collection[int] | None = None,
        teams: Teams | None = None,
        *,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Model:
        """Return the model of ``instance`` as a new ``ConcreteModel``.

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
        ``model.x[j]`` decides about the j-th team of `bondwork.problem.teams.enumerate_teams`: without
        replicas about the j-th eligible offer. The constraints are indexed by numbers of the instance:
        ``one_executor[task]``, ``capacity[coprocessor, resource]``,
        ``operator_capacity[operator, resource]``, ``collateral[coprocessor]``, ``stake[operator]``,
        ``deadline[coprocessor, time]``, ``expected_loss_network[limit]``,
        ``expected_loss_operator[operator, limit]`` and ``expected_loss_coprocessor[coprocessor, limit]``.
        ``model.net_reward`` is the objective. ``model.nothing`` is a variable that is always 0.

        ``model.tail_limit[number]`` is a block for each of the measures written down, ``model.mean_risk`` one
        for the risk in the objective: `bondwork_models._pyomo_parts.Parts.add_measure` says what is in them.
        ``model.load_incentive`` has the load incentives: ``used[piece]`` is the share of a straight piece
        that is used, ``opened[run]`` a binary where the curve is not concave, ``level[number]`` the load of
        the coprocessors with an incentive, in their order.
        """
        limits = enumerate_limits(instance)
        teams = enumerate_teams(instance) if teams is None else teams
        with PauseGC():
            return _model(instance, limits, teams, Beside.of(limits, teams, measures, in_rows, mean_risk))[0]


def _model(instance: Instance, limits: Limits, teams: Teams, beside: Beside) -> tuple[Model, Parts]:
    """Return the model, and what is in it: its choices in the order of the columns, and what is beside."""
    offers, tasks, claims, member = instance.offers, instance.tasks, instance.claims, teams.member
    task, operator = claims.task[teams.claim], claims.operator[teams.claim]
    expected_loss = team_slashing(instance, teams)
    coprocessor, executing = offers.coprocessor[member], offers.operator[member]
    work, is_self = offers.work[member], offers.is_self[member]

    model = pyo.ConcreteModel(name=instance.name)
    model.teams = pyo.SetOf(range(len(teams)))
    model.x = pyo.Var(model.teams, domain=pyo.Binary)
    # The left side of rows that no offer enters: Pyomo refuses or drops rows without a variable.
    model.nothing = pyo.Var(bounds=(0, 0))
    x = list(model.x.values())
    variables = np.fromiter(x, dtype=object, count=len(x))

    left = tasks.unassigned_cost
    earned = LinearExpression(
        constant=-float(left[~is_committed(instance)].sum()),
        linear_coefs=(team_value(instance, teams) + left[task]).tolist(),
        linear_vars=x,
    )
    parts = Parts(variables, model.nothing)
    model.net_reward = pyo.Objective(
        expr=_with_beside(model, parts, earned, limits, teams, beside), sense=pyo.maximize
    )

    # What is the task's counts once a team, what is the executor's once a member.
    def total(coefficient: FloatArray | None, owner: IntArray) -> _Sum:
        return _Sum(variables, model.nothing, coefficient, owner, np.zeros(len(owner)))

    joined = variables[teams.team]

    def summed(coefficient: FloatArray, owner: IntArray, due: FloatArray | None = None) -> _Sum:
        return _Sum(joined, model.nothing, coefficient, owner, np.zeros(len(owner)) if due is None else due)

    executors = total(None, task)
    delegated = [summed(used, coprocessor) for used in work.T]
    executed = [summed(np.where(is_self, used, 0.0), executing) for used in work.T]
    collateral = summed(posted(instance)[member], coprocessor)
    exposed = total(at_stake(instance)[teams.claim], operator)
    busy = summed(offers.duration[member], coprocessor, tasks.deadline[offers.task[member]])
    lost = total(expected_loss, np.zeros_like(operator))
    lost_by = total(expected_loss, operator)
    lost_through = summed(member_slashing(instance, teams), coprocessor)
    bodies: dict[LimitKind, Callable[..., Expression]] = {
        LimitKind.TASK: executors,
        LimitKind.CAPACITY: lambda c, k: delegated[k](c),
        LimitKind.OPERATOR_CAPACITY: lambda v, k: executed[k](v),
        LimitKind.COLLATERAL: collateral,
        LimitKind.STAKE: exposed,
        LimitKind.DEADLINE: busy,
        LimitKind.EXPECTED_LOSS_NETWORK: lambda _: lost(0),
        LimitKind.EXPECTED_LOSS_OPERATOR: lambda v, _: lost_by(v),
        LimitKind.EXPECTED_LOSS_COPROCESSOR: lambda c, _: lost_through(c),
    }
    for kind, body in bodies.items():
        model.add_component(NAMES[kind], _constraint(limits, kind, body))
    return model, parts


def _with_beside(
    model: Model, parts: Parts, earned: Expression, limits: Limits, teams: Teams, beside: Beside
) -> Expression:
    """Put what is beside choices and limits into the model; return the objective."""
    terms: list[tuple[float, Expression]] = [(1.0, earned)]
    if beside.loads:
        model.load_incentive = pyo.Block()
        pieces = Pieces.of(beside.loads)
        gained = parts.add_loads(model.load_incentive, pieces, work_of_rows(limits, teams, pieces.row))
        terms += [(1.0, gained), (1.0, LinearExpression(constant=start_value(beside.loads)))]
    if beside.in_rows:
        model.tail_limit = pyo.Block(list(beside.in_rows))
        for number in beside.in_rows:
            parts.add_measure(model.tail_limit[number], beside.measures[number])
    if beside.mean_risk is not None:
        weight, measure = beside.mean_risk
        model.mean_risk = pyo.Block()
        terms = [((1.0 - weight) * factor, each) for factor, each in terms]
        terms.append((-weight, parts.add_measure(model.mean_risk, measure, limited=False)))
    if len(terms) == 1:
        return earned
    return LinearExpression(
        constant=sum(factor * each.constant for factor, each in terms),
        linear_coefs=[factor * each_coef for factor, each in terms for each_coef in each.linear_coefs],
        linear_vars=[variable for _, each in terms for variable in each.linear_vars],
    )


@dataclass
class _Sum:
    """Sums ``coefficient * x``, or just ``x``, over the offers of one owner, or those of them due by a time.

    The offers are sorted by owner and due time when the first sum is asked for; each sum is then a slice.
    """

    x: NDArray[np.object_]
    nothing: Variable
    coefficient: FloatArray | None
    owner: IntArray
    due: FloatArray

    @cached_property
    def _order(self) -> IntArray:
        order: IntArray = np.lexsort((self.due, self.owner))
        return order if self.coefficient is None else order[self.coefficient[order] != 0.0]

    @cached_property
    def _owners(self) -> IntArray:
        return self.owner[self._order]

    @cached_property
    def _variables(self) -> list[Variable]:
        return list(self.x[self._order])

    @cached_property
    def _coefficients(self) -> list[float] | None:
        return None if self.coefficient is None else self.coefficient[self._order].tolist()

    def __call__(self, owner: int, latest: float = np.inf) -> Expression:
        first, last = np.searchsorted(self._owners, (owner, owner + 1)).tolist()
        due = self.due[self._order[first:last]]
        last = first + int(np.searchsorted(due, latest, side="right"))
        if first == last:
            return self.nothing
        variables = self._variables[first:last]
        if self._coefficients is None:
            return LinearExpression(variables)
        return LinearExpression(linear_coefs=self._coefficients[first:last], linear_vars=variables)


def _constraint(limits: Limits, kind: LimitKind, body: Callable[..., Expression]) -> Any:
    rows = {_key(limits, row): row for row in limits.of_kind(kind).tolist()}

    def rule(_: Model, *key: float) -> tuple[float | None, Expression, float | None]:
        row = rows[key]
        lower, upper = float(limits.lower[row]), float(limits.upper[row])
        return None if lower == -np.inf else lower, body(*key), None if upper == np.inf else upper

    return pyo.Constraint(list(rows), rule=rule)


def _key(limits: Limits, row: int) -> tuple[float, ...]:
    """Index of a limit within the constraint of its kind, as `PyomoFormulation.model` documents it."""
    owner, detail = int(limits.owner[row]), int(limits.detail[row])
    match LimitKind(limits.kind[row]):
        case LimitKind.TASK | LimitKind.COLLATERAL | LimitKind.STAKE:
            return (owner,)
        case LimitKind.DEADLINE:
            return owner, float(limits.deadline[row])
        case LimitKind.EXPECTED_LOSS_NETWORK:
            return (detail,)
        case _:
            return owner, detail


def _compile(model: Model, parts: Parts, limits: Limits, teams: Teams) -> Program:
    """Turn the model into matrices; variables and constraints are recognised by identity, never by place."""
    n = len(teams)
    form = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=pyo.maximize)
    constraints = {kind: model.component(NAMES[kind]) for kind in LimitKind}
    row_of = {
        id(constraints[LimitKind(kind)][_key(limits, row)]): row for row, kind in enumerate(limits.kind)
    }
    row_of |= {id(each): len(limits) + i for i, each in enumerate(parts.constraints)}
    width = n + len(parts.variables)
    number = dict(zip(map(id, chain(parts.x, parts.variables)), range(width), strict=True))
    number[id(model.nothing)] = -1
    column = np.array([number[id(variable)] for variable in form.columns], dtype=np.int64)
    objective = np.zeros(width)
    terms = form.c.tocoo()
    objective[column[terms.col]] = terms.data
    # ``nothing`` is no column of a program: its rows stay empty.
    entries = form.A.tocoo()
    known = column[entries.col] >= 0
    places = entries.row[known], column[entries.col[known]]
    return program_of(
        limits,
        teams,
        objective=objective,
        offset=float(form.c_offset[0]),
        matrix=coo_array((entries.data[known], places), shape=(len(form.rows), width)),
        row=np.array([row_of[id(constraint)] for constraint, _ in form.rows], dtype=np.int64),
        side=np.array([bound for _, bound in form.rows], dtype=np.int64),
        bound=np.asarray(form.rhs, dtype=np.float64),
        upper=np.array([float(each.ub) for each in parts.variables]),
        binary=np.array([each.is_binary() for each in parts.variables], dtype=np.bool_),
    )
