"""The model as sparse matrices, assembled in numpy: no modelling language between the round and HiGHS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.values import expected_slashing, is_committed, is_eligible, net_reward
from bondwork.program.blocks import with_measures
from bondwork.program.program import Program

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import TypeAlias

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.risk.measure import Measure

    #: Entries of the matrix: row, column and value of each.
    Entries: TypeAlias = tuple[IntArray, IntArray, FloatArray]


class HighsFormulation:
    """Writes the model down as matrices, a kind of row at a time and never an offer at a time.

    Use it when the round is large: it takes about as long as handing the finished matrices to HiGHS. Where
    you want to add constraints of your own, `bondwork_models.pyomo` and `bondwork_models.cvxpy` are easier.

    Examples
    --------
    >>> import bondwork
    >>> from bondwork_models.highs import HighsFormulation
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
    >>> program = HighsFormulation().build(instance)
    >>> [program.limits.label(row) for row in range(len(program.limits))]
    ['task t-1', 'task t-2', 'collateral of cp-1']
    >>> program.matrix.toarray().tolist()
    [[1.0, 0.0], [0.0, 1.0], [25.0, 10.0]]
    >>> program.objective.tolist()
    [3.0, 1.0]
    """

    def build(
        self, instance: Instance, measures: Sequence[Measure] = (), in_rows: Collection[int] = ()
    ) -> Program:
        """Return the model of ``instance``; see `bondwork.contracts.Formulation`."""
        limits = enumerate_limits(instance)
        columns = np.flatnonzero(is_eligible(instance))
        parts = list(_entries(instance, limits, columns))
        rows, places, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        n = len(columns)
        cost = instance.tasks.unassigned_cost
        program = Program(
            objective=(net_reward(instance) + cost[instance.offers.task])[columns],
            offset=-float(cost[~is_committed(instance)].sum()),
            matrix=coo_array((values, (rows, places)), shape=(len(limits), n)).tocsr(),
            row_lower=limits.lower,
            row_upper=limits.upper,
            lower=np.zeros(n),
            upper=np.ones(n),
            integer=np.ones(n, dtype=np.bool_),
            columns=columns,
            limits=limits,
        )
        return with_measures(program, measures, in_rows)


def _entries(instance: Instance, limits: Limits, columns: IntArray) -> Iterator[Entries]:
    offers, claims = instance.offers, instance.claims
    task, operator, coprocessor = (
        whose[columns] for whose in (offers.task, offers.operator, offers.coprocessor)
    )
    executing = np.where(offers.is_self[columns], operator, NOBODY)
    slashing = claims.slashing[offers.claim[columns]]
    loss = expected_slashing(instance)[columns]

    yield _owned(limits, limits.of_kind(LimitKind.TASK), task, np.ones(len(columns)))
    for kind, owner in ((LimitKind.CAPACITY, coprocessor), (LimitKind.OPERATOR_CAPACITY, executing)):
        for resource, rows in _by_detail(limits, kind):
            yield _owned(limits, rows, owner, offers.work[columns, resource])
    yield _owned(limits, limits.of_kind(LimitKind.COLLATERAL), coprocessor, offers.collateral[columns])
    yield _owned(limits, limits.of_kind(LimitKind.STAKE), operator, slashing)
    yield _due(limits, coprocessor, instance.tasks.deadline[task], offers.duration[columns])
    for kind, owner in (
        # Every offer is the network's, whose limit is owned by NOBODY: a limit's owner is its offers' owner.
        (LimitKind.EXPECTED_LOSS_NETWORK, np.full(len(columns), NOBODY)),
        (LimitKind.EXPECTED_LOSS_OPERATOR, operator),
        (LimitKind.EXPECTED_LOSS_COPROCESSOR, coprocessor),
    ):
        for _, rows in _by_detail(limits, kind):
            yield _owned(limits, rows, owner, loss)


def _by_detail(limits: Limits, kind: LimitKind) -> Iterator[tuple[int, IntArray]]:
    """Split the rows of a kind so that no owner has two: one resource, or one risk limit, at a time."""
    rows = limits.of_kind(kind)
    for detail in np.unique(limits.detail[rows]):
        yield int(detail), rows[limits.detail[rows] == detail]


def _owned(limits: Limits, rows: IntArray, owner: IntArray, values: FloatArray) -> Entries:
    """Put the value of each column into the row of its owner, where there is one."""
    size = int(max(limits.owner[rows].max(initial=NOBODY), owner.max(initial=NOBODY))) + 1
    # One more place than there are owners: NOBODY, which is -1, reads and writes the last.
    row_of = np.full(size + 1, -1)
    row_of[limits.owner[rows]] = rows
    row = row_of[owner]
    kept = np.flatnonzero((row >= 0) & (values != 0.0))
    return row[kept], kept, values[kept]


def _due(limits: Limits, coprocessor: IntArray, deadline: FloatArray, duration: FloatArray) -> Entries:
    """Put the duration of each column into every row of its coprocessor that its deadline falls under."""
    rows = limits.of_kind(LimitKind.DEADLINE)
    timed = np.flatnonzero(
        np.isin(coprocessor, limits.owner[rows]) & np.isfinite(deadline) & (duration != 0.0)
    )
    # Coprocessor and place of the deadline among all deadlines become one number that sorts like the rows:
    # the rows that hold an offer then run from its own number to the last of its coprocessor.
    clock = np.unique(limits.deadline[rows])
    number = limits.owner[rows] * len(clock) + np.searchsorted(clock, limits.deadline[rows])
    own = coprocessor[timed] * len(clock)
    first = np.searchsorted(number, own + np.searchsorted(clock, deadline[timed]))
    count = np.searchsorted(number, own + len(clock)) - first
    position = np.repeat(first + count - np.cumsum(count), count) + np.arange(count.sum())
    place = np.repeat(timed, count)
    return rows[position], place, duration[place]
