"""The best second stage behind a first stage that is settled: node by node where nothing links the nodes.

A node is then a small knapsack of its own: the rescues of what failed and was chosen. Where few tasks compete
a search of our own is done before HiGHS has begun; only the other nodes are HiGHS's.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.base.tolerances import STAGED_ROW
from bondwork.program.extensive import extensive_form, split
from bondwork.program.few_rescues import MOST_STEPS, FewRescues
from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.redelegation import Redelegation

#: A row holds when it is exceeded by no more than this share of its room, or of its largest coefficient.
ROOM = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class SecondStage:
    """Decisions of all nodes behind a settled first stage.

    Attributes
    ----------
    status
        Why it stopped.
    rescued
        Shape (K, decisions), 0 or 1, or ``None``. What each outcome's node decides.
    unfinished
        Nodes that were not solved to the end: theirs is what was known, or what a greedy filling gave.
    """

    status: Status
    rescued: FloatArray | None
    unfinished: int = 0


def decide_second_stage(
    model: Redelegation,
    x: FloatArray,
    options: Options,
    observer: Observer,
    known: FloatArray | None = None,
) -> SecondStage:
    """Decide every node of a model whose first stage is ``x``, shape (columns of the first stage,).

    When time is up, or the observer wants an end, the nodes that are left get what is ``known`` of them
    (shape (K, decisions), feasible) or else a greedy filling: only where rows link the nodes, or limit the
    losses of each, can there be nothing to hand out.
    """
    linking = model.program.linking
    if len(linking) or len(linking.joint_node):
        return _jointly(model, x, options, observer)
    return _Nodes(model, x, options, observer, known).decide()


def _jointly(model: Redelegation, x: FloatArray, options: Options, observer: Observer) -> SecondStage:
    form = extensive_form(model.program)
    lower, upper = form.matrices.lower.copy(), form.matrices.upper.copy()
    lower[: len(x)] = upper[: len(x)] = x
    fixed = dataclasses.replace(form.matrices, lower=lower, upper=upper)
    answer = solve_program(fixed, options, observer, phase="second stage")
    if answer.x is None:
        return SecondStage(answer.status, None)
    nodes = split(form, answer.x)[1:]
    return SecondStage(answer.status, np.array([np.round(node[: model.decisions]) for node in nodes]))


class _Nodes:
    """Nodes that nothing links, decided one by one."""

    def __init__(
        self,
        model: Redelegation,
        x: FloatArray,
        options: Options,
        observer: Observer,
        known: FloatArray | None,
    ) -> None:
        self.options, self.observer, self.known = options, observer, known
        self.ends = time.perf_counter() + options.time_limit
        self.count, self.decisions = len(model.outcomes), model.decisions
        program = model.program
        template = program.templates[1]
        nodes = np.arange(1, self.count + 1)
        self.room = program.gather(nodes, "row_upper") - used_by_root(model, x, nodes)
        self.upper = program.gather(nodes, "upper")
        self.cost = template.part("cost")
        self.integer = template.integer
        own = template.entry_stage == 1
        place = (template.entry_row[own], template.entry_column[own])
        shape = (len(template.rows), len(template.columns))
        self.rows = csr_array((template.part("entries")[own], place), shape=shape).tocsc()
        late = model.rescues.offers[np.concatenate([model.over, model.up])]
        self.task = model.instance.offers.task[late]
        self.column = np.repeat(np.arange(shape[1]), np.diff(self.rows.indptr))
        self.plain = not np.any(self.rows.data < 0.0)
        #: Without rows that rescues make room in: those may be searched, and filled.
        self.few = FewRescues(self.rows, self.cost, self.task) if self.plain else None
        self.largest = np.zeros(shape[0])
        np.maximum.at(self.largest, self.rows.indices, np.abs(self.rows.data))

    def decide(self) -> SecondStage:
        rescued = np.zeros((self.count, self.decisions))
        unfinished = 0
        status: Status = "optimal"
        for k in range(self.count):
            room = self.room[k] + ROOM * np.maximum(np.abs(self.room[k]), self.largest)
            active = np.flatnonzero((self.upper[k] > 0.0) & ((self.cost > 0.0) | (not self.plain)))
            if self.few is not None:
                active = active[self._fits_alone(room)[active]]
                chosen = self.few.best(active.tolist(), room.tolist(), 0 if self._is_over() else MOST_STEPS)
                if chosen is not None:
                    rescued[k, chosen] = 1.0
                    continue
            ended, found = self._solved(k, active, room)
            if ended != "optimal":
                unfinished, status = unfinished + 1, ended
                found = self._better(k, found, active, room)
            if found is None:
                return SecondStage(ended, None)
            rescued[k] = found
        return SecondStage(status, rescued, unfinished)

    def _fits_alone(self, room: FloatArray) -> BoolArray:
        """Which columns fit by themselves; entries are not negative. Shape (columns,)."""
        fits = np.ones(len(self.cost), dtype=bool)
        fits[self.column[self.rows.data > room[self.rows.indices]]] = False
        return fits

    def _is_over(self) -> bool:
        return time.perf_counter() >= self.ends or self.observer.should_stop()

    def _solved(self, k: int, active: IntArray, room: FloatArray) -> tuple[Status, FloatArray | None]:
        if self.observer.should_stop():
            return "interrupted", None
        left = self.ends - time.perf_counter()
        if left <= 0.0:
            return "time_limit", None
        block = self.rows[:, active].tocsr()
        small = Matrices(
            self.cost[active], 0.0, block, np.full(len(room), -np.inf), room,
            np.zeros(len(active)), self.upper[k][active], self.integer[active], row_tolerance=STAGED_ROW,
        )  # fmt: skip
        options = dataclasses.replace(self.options, time_limit=left)
        answer = solve_program(small, options, self.observer, phase="second stage")
        return answer.status, None if answer.x is None else self._whole(active, np.round(answer.x))

    def _better(
        self, k: int, found: FloatArray | None, active: IntArray, room: FloatArray
    ) -> FloatArray | None:
        """The best of what was found in time, what was known, and a greedy filling."""
        some = [] if found is None else [found]
        if self.known is not None:
            some.append(self.known[k])
        if self.few is not None:
            filled = np.zeros(self.decisions)
            filled[self.few.filled(active.tolist(), room.tolist())] = 1.0
            some.append(filled)
        return max(some, key=lambda each: float(self.cost[: self.decisions] @ each), default=None)

    def _whole(self, active: IntArray, values: FloatArray) -> FloatArray:
        """Decisions of a node; further columns belong to measures."""
        everything = np.zeros(len(self.cost))
        everything[active] = values
        return everything[: self.decisions]


def used_by_root(model: Redelegation, x: FloatArray, nodes: IntArray) -> FloatArray:
    """What a first stage ``x`` takes of every row of some nodes. Shape (nodes, m)."""
    program = model.program
    template = program.templates[1]
    x = model.root(x)
    in_root = np.flatnonzero(template.entry_stage == 0)
    above = in_root[x[template.entry_column[in_root]] != 0.0]
    entries = program.gather(nodes, "entries")[:, above] * x[template.entry_column[above]]
    to_row = csr_array(
        (np.ones(len(above)), (np.arange(len(above)), template.entry_row[above])),
        shape=(len(above), len(template.rows)),
    )
    used: FloatArray = entries @ to_row
    return used


def losses_at_leaves(model: Redelegation, x: FloatArray, rescued: FloatArray, mine: FloatArray) -> FloatArray:
    """Loss of every outcome and leaf. Shape (K, L).

    Parameters
    ----------
    rescued
        Shape (K, decisions).
    mine
        Shape (operators,). 1 for those whose losses count.
    """
    instance, outcomes = model.instance, model.outcomes
    offers, slashing = instance.offers, instance.claims.slashing
    chosen = model.first.columns[x[: len(model.first.columns)] > 0.5]
    at = np.searchsorted(outcomes.offers, chosen)
    lost = outcomes.failed[:, at] @ (slashing[offers.claim[chosen]] * mine[offers.operator[chosen]])
    held = instance.commitments
    lost = lost + outcomes.lost @ (slashing[held.claim] * mine[held.operator])
    place, amount, takes_up = late_effects(model, mine)
    failed = outcomes.leaf_failed[:, place]
    effect = np.where(takes_up, failed * amount, (failed - 1.0) * amount)
    found: FloatArray = lost[:, np.newaxis] + rescued @ effect.T
    return found


def late_effects(model: Redelegation, mine: FloatArray) -> tuple[IntArray, FloatArray, BoolArray]:
    """Of each decision: its place among the rescues, the slashing it is about, whether it takes a task up.

    ``mine`` as for `losses_at_leaves`.
    """
    offers = model.instance.offers
    place = np.concatenate([model.over, model.up])
    late = model.rescues.offers[place]
    amount = model.instance.claims.slashing[offers.claim[late]] * mine[offers.operator[late]]
    return place, amount, np.arange(len(late)) >= len(model.over)


def expected_gain(model: Redelegation, rescued: FloatArray) -> FloatArray:
    """What the rescues of each outcome add in currency, at their p. Shape (K,)."""
    gain = np.concatenate([model.rescues.after_failure[model.over], model.rescues.when_left[model.up]])
    found: FloatArray = rescued @ gain
    return found
