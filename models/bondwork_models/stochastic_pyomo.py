"""Stochastic programs in Pyomo's algebra: a block for every node of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC
from pyomo.core.expr import LinearExpression
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import coo_array

from bondwork_models._staged import form_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.stochastic import StochasticProgram

# Pyomo has no types: these say what is meant.
Model: TypeAlias = Any
Variable: TypeAlias = Any


def stochastic_model(program: StochasticProgram) -> Model:
    """Return a stochastic program as a new ``ConcreteModel``.

    ``model.node[name]`` is the block of a node: ``x[column]`` are its decisions, ``row[row]`` its rows, and
    ``gain`` is what it adds to the objective, not weighted. ``model.linking[row]`` are rows over several
    nodes, ``model.total`` is the objective. ``model.nothing`` is a variable that is always 0: the left side
    of rows that no column enters. Rows without a bound are left out.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1], nodes=["now", "low", "high"],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> model = stochastic_model(toy)
    >>> print(model.node["low"].row["stock"].expr)
    - node[now].x[x] + node[low].x[y]  <=  0.0
    >>> model.node["high"].x["y"].ub
    6.0
    """
    with PauseGC():
        model, _, _ = _model(program)
    return model


def extensive_form(program: StochasticProgram) -> ExtensiveForm:
    """Compile the Pyomo model to matrices; the same form as `bondwork.program.extensive.extensive_form`."""
    with PauseGC():
        model, x, rows = _model(program)
        form = _compile(program, model, x, rows)
        model.clear()
    return form


def _model(program: StochasticProgram) -> tuple[Model, list[Variable], list[Any]]:
    """Return the model, its decisions and its rows, both in the order of the extensive form.

    A row that bounds nothing is ``None``.
    """
    model = pyo.ConcreteModel(name=program.name)
    model.nothing = pyo.Var(bounds=(0, 0))
    model.node = pyo.Block(list(program.nodes))
    variables: list[list[Variable]] = []
    rows: list[Any] = []
    gains = []
    for number, name in enumerate(program.nodes):
        block, template, numbers = model.node[name], program.template_of(number), program.node(number)
        block.x = pyo.Var(list(template.columns))
        for k, column in enumerate(template.columns):
            variable = block.x[column]
            variable.domain = pyo.Integers if template.integer[k] else pyo.Reals
            variable.setlb(_finite(numbers.lower[k]))
            variable.setub(_finite(numbers.upper[k]))
        variables.append([block.x[column] for column in template.columns])
        gain = _sum(numbers.cost, variables[number], model.nothing, numbers.constant)
        block.gain = pyo.Expression(expr=gain)
        gains.append((float(program.probability[number]), numbers.constant, numbers.cost, variables[number]))
        path = [variables[each] for each in program.ancestors[number].tolist() if each >= 0]
        along = [variable for each in path for variable in each]
        offsets = np.cumsum([0] + [len(each) for each in path])
        entries = program.values(number)[template.spans["entries"]]
        place = offsets[template.entry_stage] + template.entry_column
        block.row = pyo.Constraint(list(template.rows))
        for k, row in enumerate(template.rows):
            mine = (template.entry_row == k) & (entries != 0.0)
            body = _sum(entries[mine], [along[i] for i in place[mine].tolist()], model.nothing)
            rows.append(_add(block.row, row, body, numbers.row_lower[k], numbers.row_upper[k]))
    rows += _link(model, program, variables)
    weights = np.concatenate([weight * cost for weight, _, cost, _ in gains])
    everything = [variable for each in variables for variable in each]
    model.total = pyo.Objective(
        expr=_sum(weights, everything, model.nothing, sum(w * constant for w, constant, _, _ in gains)),
        sense=pyo.maximize if program.sense == "max" else pyo.minimize,
    )
    return model, everything, rows


def _link(model: Model, program: StochasticProgram, variables: list[list[Variable]]) -> list[Any]:
    linking = program.linking
    model.linking = pyo.Constraint(list(linking.rows))
    added = []
    for k, row in enumerate(linking.rows):
        mine = np.flatnonzero((linking.entry_row == k) & (linking.entry_value != 0.0))
        places = zip(linking.entry_node[mine].tolist(), linking.entry_column[mine].tolist(), strict=True)
        body = _sum(linking.entry_value[mine], [variables[i][j] for i, j in places], model.nothing)
        added.append(_add(model.linking, row, body, linking.row_lower[k], linking.row_upper[k]))
    return added


def _sum(
    coefficients: FloatArray, variables: Sequence[Variable], nothing: Variable, constant: float = 0.0
) -> Any:
    if not variables:
        return nothing + constant
    return LinearExpression(
        constant=constant, linear_coefs=coefficients.tolist(), linear_vars=list(variables)
    )


def _add(constraint: Any, name: str, body: Any, lower: float, upper: float) -> Any:
    if not (np.isfinite(lower) or np.isfinite(upper)):
        return None
    constraint.add(name, (_finite(lower), body, _finite(upper)))
    return constraint[name]


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _compile(program: StochasticProgram, model: Model, x: list[Variable], rows: list[Any]) -> ExtensiveForm:
    """Turn the model into matrices; variables and constraints are recognised by identity, never by place."""
    form = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=pyo.maximize)
    number = {id(variable): k for k, variable in enumerate(x)}
    number[id(model.nothing)] = -1
    column = np.array([number[id(variable)] for variable in form.columns], dtype=np.int64)
    row_of = {id(row): k for k, row in enumerate(rows) if row is not None}
    objective = np.zeros(len(x))
    terms = form.c.tocoo()
    known = column[terms.col] >= 0
    objective[column[terms.col[known]]] = terms.data[known]
    entries = form.A.tocoo()
    known = column[entries.col] >= 0
    places = entries.row[known], column[entries.col[known]]
    return form_of(
        program,
        objective=objective,
        offset=float(form.c_offset[0]),
        matrix=coo_array((entries.data[known], places), shape=(len(form.rows), len(x))),
        row=np.array([row_of[id(constraint)] for constraint, _ in form.rows], dtype=np.int64),
        side=np.array([bound for _, bound in form.rows], dtype=np.int64),
        bound=np.asarray(form.rhs, dtype=np.float64),
        lower=np.array([-np.inf if each.lb is None else each.lb for each in x], dtype=np.float64),
        upper=np.array([np.inf if each.ub is None else each.ub for each in x], dtype=np.float64),
        integer=np.array([each.is_integer() for each in x], dtype=np.bool_),
    )
