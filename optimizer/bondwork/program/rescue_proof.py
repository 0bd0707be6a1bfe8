"""From the multipliers of a two-stage program to entries of a certificate: which limit, at which outcome.

The linear relaxation of the extensive form has them. A row of the program is a limit of the round at the root
or at an outcome, or the loss at a leaf; other rows (who may be rescued by whom) need no multipliers, as the
best choice for each task follows from those of the limits.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from bondwork.observing import Silence
from bondwork.plan.certificate import WEIGHTED, Entry
from bondwork.problem.limits import LimitKind
from bondwork.program.extensive import extensive_form
from bondwork.program.linking import Linking
from bondwork.program.matrices import Matrices
from bondwork.program.rescue_prices import stepped_duals
from bondwork.program.stochastic import StochasticProgram
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Options
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.node_rows import Meaning
    from bondwork.program.redelegation import Redelegation

    #: Kind of a limit and whose it is.
    _Limit: TypeAlias = tuple[str, tuple[int | float, ...]]

#: Entries of the extensive form from which on its relaxation is not solved for a certificate, and seconds
#: that it may take: at most, and at least for each entry, else it is not begun.
MOST_ENTRIES, _SECONDS, _SECONDS_PER_ENTRY = 2_000_000, 20.0, 2e-6

#: Share of the time limit for the relaxation, before steps are taken instead.
RELAXATION_SHARE = 0.5


def relaxed_entries(model: Redelegation, options: Options, reached: float | None) -> list[list[Entry]]:
    """Entries from the linear relaxation of all outcomes.

    Where that is not solved in time, from steps that lower the bound of the first stage's multipliers; where
    all outcomes are too large for that, these and none at all, that is the best choice for each task.

    Parameters
    ----------
    reached
        What the plan earns, in currency; ``None`` without one.
    """
    ends = time.perf_counter() + options.time_limit
    now = _first_stage_duals(model, options)
    form = _form(model, _until(options, ends))
    if form is not None:
        left = options.time_limit if math.isinf(options.time_limit) else ends - time.perf_counter()
        some = _until(options, time.perf_counter() + RELAXATION_SHARE * left)
        answer = solve_program(form.matrices, _within(some), Silence(), relaxed=True, phase="proof")
        if answer.status == "optimal" and answer.row_duals is not None:
            return [entries_of(model, form, answer.row_duals)]
        known = form.matrices.offset if reached is None else reached / model.unit
        duals = stepped_duals(model, form, now, known, ends=min(ends, time.perf_counter() + _SECONDS))
        if duals is not None:
            return [entries_of(model, form, duals)]
    paid = _added(model.meanings.root, now[: len(model.meanings.root)] * model.unit)
    return [[Entry(*limit, y) for limit, y in paid.items() if y], []]


def _until(options: Options, ends: float) -> Options:
    return dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))


def _first_stage_duals(model: Redelegation, options: Options) -> FloatArray:
    """Multipliers as if there were no second stage: limits have a price now, and none later.

    Of the rows of the root; all 0 where that is not solved in time.
    """
    program = model.program
    root = StochasticProgram.from_changes(
        program.name,
        program.sense,
        [program.templates[0]],
        parent=[-1],
        template=[0],
        conditional=[1.0],
        changes=[{}],
    )
    matrices = extensive_form(root).matrices
    answer = solve_program(matrices, _within(options), Silence(), relaxed=True, phase="proof")
    if answer.status != "optimal" or answer.row_duals is None:
        return np.zeros(len(matrices.row_upper))
    return np.maximum(np.nan_to_num(answer.row_duals, nan=0.0, posinf=0.0, neginf=0.0), 0.0)


def refuting_entries(model: Redelegation, options: Options) -> list[Entry] | None:
    """Entries under which the required tasks take more than all limits leave, where the relaxation has some.

    The linear program that leaves as few of the required tasks as possible has them as its multipliers.
    """
    form = _form(model, options)
    if form is None:
        return None
    limits = model.first.limits
    required = np.flatnonzero((limits.kind == LimitKind.TASK) & (limits.lower > 0.0))
    columns, count = len(form.matrices.objective), len(required)
    left = csr_array(
        (np.ones(count), (required, np.arange(count))), shape=(form.matrices.matrix.shape[0], count)
    )
    elastic = Matrices(
        objective=np.append(np.zeros(columns), -np.ones(count)),
        offset=0.0,
        matrix=csr_array(hstack([form.matrices.matrix, left], format="csr")),
        row_lower=form.matrices.row_lower,
        row_upper=form.matrices.row_upper,
        lower=np.append(form.matrices.lower, np.zeros(count)),
        upper=np.append(form.matrices.upper, np.ones(count)),
        integer=np.zeros(columns + count, dtype=bool),
    )
    answer = solve_program(elastic, _within(options), Silence(), relaxed=True, phase="proof")
    if answer.status != "optimal" or answer.row_duals is None or answer.x is None:
        return None
    return entries_of(model, form, answer.row_duals) if answer.x[columns:].sum() > 0.0 else None


def _form(model: Redelegation, options: Options) -> ExtensiveForm | None:
    """The extensive form of a model, its rows about what nobody observes left aside."""
    program = model.program
    sizes = np.array([len(each.entry_row) for each in program.templates])
    size = int(sizes[program.template].sum())
    if size > MOST_ENTRIES or size * _SECONDS_PER_ENTRY > options.time_limit:
        return None
    linking = _first_rows(program.linking, len(model.meanings.linking))
    return extensive_form(dataclasses.replace(program, linking=linking))


def _first_rows(linking: Linking, kept: int) -> Linking:
    """The first linking rows, which are about limits: what was generated stands behind them."""
    mine = linking.entry_row < kept
    return Linking(
        linking.rows[:kept],
        linking.row_lower[:kept],
        linking.row_upper[:kept],
        linking.informational[:kept],
        linking.entry_row[mine],
        linking.entry_node[mine],
        linking.entry_column[mine],
        linking.entry_value[mine],
        linking.joint_node,
        linking.joint_column,
    )


def _within(options: Options) -> Options:
    return dataclasses.replace(options, time_limit=min(options.time_limit, _SECONDS), warm_start=None)


def entries_of(model: Redelegation, form: ExtensiveForm, row_duals: FloatArray) -> list[Entry]:
    """Multipliers of the rows of an extensive form, in currency, as entries of a certificate.

    Parameters
    ----------
    form
        Of the model's program.
    row_duals
        Shape (m,), of a maximisation: by how much its value rises when the limit of a row does.
    """
    duals = np.maximum(np.nan_to_num(row_duals, nan=0.0, posinf=0.0, neginf=0.0), 0.0) * model.unit
    start, leaves = form.row_start.tolist(), len(model.outcomes.leaf_probability)
    now = _added(model.meanings.root, duals[: len(model.meanings.root)])  # covers stand behind those
    at: list[dict[_Limit, float]] = []
    weights: dict[_Limit, list[tuple[int, float]]] = defaultdict(list)
    node_rows = [each for each in enumerate(model.meanings.node) if each[1] is not None]
    for outcome, first in enumerate(start[1:-1]):
        paid: dict[_Limit, float] = {}
        for row, meaning in node_rows:
            assert meaning is not None
            y = float(duals[first + row]) / meaning.unit
            if not y:
                continue
            limit = meaning.word, meaning.about
            if meaning.leaf >= 0:
                weights[limit].append((outcome * leaves + meaning.leaf, y))
            else:
                paid[limit] = paid.get(limit, 0.0) + y
        at.append(paid)
    if model.spares:
        # what the first stage pays for a limit at once includes what it pays at each outcome
        for limit in now:
            now[limit] = max(now[limit] - sum(paid.get(limit, 0.0) for paid in at), 0.0)
    linking = _added(model.meanings.linking, duals[start[-1] : start[-1] + len(model.meanings.linking)])
    return list(_entries(now, linking, weights, at))


def _added(meanings: Iterable[Meaning | None], duals: FloatArray) -> dict[_Limit, float]:
    """Multipliers of limits, rows about the same one added."""
    found: dict[_Limit, float] = defaultdict(float)
    for meaning, dual in zip(meanings, duals.tolist(), strict=True):
        if meaning is not None and dual:
            found[meaning.word, meaning.about] += dual / meaning.unit
    return found


def _entries(
    now: dict[_Limit, float],
    linking: dict[_Limit, float],
    weights: dict[_Limit, list[tuple[int, float]]],
    at: list[dict[_Limit, float]],
) -> Iterator[Entry]:
    for limit, y in now.items():
        if y:
            yield Entry(*limit, y)
    for limit in dict.fromkeys([*linking, *weights]):
        pairs = tuple(sorted(weights[limit])) if limit[0] in WEIGHTED else ()
        yield Entry(*limit, linking.get(limit, 0.0), pairs)
    for outcome, paid in enumerate(at):
        for limit, y in paid.items():
            yield Entry(*limit, y, (), outcome + 1)
