"""Stochastic programs in CVXPY: a vector of decisions and vector inequalities for every node of the tree."""

from __future__ import annotations

from operator import eq, ge, le
from typing import TYPE_CHECKING, Any, TypeAlias

import cvxpy as cp
import numpy as np
from scipy.sparse import coo_array, csr_array

from bondwork_models._compiled import BOTH, LOWER, UPPER
from bondwork_models._staged import form_of, starts

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.stochastic import StochasticProgram

# CVXPY is imported without its types: these say what is meant.
Problem: TypeAlias = Any
Variable: TypeAlias = Any
Expression: TypeAlias = Any

#: What a constraint says, by its id: rows of the extensive form, and which bound of theirs.
Said: TypeAlias = "dict[int, tuple[IntArray, int]]"


def stochastic_problem(program: StochasticProgram) -> Problem:
    """Return a stochastic program as a new ``cvxpy.Problem``.

    Every node with columns has one variable, named after it, whole where all of its columns are. Nodes of
    which only some columns are whole have two: ``NAME`` and, for the whole ones, ``NAME whole``. Where a row
    has a bound and no node on its path has columns, ``nothing``, which is always 0, is its left side.

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
    >>> problem = stochastic_problem(toy)
    >>> [variable.name() for variable in problem.variables()]
    ['now', 'low', 'high']
    >>> print(f"{problem.solve(solver='HIGHS'):.3f}")
    6.000
    """
    variables: list[Variable] = []
    limits = []
    for number, name in enumerate(program.nodes):
        integer, numbers = program.template_of(number).integer, program.node(number)
        x = _decisions(name, integer)
        variables.append(x)
        if x is not None:
            for holds, bounds in ((ge, numbers.lower), (le, numbers.upper)):
                limited = np.flatnonzero(np.isfinite(bounds))
                if len(limited):
                    limits.append(holds(x[limited], bounds[limited]))
    nothing = cp.Variable(1, bounds=[0.0, 0.0], name="nothing")
    problem, _ = _problem(program, variables, nothing)
    return cp.Problem(problem.objective, [*problem.constraints, *limits])


def extensive_form(program: StochasticProgram) -> ExtensiveForm:
    """Compile the CVXPY problem to matrices; the same form as `bondwork.program.extensive.extensive_form`.

    The program itself says which columns are whole and between what, so what is compiled is the relaxed
    problem without the bounds of its columns.
    """
    sizes = [len(program.template_of(number).columns) for number in range(len(program))]
    variables = [cp.Variable(size) if size else None for size in sizes]
    nothing = cp.Variable(1, name="nothing")
    problem, said = _problem(program, variables, nothing)
    data, _, inverse = problem.get_problem_data(cp.HIGHS, canon_backend="SCIPY", ignore_dpp=True)
    column_start, _ = starts(program)
    compiled = data["param_prob"]
    column = np.full(len(data["c"]), -1, dtype=np.int64)
    for number, variable in enumerate(variables):
        # a variable that no row and no cost mentions does not get that far
        if variable is not None and variable.id in compiled.var_id_to_col:
            first = compiled.var_id_to_col[variable.id]
            column[first : first + sizes[number]] = np.arange(column_start[number], column_start[number + 1])
    parts = [said[constraint.id] for constraint in compiled.constraints]
    empty = np.zeros(0, dtype=np.int64)
    row = np.concatenate([empty, *(rows for rows, _ in parts)])
    side = np.concatenate([empty, *(np.full(len(rows), side) for rows, side in parts)])
    sign = np.where(side == LOWER, -1.0, 1.0)
    entries = data["A"].tocoo()
    objective = np.zeros(int(column_start[-1]))
    known = column >= 0  # all but the one that is nothing
    objective[column[known]] = -data["c"][known]
    kept = known[entries.col]
    place = (entries.row[kept], column[entries.col[kept]])
    # CVXPY minimises, whatever the program does: the extensive form maximises
    return form_of(
        program,
        objective=objective,
        offset=-float(inverse[-1]["offset"]),
        matrix=coo_array((sign[place[0]] * entries.data[kept], place), shape=(len(row), len(objective))),
        row=row,
        side=side,
        bound=sign * data["b"],
        lower=_gathered(program, "lower"),
        upper=_gathered(program, "upper"),
        integer=np.concatenate([program.template_of(k).integer for k in range(len(program))]),
    )


def _decisions(name: str, integer: Any) -> Expression:
    """Decisions of a node as one expression; ``None`` where it has none."""
    if not len(integer):
        return None
    if integer.all() or not integer.any():
        return cp.Variable(len(integer), integer=bool(integer.all()), name=name)
    parts = (
        cp.Variable(int((~integer).sum()), name=name),
        cp.Variable(int(integer.sum()), integer=True, name=f"{name} whole"),
    )
    order = np.argsort(np.concatenate([np.flatnonzero(~integer), np.flatnonzero(integer)]))
    return cp.hstack(parts)[order]


def _problem(
    program: StochasticProgram, variables: list[Expression], nothing: Variable
) -> tuple[Problem, Said]:
    column_start, row_start = starts(program)
    constraints: list[Any] = []
    said: Said = {}
    gains: list[Expression] = []
    for number in range(len(program)):
        numbers = program.node(number)
        weight = float(program.probability[number])
        gain = weight * numbers.constant
        if variables[number] is not None:
            gain += (weight * numbers.cost) @ variables[number]
        gains.append(gain)
        path = program.ancestors[number]
        blocks = [(numbers.own, variables[number])]
        blocks += [(matrix, variables[int(path[stage])]) for stage, matrix in numbers.to_ancestors.items()]
        rows = np.arange(row_start[number], row_start[number + 1])
        _bound(constraints, said, blocks, nothing, rows, numbers.row_lower, numbers.row_upper)
    linking = program.linking
    blocks = []
    for number in np.unique(linking.entry_node).tolist():
        mine = linking.entry_node == number
        place = (linking.entry_row[mine], linking.entry_column[mine])
        width = int(column_start[number + 1] - column_start[number])
        matrix = csr_array((linking.entry_value[mine], place), shape=(len(linking), width))
        blocks.append((matrix, variables[number]))
    rows = row_start[-1] + np.arange(len(linking))
    _bound(constraints, said, blocks, nothing, rows, linking.row_lower, linking.row_upper)
    if all(each is None for each in variables):
        gains.append(cp.sum(nothing))  # CVXPY compiles no problem without a variable
    kind = cp.Maximize if program.sense == "max" else cp.Minimize
    return cp.Problem(
        kind(cp.sum(cp.hstack(gains)) if len(gains) > 1 else cp.sum(gains[0])), constraints
    ), said


def _bound(
    constraints: list[Any],
    said: Said,
    blocks: list[tuple[csr_array, Expression]],
    nothing: Variable,
    rows: IntArray,
    lower: FloatArray,
    upper: FloatArray,
) -> None:
    """Bound sums of matrices times decisions from one side or both, equalities first."""
    blocks = [(matrix, x) for matrix, x in blocks if x is not None]
    # a row that no column enters is a row all the same: 0 >= 1 is infeasible
    blocks = blocks or [(csr_array((len(rows), 1)), nothing)]
    both = lower == upper
    for side, holds, bounded, bounds in (
        (BOTH, eq, both, upper),
        (UPPER, le, ~both & np.isfinite(upper), upper),
        (LOWER, ge, ~both & np.isfinite(lower), lower),
    ):
        if not bounded.any():
            continue
        body = sum(matrix[bounded] @ x for matrix, x in blocks)
        constraint = holds(body, bounds[bounded])
        constraints.append(constraint)
        said[constraint.id] = rows[bounded], side


def _gathered(program: StochasticProgram, field: str) -> FloatArray:
    column_start, _ = starts(program)
    values = np.empty(int(column_start[-1]))
    for number in range(len(program)):
        template = program.template_of(number)
        own = program.values(number)[template.spans[field]]
        values[column_start[number] : column_start[number + 1]] = own
    return values
