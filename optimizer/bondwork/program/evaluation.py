"""What a decision is worth: the expected value of a root decision over scenarios, with its standard error.

The root's decision is held fixed; in each scenario the best recourse is found. A scenario is a child of the
root with all that hangs below it: in two stages one small program, linear ones solved from each other's basis
(`bondwork.solver.warm`); in more a program of its own, non-anticipativity within it included.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.arrays import freeze_fields
from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import Fault, InvalidInput, Refusal
from bondwork.program.extensive import extensive_form
from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program
from bondwork.solver.warm import WarmLP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.program.template import NodeTemplate

#: How far a decision may break a limit of the root, relative to the sizes of what it adds up.
ROOT_TOLERANCE = PROGRAM_ROW

# Numbers of one batch of scenarios that are gathered at once: 64 MB.
_NUMBERS = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Expected value of a root decision. Amounts in the unit and the sense of the program.

    Attributes
    ----------
    status
        ``optimal`` where every scenario was solved to the end, ``infeasible`` where one leaves no recourse;
        else the limit that was reached.
    objective
        Expected value; the worst there is (``-inf`` when maximising) where a scenario leaves no recourse, and
        ``nan`` where not every scenario was solved.
    standard_error
        Of ``objective`` as an estimate, where the scenarios are ``draws`` independent draws; ``None`` where
        they are the whole law.
    values, probability
        Shape (S,). Value of every scenario, the root's part included, and what it counts.
    infeasible
        Names of the scenarios that leave no recourse.
    """

    status: Status
    objective: float
    standard_error: float | None
    values: FloatArray
    probability: FloatArray
    infeasible: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze_fields(self, "values", "probability")


def evaluate(
    program: StochasticProgram,
    root: FloatArray | Mapping[str, float],
    options: Options | None = None,
    observer: Observer | None = None,
    *,
    draws: int | None = None,
) -> Evaluation:
    """Work out the expected value of a root decision, with the best recourse in every scenario.

    Parameters
    ----------
    program
        Its scenarios are the children of the root with all below them. Those of probability 0 are left out.
    root
        Shape (columns of the root,), or by the name of each column.
    options
        For every solve; the time limit is for all of them together.
    observer
        Asked between scenarios whether to stop.
    draws
        Of how many independent draws the program's probabilities are the shares (equal draws are one
        scenario); gives the standard error. Leave it out where the scenarios are the whole law.

    Raises
    ------
    InvalidInput
        A decision that is none of the root's: its shape, its columns, or a limit of the root that it breaks.
    Refusal
        Recourse that is unbounded, or limits that link scenarios.

    Notes
    -----
    Recourse with whole columns is found to ``options.mip_rel_gap``: the value is then of what was found, on
    the safe side. Not for policies: a rule for later decisions is worth at most this.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> evaluation = evaluate(toy, {"x": 4.0})
    >>> evaluation.objective, evaluation.values.tolist()
    (5.0, [2.0, 8.0])
    """
    options, watch = options or Options(), observer or Silence()
    refuse_linking(program, "evaluation")
    sign = 1.0 if program.sense == "max" else -1.0
    x = _root_decision(program, root)
    deadline = time.perf_counter() + options.time_limit
    scenarios = np.flatnonzero((program.stage == 1) & (program.probability > 0.0))
    weight = program.probability[scenarios] / program.probability[scenarios].sum()
    values, infeasible = np.full(len(scenarios), np.nan), []
    status: Status = "optimal"
    place = {node: number for number, node in enumerate(scenarios.tolist())}
    for node, ended, value in _recourse(program, x, scenarios, sign, options, watch, deadline):
        if ended == "infeasible":
            infeasible.append(program.nodes[node])
            value = -math.inf  # noqa: PLW2901 - what no recourse is worth
        elif ended == "dual_infeasible":
            raise Refusal([f"recourse in scenario {program.nodes[node]} is unbounded: it has no value"])
        elif ended != "optimal" and not math.isfinite(value):
            status = ended
            break
        elif ended != "optimal":
            status = ended
        values[place[node]] = value
    numbers = program.node(0)
    values = sign * values + numbers.constant + float(numbers.cost @ x)
    if infeasible:
        status = "infeasible" if status == "optimal" else status
    objective = float("nan") if np.any(np.isnan(values)) else float(weight @ values)
    return Evaluation(
        status, objective, _standard_error(values, weight, draws), values, weight, tuple(infeasible)
    )


def refuse_linking(program: StochasticProgram, who: str) -> None:
    """Refuse a program whose scenarios are linked by rows of their own: they cannot be taken one by one.

    Raises
    ------
    Refusal
        The program has such rows.
    """
    if len(program.linking) or len(program.linking.joint_node):
        raise Refusal([f"{who} takes scenarios one by one, and this program has rows that link them"])


def _standard_error(values: FloatArray, weight: FloatArray, draws: int | None) -> float | None:
    """Of the weighted mean of values that stand for ``draws`` independent draws."""
    if draws is None or draws < 2 or not np.all(np.isfinite(values)):
        return None
    mean = float(weight @ values)
    variance = float(weight @ (values - mean) ** 2) * draws / (draws - 1)
    return math.sqrt(variance / draws)


def _root_decision(program: StochasticProgram, root: FloatArray | Mapping[str, float]) -> FloatArray:
    """Check a decision against the root's own limits; whole columns become whole."""
    kind, numbers = program.template_of(0), program.node(0)
    if isinstance(root, np.ndarray):
        if root.shape != (len(kind.columns),):
            raise InvalidInput([Fault("root", f"shape {root.shape}", f"({len(kind.columns)},)")])
        x = root.astype(np.float64)
    else:
        strangers = [name for name in root if name not in set(kind.columns)]
        faults = [Fault(f"root.{name}", "a value", "a column of the root") for name in strangers]
        faults += [Fault(f"root.{name}", "nothing", "a value") for name in kind.columns if name not in root]
        if faults:
            raise InvalidInput(faults)
        x = np.array([root[name] for name in kind.columns], dtype=np.float64)
    whole = np.where(kind.integer, np.round(x), x)
    slack = ROOT_TOLERANCE * np.maximum(np.abs(x), 1.0)
    outside = (x < numbers.lower - slack) | (x > numbers.upper + slack) | (np.abs(whole - x) > slack)
    outside |= ~np.isfinite(x)
    faults = [
        Fault(
            f"root.{kind.columns[at]}",
            f"{x[at]:g}",
            f"{'a whole' if kind.integer[at] else 'a'} number from {numbers.lower[at]:g} to "
            f"{numbers.upper[at]:g}",
        )
        for at in np.flatnonzero(outside)
    ]
    if faults:
        raise InvalidInput(faults)
    whole = np.clip(whole, numbers.lower, numbers.upper)
    activity = numbers.own @ whole
    slack = ROOT_TOLERANCE * np.maximum(abs(numbers.own) @ np.abs(whole), 1.0)
    broken = (activity < numbers.row_lower - slack) | (activity > numbers.row_upper + slack)
    if broken.any():
        raise InvalidInput(
            Fault(
                f"root row {kind.rows[at]}",
                f"{activity[at]:g}",
                f"from {numbers.row_lower[at]:g} to {numbers.row_upper[at]:g}",
            )
            for at in np.flatnonzero(broken)
        )
    return whole


def _recourse(
    program: StochasticProgram,
    x: FloatArray,
    scenarios: IntArray,
    sign: float,
    options: Options,
    observer: Observer,
    deadline: float,
) -> Iterator[tuple[int, Status, float]]:
    """Node, status and value (of the maximisation) of every scenario's recourse."""
    if len(program.stages) > 2:
        yield from _subtrees(program, x, scenarios, sign, options, observer, deadline)
        return
    for number, kind in enumerate(program.templates):
        nodes = scenarios[program.template[scenarios] == number]
        if not len(nodes):
            continue
        if kind.integer.any():
            yield from _whole(program, x, nodes, sign, options, observer, deadline)
        else:
            yield from _linear(program, kind, x, nodes, sign, options, observer, deadline)


def _linear(
    program: StochasticProgram,
    kind: NodeTemplate,
    x: FloatArray,
    nodes: IntArray,
    sign: float,
    options: Options,
    observer: Observer,
    deadline: float,
) -> Iterator[tuple[int, Status, float]]:
    """Linear recourse of nodes that share a template, one from the basis of the one before."""
    there = kind.entry_stage == 0
    own = kind.entry_stage == kind.stage
    adds_up = csr_array(
        (np.ones(int(there.sum())), (kind.entry_row[there], np.arange(int(there.sum())))),
        shape=(len(kind.rows), int(there.sum())),
    )
    along = x[kind.entry_column[there]]
    family: WarmLP | None = None
    batch = max(1, _NUMBERS // len(kind.values))
    for first in range(0, len(nodes), batch):
        some = nodes[first : first + batch]
        part = {name: program.gather(some, name) for name in kind.spans}
        entries = part.pop("entries")
        spent = (adds_up @ (entries[:, there] * along).T).T
        size = (adds_up @ np.abs(entries[:, there] * along).T).T
        wide = [_widened(*each) for each in zip(part["row_lower"], part["row_upper"], size, strict=True)]
        part["row_lower"] = part["row_lower"] - spent
        part["row_upper"] = part["row_upper"] - spent
        part["cost"] = sign * part["cost"]
        part["entries"] = entries[:, own]
        constant = sign * part.pop("constant")[:, 0]
        if family is None:
            largest = {name: np.abs(part[name]).max(axis=0) for name in ("cost", "entries")}
            family = WarmLP(
                kind.entry_row[own],
                kind.entry_column[own],
                len(kind.columns),
                len(kind.rows),
                largest,
                options,
            )
        for at, node in enumerate(some.tolist()):
            if stopped := _stopped(observer, deadline):
                yield node, stopped, math.nan
                return
            member = {name: table[at] for name, table in part.items()}
            answer = family.solve(member, deadline)
            if answer.status == "infeasible":
                lower, upper = wide[at]
                within = {"row_lower": lower - spent[at], "row_upper": upper - spent[at]}
                answer = family.solve({**member, **within}, deadline)
            yield node, answer.status, answer.value + float(constant[at])


def _whole(
    program: StochasticProgram,
    x: FloatArray,
    nodes: IntArray,
    sign: float,
    options: Options,
    observer: Observer,
    deadline: float,
) -> Iterator[tuple[int, Status, float]]:
    """Recourse with whole columns, each scenario by itself."""
    for node in nodes.tolist():
        numbers = program.node(node)
        spent = np.zeros(len(numbers.row_lower))
        size = np.zeros(len(spent))
        if 0 in numbers.to_ancestors:
            spent += numbers.to_ancestors[0] @ x
            size += abs(numbers.to_ancestors[0]) @ np.abs(x)
        matrix = numbers.own
        matrix.sort_indices()
        matrices = Matrices(
            sign * numbers.cost,
            sign * numbers.constant,
            matrix,
            numbers.row_lower - spent,
            numbers.row_upper - spent,
            numbers.lower,
            numbers.upper,
            program.template_of(node).integer,
        )
        lower, upper = _widened(numbers.row_lower, numbers.row_upper, size)
        yield node, *_solve(matrices, (lower - spent, upper - spent), options, observer, deadline)


def _subtrees(
    program: StochasticProgram,
    x: FloatArray,
    scenarios: IntArray,
    sign: float,
    options: Options,
    observer: Observer,
    deadline: float,
) -> Iterator[tuple[int, Status, float]]:
    """What hangs below each child of the root, as a program of its own."""
    form = extensive_form(program)
    whole, width = form.matrices, len(x)
    constants = np.array([program.values(node)[0] for node in range(len(program))])
    for branch in scenarios.tolist():
        nodes = np.flatnonzero(program.ancestors[:, 1] == branch)
        columns = np.concatenate([np.arange(*form.column_start[node : node + 2]) for node in nodes])
        rows = np.concatenate([np.arange(*form.row_start[node : node + 2]) for node in nodes])
        mass = program.probability[branch]
        block = whole.matrix[rows]
        spent = block[:, :width] @ x
        lower, upper = whole.row_lower[rows], whole.row_upper[rows]
        wide = _widened(lower, upper, abs(block[:, :width]) @ np.abs(x))
        matrix = csr_array(block[:, columns])
        matrix.sort_indices()
        matrices = Matrices(
            whole.objective[columns] / mass,
            sign * float(program.probability[nodes] @ constants[nodes]) / mass,
            matrix,
            lower - spent,
            upper - spent,
            whole.lower[columns],
            whole.upper[columns],
            whole.integer[columns],
        )
        yield branch, *_solve(matrices, (wide[0] - spent, wide[1] - spent), options, observer, deadline)


def _widened(lower: FloatArray, upper: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Limits of rows as far as the recount of a solution lets them be exceeded.

    Parameters
    ----------
    size
        Of what the root adds to each row: the sum of its terms' sizes.
    """

    def room(limit: FloatArray) -> FloatArray:
        known = np.where(np.isfinite(limit), np.abs(limit), 0.0)
        return np.asarray(PROGRAM_ROW * np.maximum(size, known))

    return lower - room(lower), upper + room(upper)


def _solve(
    matrices: Matrices,
    wide: tuple[FloatArray, FloatArray],
    options: Options,
    observer: Observer,
    deadline: float,
) -> tuple[Status, float]:
    """Solve recourse; with ``wide`` limits of rows where the others leave none."""
    if stopped := _stopped(observer, deadline):
        return stopped, math.nan
    left = dataclasses.replace(options, time_limit=deadline - time.perf_counter())
    answer = solve_program(matrices, left, observer, phase="recourse")
    if answer.status == "infeasible":
        # a decision made elsewhere is as exact as its solver was, and feasible is what the recount calls so
        matrices = dataclasses.replace(matrices, row_lower=wide[0], row_upper=wide[1])
        again = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
        answer = solve_program(matrices, again, observer, phase="recourse")
    return answer.status, math.nan if answer.x is None else matrices.value(answer.x)


def _stopped(observer: Observer, deadline: float) -> Status | None:
    if observer.should_stop():
        return "interrupted"
    return "time_limit" if time.perf_counter() >= deadline else None
