"""The model in Pyomo's algebra, for people who want to read it, add to it, or write it to an LP file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC
from pyomo.core.expr import LinearExpression
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import coo_array

from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.values import expected_slashing, is_committed, is_eligible, net_reward
from bondwork.program.blocks import with_measures
from bondwork_models._compiled import program_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.program.program import Program
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
        self, instance: Instance, measures: Sequence[Measure] = (), in_rows: Collection[int] = ()
    ) -> Program:
        """Return the model of ``instance``; see `bondwork.contracts.Formulation`."""
        limits = enumerate_limits(instance)
        columns = np.flatnonzero(is_eligible(instance))
        # Looking for garbage among a million new objects takes longer than making them. A Pyomo model refers
        # to itself, so its parts are let go here, or the collector would walk through all of them later.
        with PauseGC():
            model, x = _model(instance, limits, columns)
            program = _compile(model, x, limits, columns)
            model.net_reward.clear()
            model.clear()
        return with_measures(program, measures, in_rows)

    def model(self, instance: Instance) -> Model:
        """Return the model of ``instance`` as a new ``ConcreteModel``.

        ``model.x[j]`` decides about the j-th eligible offer. The constraints are indexed by numbers of the
        instance: ``one_executor[task]``, ``capacity[coprocessor, resource]``,
        ``operator_capacity[operator, resource]``, ``collateral[coprocessor]``, ``stake[operator]``,
        ``deadline[coprocessor, time]``, ``expected_loss_network[limit]``,
        ``expected_loss_operator[operator, limit]`` and ``expected_loss_coprocessor[coprocessor, limit]``.
        ``model.net_reward`` is the objective. ``model.nothing`` is a variable that is always 0.
        """
        limits = enumerate_limits(instance)
        columns = np.flatnonzero(is_eligible(instance))
        with PauseGC():
            return _model(instance, limits, columns)[0]


def _model(instance: Instance, limits: Limits, columns: IntArray) -> tuple[Model, list[Variable]]:
    """Return the model, and its choices in the order of the columns."""
    offers, tasks = instance.offers, instance.tasks
    task, operator, coprocessor = (who[columns] for who in (offers.task, offers.operator, offers.coprocessor))
    work, is_self = offers.work[columns], offers.is_self[columns]
    slashing = instance.claims.slashing[offers.claim[columns]]
    expected_loss = expected_slashing(instance)[columns]

    model = pyo.ConcreteModel(name=instance.name)
    model.offers = pyo.SetOf(range(len(columns)))
    model.x = pyo.Var(model.offers, domain=pyo.Binary)
    # The left side of rows that no offer enters: Pyomo refuses or drops rows without a variable.
    model.nothing = pyo.Var(bounds=(0, 0))
    x = list(model.x.values())
    variables = np.fromiter(x, dtype=object, count=len(x))

    left = tasks.unassigned_cost
    model.net_reward = pyo.Objective(
        expr=LinearExpression(
            constant=-float(left[~is_committed(instance)].sum()),
            linear_coefs=(net_reward(instance)[columns] + left[task]).tolist(),
            linear_vars=x,
        ),
        sense=pyo.maximize,
    )

    def total(coefficient: FloatArray | None, owner: IntArray, due: FloatArray | None = None) -> _Sum:
        return _Sum(variables, model.nothing, coefficient, owner, np.zeros(len(x)) if due is None else due)

    executors = total(None, task)
    delegated = [total(used, coprocessor) for used in work.T]
    executed = [total(np.where(is_self, used, 0.0), operator) for used in work.T]
    posted = total(offers.collateral[columns], coprocessor)
    exposed = total(slashing, operator)
    busy = total(offers.duration[columns], coprocessor, tasks.deadline[task])
    lost = total(expected_loss, np.zeros_like(columns))
    lost_by = total(expected_loss, operator)
    lost_through = total(expected_loss, coprocessor)
    bodies: dict[LimitKind, Callable[..., Expression]] = {
        LimitKind.TASK: executors,
        LimitKind.CAPACITY: lambda c, k: delegated[k](c),
        LimitKind.OPERATOR_CAPACITY: lambda v, k: executed[k](v),
        LimitKind.COLLATERAL: posted,
        LimitKind.STAKE: exposed,
        LimitKind.DEADLINE: busy,
        LimitKind.EXPECTED_LOSS_NETWORK: lambda _: lost(0),
        LimitKind.EXPECTED_LOSS_OPERATOR: lambda v, _: lost_by(v),
        LimitKind.EXPECTED_LOSS_COPROCESSOR: lambda c, _: lost_through(c),
    }
    for kind, body in bodies.items():
        model.add_component(NAMES[kind], _constraint(limits, kind, body))
    return model, x


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


def _compile(model: Model, x: list[Variable], limits: Limits, columns: IntArray) -> Program:
    """Turn the model into matrices; variables and constraints are recognised by identity, never by place."""
    n = len(columns)
    form = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=pyo.maximize)
    constraints = {kind: model.component(NAMES[kind]) for kind in LimitKind}
    row_of = {
        id(constraints[LimitKind(kind)][_key(limits, row)]): row for row, kind in enumerate(limits.kind)
    }
    number = dict(zip(map(id, x), range(n), strict=True))
    number[id(model.nothing)] = -1
    column = np.array([number[id(variable)] for variable in form.columns], dtype=np.int64)
    objective = np.zeros(n)
    terms = form.c.tocoo()
    objective[column[terms.col]] = terms.data
    # ``nothing`` is no column of a program: its rows stay empty.
    entries = form.A.tocoo()
    known = column[entries.col] >= 0
    places = entries.row[known], column[entries.col[known]]
    return program_of(
        limits,
        columns,
        objective=objective,
        offset=float(form.c_offset[0]),
        matrix=coo_array((entries.data[known], places), shape=(len(form.rows), n)),
        row=np.array([row_of[id(constraint)] for constraint, _ in form.rows], dtype=np.int64),
        side=np.array([bound for _, bound in form.rows], dtype=np.int64),
        bound=np.asarray(form.rhs, dtype=np.float64),
    )
