"""The model as sparse matrices, assembled in numpy: no modelling language between the round and HiGHS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.teams import enumerate_teams, member_slashing, team_slashing, team_value
from bondwork.problem.values import at_stake, is_committed, posted
from bondwork.program.blocks import with_loads, with_mean_risk, with_measures
from bondwork.program.loads import load_terms
from bondwork.program.program import Program

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import TypeAlias

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.stochastic import StochasticProgram
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
        self,
        instance: Instance,
        measures: Sequence[Measure] = (),
        in_rows: Collection[int] = (),
        teams: Teams | None = None,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Program:
        """Return the model of ``instance``; see `bondwork.contracts.Formulation`."""
        limits = enumerate_limits(instance)
        teams = enumerate_teams(instance) if teams is None else teams
        parts = list(_entries(instance, limits, teams))
        rows, places, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        n, first = len(teams), teams.first
        cost = instance.tasks.unassigned_cost
        program = Program(
            objective=team_value(instance, teams) + cost[instance.offers.task[first]],
            offset=-float(cost[~is_committed(instance)].sum()),
            matrix=coo_array((values, (rows, places)), shape=(len(limits), n)).tocsr(),
            row_lower=limits.lower,
            row_upper=limits.upper,
            lower=np.zeros(n),
            upper=np.ones(n),
            integer=np.ones(n, dtype=np.bool_),
            columns=first,
            limits=limits,
            teams=teams,
        )
        loaded = with_loads(program, load_terms(instance, limits, teams.member))
        limited = with_measures(loaded, measures, in_rows)
        return limited if mean_risk is None else with_mean_risk(limited, *mean_risk)

    def extensive_form(self, program: StochasticProgram) -> ExtensiveForm:
        """Write a stochastic program down as matrices; see `bondwork.program.extensive`."""
        from bondwork.program.extensive import extensive_form

        return extensive_form(program)


def _entries(instance: Instance, limits: Limits, teams: Teams) -> Iterator[Entries]:
    offers, claims, member = instance.offers, instance.claims, teams.member
    # What is the task's counts once a team, what is the executor's once a member.
    column, column_of = np.arange(len(teams)), teams.team
    task, operator = claims.task[teams.claim], claims.operator[teams.claim]
    coprocessor = offers.coprocessor[member]
    executing = np.where(offers.is_self[member], offers.operator[member], NOBODY)
    loss = team_slashing(instance, teams)

    yield _owned(limits, limits.of_kind(LimitKind.TASK), column, task, np.ones(len(teams)))
    for kind, owner in ((LimitKind.CAPACITY, coprocessor), (LimitKind.OPERATOR_CAPACITY, executing)):
        for resource, rows in _by_detail(limits, kind):
            yield _owned(limits, rows, column_of, owner, offers.work[member, resource])
    collateral, slashing = posted(instance)[member], at_stake(instance)[teams.claim]
    yield _owned(limits, limits.of_kind(LimitKind.COLLATERAL), column_of, coprocessor, collateral)
    yield _owned(limits, limits.of_kind(LimitKind.STAKE), column, operator, slashing)
    deadline = instance.tasks.deadline[offers.task[member]]
    yield _due(limits, column_of, coprocessor, deadline, offers.duration[member])
    for kind, columns, owner, lost in (
        # Every team is the network's, whose limit is owned by NOBODY: a limit's owner is its teams' owner.
        (LimitKind.EXPECTED_LOSS_NETWORK, column, np.full(len(teams), NOBODY), loss),
        (LimitKind.EXPECTED_LOSS_OPERATOR, column, operator, loss),
        (LimitKind.EXPECTED_LOSS_COPROCESSOR, column_of, coprocessor, member_slashing(instance, teams)),
    ):
        for _, rows in _by_detail(limits, kind):
            yield _owned(limits, rows, columns, owner, lost)


def _by_detail(limits: Limits, kind: LimitKind) -> Iterator[tuple[int, IntArray]]:
    """Split the rows of a kind so that no owner has two: one resource, or one risk limit, at a time."""
    rows = limits.of_kind(kind)
    for detail in np.unique(limits.detail[rows]):
        yield int(detail), rows[limits.detail[rows] == detail]


def _owned(limits: Limits, rows: IntArray, column: IntArray, owner: IntArray, values: FloatArray) -> Entries:
    """Put each value into its column and the row of its owner, where there is one."""
    size = int(max(limits.owner[rows].max(initial=NOBODY), owner.max(initial=NOBODY))) + 1
    # One more place than there are owners: NOBODY, which is -1, reads and writes the last.
    row_of = np.full(size + 1, -1)
    row_of[limits.owner[rows]] = rows
    row = row_of[owner]
    kept = np.flatnonzero((row >= 0) & (values != 0.0))
    return row[kept], column[kept], values[kept]


def _due(
    limits: Limits, column: IntArray, coprocessor: IntArray, deadline: FloatArray, duration: FloatArray
) -> Entries:
    """Put each duration into its column and every row of its coprocessor that its deadline falls under."""
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
    return rows[position], column[place], duration[place]
