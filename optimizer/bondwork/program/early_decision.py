"""A feasible decision of every node, found soon: what a short time limit is to hand out at least.

The first stage comes from the problem of means, then from a few scenarios alone. Each scenario (a child of
the root with all below it) is then completed by itself or with some others, which cost less together; where
one cannot be, it joins the few, and the first stage is found again.

References
----------
B. Zeng & L. Zhao, Solving two-stage robust optimization problems using a column-and-constraint generation
method, Operations Research Letters 41 (2013) 457-461.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.base.tolerances import PROGRAM_ROW, ROW
from bondwork.contracts import Progress
from bondwork.observing import Quiet
from bondwork.problem.faults import Refusal
from bondwork.program.extensive import extensive_form, split
from bondwork.program.known_bound import known_bound
from bondwork.program.matrices import Matrices
from bondwork.program.program_recount import recount
from bondwork.program.stochastic_value import NoValue, Paths, plan_with_means
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options, ProgramDecision
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.solver.answer import Answer


#: Reasons to stop beside which a feasible decision found beforehand stands as it is.
_STANDS = frozenset(
    {"time_limit", "iteration_limit", "node_limit", "solution_limit", "objective_limit", "memory_limit"}
    | {"interrupted", "numerical_error", "other_error", "locally_solved", "locally_infeasible"}
)

#: Relative gap to which a first stage and the completion of a scenario are found at least.
FIRST_GAP = 0.01

#: Share of what is left of the time that finding a first stage may take.
_FIRST_SHARE = 0.3

#: Matrix entries of scenarios that are completed at once, and of those with whole columns: a call of HiGHS
#: costs some milliseconds, and searches that have nothing to do with each other multiply.
_TOGETHER, _WHOLE_TOGETHER = 20_000, 3_000

#: How often a first stage is sought again with more scenarios.
_MOST_ROUNDS = 50


def early_decision(
    program: StochasticProgram, options: Options, observer: Observer
) -> list[FloatArray] | None:
    """Find a feasible decision of every node; ``None`` where none was found in the time limit.

    Parameters
    ----------
    options
        The time limit is for this search; gaps below `FIRST_GAP` are not asked for.

    Returns
    -------
    list of FloatArray or None
        One array of shape (n,) for each node, no limit of which is broken.

    Examples
    --------
    >>> from bondwork.contracts import Options
    >>> from bondwork.observing import Silence
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> [values.tolist() for values in early_decision(toy, Options(time_limit=10.0), Silence())]
    [[4.0], [2.0], [4.0]]
    """
    found = _search(program, options, observer)
    return None if found is None else found[0]


def _search(
    program: StochasticProgram, options: Options, observer: Observer
) -> tuple[list[FloatArray], float] | None:
    """A feasible decision of every node, and its value in the maximisation."""
    search = _Search(program, options, observer)
    for x in search.candidates():
        values = split(search.form, x)
        counted = recount(program, values)
        if not counted.violations:
            return values, counted.objective if program.sense == "max" else -counted.objective
    return None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Early:
    """What was known before a strategy began.

    Attributes
    ----------
    nodes
        A feasible decision of every node; ``None`` where none was found.
    value, bound
        Of the decision and of all, in the maximisation; ``inf`` where no bound is known.
    """

    nodes: list[FloatArray] | None = None
    value: float = -math.inf
    bound: float = math.inf

    def or_better(
        self, program: StochasticProgram, decision: ProgramDecision, solution: ProgramSolution
    ) -> ProgramDecision:
        """A strategy's decision, or this one where it is better than the solution that came of that."""
        if self.nodes is None:
            return decision
        sign = 1.0 if program.sense == "max" else -1.0
        status, bound, notes = decision.status, decision.bound, [*decision.notes]
        own = solution.objective
        if status == "infeasible":
            status, bound = "other_error", math.inf
            notes.append(f"{solution.strategy} said infeasible, and there is a feasible decision")
        elif status not in _STANDS or (
            solution.solution != "none" and own is not None and sign * own >= self.value
        ):
            return decision
        notes.append("the decision is the first that was found, before the strategy began")
        return dataclasses.replace(
            decision,
            status=status,
            bound=max(bound, self.value),
            root=self.nodes[0],
            nodes=self.nodes,
            notes=tuple(notes),
        )

    def with_bound(self, decision: ProgramDecision) -> ProgramDecision:
        """A decision with the better bound of the two."""
        if decision.status not in _STANDS or decision.bound <= self.bound:
            return decision
        return dataclasses.replace(decision, bound=self.bound)


def find_early(program: StochasticProgram, options: Options, observer: Observer) -> Early:
    """Find what a strategy's time limit is to hand out at least: a decision, and a bound if that is cheap.

    The bound may take as long as the decision took, and both together the time limit.
    """
    start = time.perf_counter()
    try:
        found = _search(program, options, observer)
    except Refusal:  # a form that HiGHS cannot hold: strategies may do without
        return Early()
    took = time.perf_counter() - start
    if found is None:
        return Early()
    nodes, value = found
    observer.report(Progress(took, value, None, "first decision"))
    seconds = min(took, max(options.time_limit - took, 0.0))
    bound = math.inf
    if not len(program.linking) and not len(program.linking.joint_node):
        bound = known_bound(program, dataclasses.replace(options, time_limit=seconds), observer)
    return Early(nodes, value, max(bound, value) if math.isfinite(bound) else math.inf)


class _Search:
    """One search: the extensive form, cut into the scenarios of the root."""

    def __init__(self, program: StochasticProgram, options: Options, observer: Observer) -> None:
        self.program, self.observer = program, Quiet(observer)
        self.deadline = time.perf_counter() + options.time_limit
        self.options = dataclasses.replace(
            options, mip_rel_gap=max(options.mip_rel_gap, FIRST_GAP), settings={}
        )
        self.form = extensive_form(program)
        self.width = int(self.form.column_start[1])
        self.whole = bool(self.form.matrices.integer[self.width :].any())
        self.branches = np.flatnonzero(program.stage == 1)
        # nodes stand stage by stage, so that a branch of more than two stages is scattered
        column = np.repeat(np.arange(len(program)), np.diff(self.form.column_start))
        row = np.repeat(np.arange(len(program)), np.diff(self.form.row_start))
        own = program.ancestors[:, 1] if len(program.stages) > 1 else np.full(len(program), -1)
        self.columns = _grouped(own[column], self.branches)
        self.rows = _grouped(own[row], self.branches)

    def left(self, share: float = 1.0) -> Options:
        """Return the options with a share of the time that is left."""
        seconds = max(self.deadline - time.perf_counter(), 0.0)
        return dataclasses.replace(self.options, time_limit=share * seconds)

    def is_over(self) -> bool:
        return time.perf_counter() >= self.deadline or self.observer.should_stop()

    def candidates(self) -> Iterator[FloatArray]:
        """Decisions of all columns that seem feasible, cheapest first. Shape (n,)."""
        if len(self.program.linking) or not len(self.branches):
            yield from self._whole()
            return
        few: list[int] = []
        for number in range(_MOST_ROUNDS):
            root = self._from_means() if number == 0 else self._from_few(few)
            if self.is_over():
                return
            if root is None and number > 0:
                break
            if root is None:
                few = [int(np.argmax(self.program.probability[self.branches]))]
                continue
            x, failed = self._completed(root)
            if x is not None:
                yield x
            few += [each for each in failed if each not in few]
            if self.is_over() or not failed:
                break
        yield from self._whole()

    def _whole(self) -> Iterator[FloatArray]:
        """Whatever HiGHS finds first in the whole."""
        if self.is_over():
            return
        options = self.left()
        first = dataclasses.replace(options, highs={**options.highs, "mip_max_improving_sols": 1})
        answer = self._solved(self.form.matrices, first)
        if answer.x is not None:
            yield answer.x

    def _solved(self, matrices: Matrices, options: Options) -> Answer:
        return solve_program(matrices, options, self.observer, phase="first decision")

    def _from_means(self) -> FloatArray | None:
        """First stage of the mean problem, where there is one. Shape (n1,)."""
        try:
            paths = Paths(self.program, self.left(_FIRST_SHARE), self.observer)
            return plan_with_means(self.program, 0, [], paths).x[0]
        except NoValue:
            return None

    def _from_few(self, few: list[int]) -> FloatArray | None:
        """First stage of the program of a few scenarios. Shape (n1,)."""
        rows = np.concatenate([np.arange(self.form.row_start[1]), *(self.rows[each] for each in few)])
        columns = np.concatenate([np.arange(self.width), *(self.columns[each] for each in few)])
        mass = float(self.program.probability[self.branches[few]].sum()) or 1.0
        part = self._part(rows, columns)
        weight = np.where(np.arange(len(columns)) < self.width, 1.0, 1.0 / mass)
        answer = self._solved(
            dataclasses.replace(part, objective=part.objective * weight), self.left(_FIRST_SHARE)
        )
        return None if answer.x is None or answer.status == "dual_infeasible" else answer.x[: self.width]

    def _completed(self, root: FloatArray) -> tuple[FloatArray | None, list[int]]:
        """All columns at a first stage, or the scenarios that leave it no recourse. Shape (n,)."""
        x = np.zeros(len(self.form.matrices.objective))
        x[: self.width] = root
        first = self._alike(root)
        for some in self._groups(np.unique(first).tolist()):
            if self.is_over():
                return None, []
            rows, columns = (
                np.concatenate([part[each] for each in some]) for part in (self.rows, self.columns)
            )
            answer = self._recourse(rows, columns, root)
            if answer.x is None or answer.status == "dual_infeasible":
                return None, self._failing(some, root) if answer.status == "infeasible" else []
            x[columns] = answer.x
        for branch, other in enumerate(first.tolist()):
            x[self.columns[branch]] = x[self.columns[other]]
        return x, []

    def _alike(self, root: FloatArray) -> IntArray:
        """Of each scenario the first one that has the same problem at a first stage. Shape (B,).

        Outcomes that leave the same room are many where tasks are equal. Only searches are worth looking.
        """
        count = len(self.branches)
        if not self.whole:
            return np.arange(count)
        spent = self.form.matrices.matrix[:, : self.width] @ root
        known: dict[bytes, int] = {}
        first = np.arange(count)
        for branch, (rows, columns) in enumerate(zip(self.rows, self.columns, strict=True)):
            if self.is_over():
                break
            part = self._part(rows, columns)
            told = hashlib.sha256()
            for each in (part.matrix.data, part.matrix.indices, part.matrix.indptr, part.objective):
                told.update(each.tobytes())
            for side in (part.row_lower - spent[rows], part.row_upper - spent[rows], part.lower, part.upper):
                told.update(side.tobytes())
            told.update(part.integer.tobytes())
            first[branch] = known.setdefault(told.digest(), branch)
        return first

    def _failing(self, some: list[int], root: FloatArray) -> list[int]:
        """The first of some scenarios that leaves no recourse."""
        for each in some if len(some) > 1 else ():
            if self._recourse(self.rows[each], self.columns[each], root).status == "infeasible":
                return [each]
        return some[:1]

    def _recourse(self, rows: IntArray, columns: IntArray, root: FloatArray) -> Answer:
        part = self._part(rows, columns)
        taken = self.form.matrices.matrix[rows][:, : self.width]
        spent = taken @ root
        size = abs(taken) @ np.abs(root)
        # a first stage that fills a row to the last digit must not leave it infeasible for that
        for share in (0.0, ROW, PROGRAM_ROW / 2):
            lower, upper = part.row_lower - spent - share * size, part.row_upper - spent + share * size
            answer = self._solved(dataclasses.replace(part, row_lower=lower, row_upper=upper), self.left())
            if answer.status != "infeasible":
                break
        return answer

    def _groups(self, branches: list[int]) -> Iterator[list[int]]:
        """Scenarios that are completed at once, of some."""
        most = _WHOLE_TOGETHER if self.whole else _TOGETHER
        counts = np.diff(self.form.matrices.matrix.indptr)
        group: list[int] = []
        entries = 0
        for branch in branches:
            size = int(counts[self.rows[branch]].sum())
            if group and entries + size > most:
                yield group
                group, entries = [], 0
            group.append(branch)
            entries += size
        if group:
            yield group

    def _part(self, rows: IntArray, columns: IntArray) -> Matrices:
        """Some rows and columns of the extensive form; rows do not count what other columns take."""
        form = self.form.matrices
        matrix = csr_array(form.matrix[rows][:, columns])
        matrix.sort_indices()
        return Matrices(
            form.objective[columns],
            0.0,
            matrix,
            form.row_lower[rows],
            form.row_upper[rows],
            form.lower[columns],
            form.upper[columns],
            form.integer[columns],
            row_tolerance=form.row_tolerance,
        )


def _grouped(owner: IntArray, branches: IntArray) -> list[IntArray]:
    """Positions of each branch, ascending."""
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], branches, side="right")
    starts = np.searchsorted(owner[order], branches, side="left")
    return [order[first:last] for first, last in zip(starts.tolist(), ends.tolist(), strict=True)]
