"""What it is worth to model what is random: WS, RP, EEV, EVPI and VSS of a stochastic program.

- WS, wait and see: the expected optimum if every scenario were known from the start.
- RP, recourse problem: the optimum of the stochastic program.
- EV, the mean problem: every number of a stage replaced by its mean over the stage's nodes.
- EEV, the expected result of planning with means. At each node, the mean problem of what follows is solved,
  with everything decided before held fixed and the node's own numbers known, and the node's part of its plan
  is carried out. In two stages this is the classical EEV: the mean problem's first stage, then the best
  recourse. In more it is the dynamic one of Escudero et al., which can be carried out, while holding on to
  the mean problem's later stages mostly cannot.

Maximising, WS >= RP >= EEV, EVPI = WS - RP >= 0 and VSS = RP - EEV >= 0; all reversed when minimising. EEV
depends on which of several optima of a mean problem is found, and is null where one of the mean problems is
infeasible: whole columns and equalities often leave nothing between two scenarios.

Where rows link the nodes of a program, WS relaxes non-anticipativity only: every scenario has decisions of
its own, and the linking rows hold over all of them together (`bondwork.program.joint_paths`). The mean
problem has no such rows to hold, so EV and EEV are null.

References
----------
A. Madansky, Inequalities for stochastic linear programming problems, Management Science 6 (1960) 197-204.
J. R. Birge, The value of the stochastic solution in stochastic linear programs with fixed recourse,
Mathematical Programming 24 (1982) 314-325. L. F. Escudero, A. Garin, M. Merino & G. Perez, The value of the
stochastic solution in multistage problems, TOP 15 (2007) 48-64.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.base.tolerances import PROGRAM_ROW, ROW
from bondwork.program.joint_paths import joint_paths
from bondwork.program.matrices import Matrices
from bondwork.program.program_solution import StochasticValue
from bondwork.program.strengthening import strengthen
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.program.template import NodeTemplate

#: What was decided before is off by rounding, and a row that it fills must not be infeasible for that: limits
#: give way by these shares, one after the other, of the largest amount of what was decided before.
_SLACKS = (0.0, ROW, PROGRAM_ROW)

#: A difference of optima below this share of their size is rounding.
ROUNDING = 1e-9


class NoValue(Exception):
    """A value is not defined, or could not be found: why, in words, and the solver's status if it said so."""

    def __init__(self, reason: str, status: Status | None = None) -> None:
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Solution of the problem of one path, in the sense of the program."""

    objective: float
    bound: float
    x: list[FloatArray]


def stochastic_value(
    program: StochasticProgram, options: Options, observer: Observer, solution: ProgramSolution
) -> StochasticValue:
    """Work out what it is worth to model what is random.

    Parameters
    ----------
    options
        For each of the problems to solve; the time limit is for all of them together.
    solution
        Of the program itself: RP.
    """
    paths = Paths(program, options, observer)
    notes: list[str] = []
    ws = ws_bound = ev = eev = None
    rp = solution.objective
    rp_is_optimum = solution.status == "optimal"
    if not rp_is_optimum:
        notes.append(f"rp: {solution.status.replace('_', ' ')}")
    try:
        ws, ws_bound = wait_and_see(program, paths)
    except NoValue as reason:
        notes.append(f"ws: {reason}")
    ws_is_optimum = paths.take_note("ws", notes)
    try:
        root = plan_with_means(program, 0, [], paths)
        ev = root.objective
        eev, _ = carry_out_means(program, root, paths)
    except NoValue as reason:
        notes.append(f"eev: {reason}")
    eev_is_optimum = paths.take_note("eev", notes)
    sign = 1.0 if program.sense == "max" else -1.0
    # knowing more is worth no less, and planning with means no more, whatever sums were rounded to
    if rp_is_optimum and ws_is_optimum:
        ws = _no_less(sign, ws, rp)
    if rp_is_optimum and eev_is_optimum:
        eev = _no_less(-sign, eev, rp, paths.slack)
    ws_bound = _no_less(sign, ws_bound, ws)
    return StochasticValue(
        ws=ws,
        ws_bound=ws_bound,
        rp=rp,
        rp_bound=solution.bound,
        ev=ev,
        eev=eev,
        # what was found by some time limit says nothing about differences of optima
        evpi=_difference(sign, ws, rp) if rp_is_optimum and ws_is_optimum else None,
        vss=_difference(sign, rp, eev, paths.slack) if rp_is_optimum and eev_is_optimum else None,
        notes=notes,
    )


def _difference(sign: float, better: float | None, worse: float | None, slack: float = 0.0) -> float | None:
    if better is None or worse is None:
        return None
    difference = sign * (better - worse)
    return 0.0 if abs(difference) <= max(ROUNDING, slack) * max(abs(better), abs(worse)) else difference


def _no_less(sign: float, value: float | None, than: float | None, slack: float = 0.0) -> float | None:
    """A value, or the one that it falls short of by no more than rounding (maximising: ``sign`` 1)."""
    if value is None or than is None or sign * (value - than) >= 0.0:
        return value
    return than if _difference(sign, than, value, slack) == 0.0 else value


def wait_and_see(program: StochasticProgram, paths: Paths) -> tuple[float, float | None]:
    """Expected optimum over the scenarios, and the expectation of their bounds."""
    if len(program.linking):
        joint = paths.solve_matrices(joint_paths(program), "the problem of all scenarios")
        return joint.objective, joint.bound if math.isfinite(joint.bound) else None
    values, bounds = [], []
    endless: NoValue | None = None
    for leaf in program.leaves.tolist():
        weight = float(program.probability[leaf])
        if weight == 0.0:
            continue
        path = program.ancestors[leaf].tolist()
        kinds = [program.template_of(node) for node in path]
        what = f"scenario {program.nodes[leaf]} by itself"
        try:
            found = paths.solve(0, kinds, [program.values(node) for node in path], [], what)
        except NoValue as reason:
            if reason.status != "dual_infeasible":
                raise
            endless = endless or reason  # and another scenario may be infeasible
            continue
        values.append(weight * found.objective)
        bounds.append(weight * found.bound)
    if endless is not None:
        raise endless
    value, bound = math.fsum(values), math.fsum(bounds)
    return value, _no_less(1.0 if program.sense == "max" else -1.0, bound, value) if math.isfinite(
        bound
    ) else None


def carry_out_means(program: StochasticProgram, root: Found, paths: Paths) -> tuple[float, list[FloatArray]]:
    """Plan with means at every node, from the plan at the root on: the value of that, and the decisions.

    Nodes of probability 0 count nothing, but their rows bind the decisions before them, as in the program.
    """
    decided: list[FloatArray] = []
    terms: list[float] = []
    for node in range(len(program)):
        past = [decided[ancestor] for ancestor in program.ancestors[node, : program.stage[node]]]
        found = plan_with_means(program, node, past, paths) if node else root
        decided.append(found.x[0])
        own = {name: program.values(node)[span] for name, span in program.template_of(node).spans.items()}
        terms.append(float(program.probability[node] * (own["constant"][0] + own["cost"] @ found.x[0])))
    return math.fsum(terms), decided


def plan_with_means(program: StochasticProgram, node: int, past: Sequence[FloatArray], paths: Paths) -> Found:
    """Solve for a node's own numbers and the means of every later stage below it."""
    if len(program.linking):
        raise NoValue("rows link the scenarios, which a mean problem cannot hold")
    stage, last = int(program.stage[node]), len(program.stages) - 1
    kinds, numbers = [program.template_of(node)], [program.values(node)]
    for later in range(stage + 1, last + 1):
        below = np.flatnonzero((program.ancestors[:, stage] == node) & (program.stage == later))
        kinds.append(_common_template(program, below))
        numbers.append(_mean(program, below, kinds[-1]))
    what = "the mean problem" + (f" at node {program.nodes[node]}" if node else "")
    if stage == last and node:
        what = f"scenario {program.nodes[node]}, with what the mean problem decided,"
    return paths.solve(stage, kinds, numbers, past, what)


def _common_template(program: StochasticProgram, nodes: IntArray) -> NodeTemplate:
    kinds = np.unique(program.template[nodes])
    if len(kinds) > 1:
        stage = program.stages[program.stage[nodes[0]]]
        raise NoValue(f"nodes of {stage} differ in their columns and rows, so they have no mean")
    return program.templates[int(kinds[0])]


def _mean(program: StochasticProgram, nodes: IntArray, template: NodeTemplate) -> FloatArray:
    """Mean of every number over nodes of one template, weighted by probability; infinite where one is."""
    nodes = nodes[program.probability[nodes] > 0.0]
    mean = template.values.copy()
    if not len(nodes):
        return mean
    weights = program.probability[nodes] / program.probability[nodes].sum()
    counts = program.change_start[nodes + 1] - program.change_start[nodes]
    change = np.concatenate([np.arange(*program.change_start[node : node + 2]) for node in nodes])
    weight = np.repeat(weights, counts)
    position = program.change_position[change]
    touched, which = np.unique(position, return_inverse=True)
    share = 1.0 - np.bincount(which, weight, len(touched))  # of the nodes that are as the template is
    share[share < ROUNDING] = 0.0
    with np.errstate(invalid="ignore"):  # 0 * inf, which the condition leaves out
        as_template = np.where(share > 0.0, share * mean[touched], 0.0)
    mean[touched] = as_template + np.bincount(which, weight * program.change_value[change], len(touched))
    return mean


class Paths:
    """Solves the problems of single paths through the tree, one after the other, against one clock."""

    def __init__(self, program: StochasticProgram, options: Options, observer: Observer) -> None:
        self.sign = 1.0 if program.sense == "max" else -1.0
        self.options, self.observer = options, observer
        self.deadline = time.perf_counter() + options.time_limit
        self.unfinished: set[str] = set()
        #: Largest share by which rows had to give way for what was decided before.
        self.slack = 0.0

    def take_note(self, what: str, notes: list[str]) -> bool:
        """Whether all problems since the last note were solved to the end; a note where not."""
        if not self.unfinished:
            return True
        notes.append(
            f"{what}: not every problem was solved to the end ({', '.join(sorted(self.unfinished))})"
        )
        self.unfinished.clear()
        return False

    def solve(
        self,
        first: int,
        kinds: Sequence[NodeTemplate],
        numbers: Sequence[FloatArray],
        past: Sequence[FloatArray],
        what: str,
    ) -> Found:
        """Solve the problem of stages ``first`` and later.

        Parameters
        ----------
        kinds, numbers
            Template and values of each stage from ``first`` on.
        past
            What was decided in each stage before ``first``.
        what
            Words for the reason where there is no solution.

        Raises
        ------
        NoValue
            It has no solution, or none was found in time.
        """
        slacks = _SLACKS if past else _SLACKS[:1]
        for slack in slacks[:-1]:
            try:
                return self._solve(first, kinds, numbers, past, what, slack)
            except NoValue as reason:
                if reason.status not in ("infeasible", "infeasible_or_unbounded"):
                    raise
        return self._solve(first, kinds, numbers, past, what, slacks[-1])

    def _solve(
        self,
        first: int,
        kinds: Sequence[NodeTemplate],
        numbers: Sequence[FloatArray],
        past: Sequence[FloatArray],
        what: str,
        slack: float,
    ) -> Found:
        matrices, starts = _path_matrices(first, kinds, numbers, past, self.sign, slack)
        found = self.solve_matrices(matrices, what, starts)
        self.slack = max(self.slack, slack)
        return found

    def solve_matrices(self, matrices: Matrices, what: str, starts: IntArray | None = None) -> Found:
        """Solve one program; ``starts`` says where the columns of each stage begin."""
        stronger, _ = strengthen(matrices)
        left = max(self.deadline - time.perf_counter(), 0.0)
        answer = solve_program(
            stronger, dataclasses.replace(self.options, time_limit=left), self.observer, phase="value"
        )
        reason = answer.status.replace("_", " ").replace("dual infeasible", "unbounded")
        if answer.x is None or answer.status == "dual_infeasible":
            told = f"{what} is {reason}" if "limit" not in reason else f"{what}: {reason}"
            raise NoValue(told, answer.status)
        if answer.status != "optimal":
            self.unfinished.add(reason)
        objective = self.sign * matrices.value(answer.x)
        parts = [answer.x] if starts is None else np.split(answer.x, starts[1:-1])
        return Found(objective, self.sign * answer.bound, parts)


def _path_matrices(
    first: int,
    kinds: Sequence[NodeTemplate],
    numbers: Sequence[FloatArray],
    past: Sequence[FloatArray],
    sign: float,
    slack: float,
) -> tuple[Matrices, IntArray]:
    """Problem of the last stages of one path; what was decided before moves to the limits of the rows.

    Limits give way by ``slack`` of the largest amount that the past has in their row.
    """
    starts = np.cumsum([0, *(len(kind.columns) for kind in kinds)])
    row_starts = np.cumsum([0, *(len(kind.rows) for kind in kinds)])
    parts: dict[str, list[FloatArray]] = {name: [] for name in kinds[0].spans}
    places = []
    for number, (kind, values) in enumerate(zip(kinds, numbers, strict=True)):
        part = {name: values[span] for name, span in kind.spans.items()}
        spent, size = np.zeros((2, len(kind.rows)))
        for stage, x in enumerate(past):
            there = kind.entry_stage == stage
            products = part["entries"][there] * x[kind.entry_column[there]]
            spent += np.bincount(kind.entry_row[there], products, len(kind.rows))
            np.maximum.at(size, kind.entry_row[there], np.abs(products))
        here = kind.entry_stage >= first
        part["row_lower"] = part["row_lower"] - spent - slack * size
        part["row_upper"] = part["row_upper"] - spent + slack * size
        part["entries"] = part["entries"][here]
        for name, array in part.items():
            parts[name].append(array)
        columns = starts[kind.entry_stage[here] - first] + kind.entry_column[here]
        places.append((row_starts[number] + kind.entry_row[here], columns))
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    place = (np.concatenate([rows for rows, _ in places]), np.concatenate([at for _, at in places]))
    matrix = csr_array((whole["entries"], place), shape=(int(row_starts[-1]), int(starts[-1])))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    matrices = Matrices(
        sign * whole["cost"],
        float(sign * whole["constant"].sum()),
        matrix,
        whole["row_lower"],
        whole["row_upper"],
        whole["lower"],
        whole["upper"],
        np.concatenate([kind.integer for kind in kinds]),
    )
    return matrices, starts
