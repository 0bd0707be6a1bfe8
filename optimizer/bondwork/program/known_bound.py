"""A proven bound from single scenarios: what they would earn if each were known from the start, relaxed."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.evaluation import refuse_linking
from bondwork.solver.warm import WarmLP

if TYPE_CHECKING:
    from bondwork.contracts import Observer, Options
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.program.template import NodeTemplate


def known_bound(program: StochasticProgram, options: Options, observer: Observer) -> float:
    """Bound the optimum of a two-stage program by its scenarios one by one, whole columns relaxed.

    Dropping non-anticipativity and integrality only adds decisions, so no policy does better (Madansky 1960).
    One linear program a scenario, each from the basis of the one before.

    Parameters
    ----------
    options
        The time limit is for all together.
    observer
        Asked between scenarios whether to stop.

    Returns
    -------
    float
        Bound of the *maximisation* (a minimisation's values negated); ``inf`` for more than two stages, for
        unbounded scenarios, and where time ran out; ``-inf`` where a scenario leaves nothing.

    Raises
    ------
    Refusal
        The program has rows that link its scenarios.
    """
    refuse_linking(program, "a bound by single scenarios")
    if len(program.stages) != 2:
        return math.inf
    sign = 1.0 if program.sense == "max" else -1.0
    deadline = time.perf_counter() + options.time_limit
    terms = []
    for number, kind in enumerate(program.templates):
        nodes = np.flatnonzero((program.template == number) & (program.stage == 1))
        nodes = nodes[program.probability[nodes] > 0.0]
        for node, value in zip(
            nodes, _values(program, kind, nodes, options, observer, deadline), strict=False
        ):
            if not math.isfinite(value):
                return value
            terms.append(float(program.probability[node]) * value)
    if len(terms) < np.count_nonzero((program.stage == 1) & (program.probability > 0.0)):
        return math.inf
    root = program.values(0)[program.templates[program.template[0]].spans["constant"]]
    return math.fsum(terms) + sign * float(root[0])


def _values(
    program: StochasticProgram,
    kind: NodeTemplate,
    nodes: np.ndarray,
    options: Options,
    observer: Observer,
    deadline: float,
) -> list[float]:
    """Values of scenarios that share a template; cut short by the first that is not finite, and by time."""
    if not len(nodes):
        return []
    sign = 1.0 if program.sense == "max" else -1.0
    first = program.template_of(0)
    root = {name: program.values(0)[span] for name, span in first.spans.items()}
    width, rows = len(first.columns), len(first.rows)
    row = np.concatenate([first.entry_row, rows + kind.entry_row])
    at_root = kind.entry_stage == 0
    column = np.concatenate([first.entry_column, kind.entry_column + np.where(at_root, 0, width)])
    family: WarmLP | None = None
    values: list[float] = []
    for node in nodes.tolist():
        if observer.should_stop() or time.perf_counter() >= deadline:
            return [*values, math.inf]
        own = {name: program.values(node)[span] for name, span in kind.spans.items()}
        part = {name: np.concatenate([root[name], own[name]]) for name in own if name != "constant"}
        part["cost"] = sign * part["cost"]
        if family is None:
            size = {name: np.abs(part[name]) for name in ("cost", "entries")}
            columns, height = width + len(kind.columns), rows + len(kind.rows)
            family = WarmLP(row, column, columns, height, size, options)
        answer = family.solve(part, deadline)
        if answer.status == "infeasible":
            return [*values, -math.inf]
        if answer.status != "optimal":
            return [*values, math.inf]
        values.append(answer.value + sign * float(own["constant"][0]))
    return values
