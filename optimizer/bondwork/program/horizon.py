"""A round with later periods as a stochastic program: a node for each period and what was seen (MODEL 4).

Everything that is decided holds capacity, collateral and stake until it is released; a failure then forfeits
collateral and stake for good. So at node n, with o over the offers chosen on the path and still held, and f
over those released with a failure,

    capacity     sum of work * x[o]                    <=  capacity - work of held commitments
    collateral   sum of l * x[o]  +  sum of l * x[f]   <=  free + what commitments returned
    stake        sum of s * x[o]  +  sum of s * x[f]   <=  stake - s of held and of failed commitments

which is K[c,n] = K[c,m] - sum of l*x + sum of l*omega*x written out along the path. Where commitments alone
exceed a limit at a node, the right side is 0: what they take never makes a round infeasible. Offers are
valued at their success probabilities; their outcomes decide over what is left for later. A limit on the
expected loss is about what is held at a node.

A serial coprocessor works by deadline, and what it was given at a period cannot start before: for every
period j on the path and every deadline D, the durations of what was given from j on and is due by D fit
between j and D. For jobs that may be interrupted when a later period brings an earlier deadline, that is
exact (the demand criterion of Baruah, Mok & Rosier 1990); it is MODEL 2.9 where there is one period.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import STAGED_ROW, WORTH_NOISE
from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, Limits, enumerate_limits
from bondwork.problem.release import THIS_ROUND
from bondwork.problem.teams import enumerate_teams, held_teams, team_net_reward, team_size
from bondwork.problem.values import is_committed
from bondwork.program.exact import HAIR
from bondwork.program.horizon_entries import EXPECTED, FORFEITABLE, Entries, entries_of
from bondwork.program.horizon_loads import with_loads
from bondwork.program.horizon_losses import path_measures
from bondwork.program.horizon_measures import with_measures
from bondwork.program.horizon_room import RoomToTheEnd
from bondwork.program.horizon_values import NodeNumbers
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.program.units import in_reach, row_units, unit_for
from bondwork.program.widening import Addition, widen
from bondwork.uncertainty.horizon import ENDED, HorizonTree, unique_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.program.horizon_losses import PathMeasures
    from bondwork.program.loads import LoadTerm


@dataclass(frozen=True, slots=True, eq=False)
class PointRows:
    """What the rows of a decision point's nodes are; rows after these were put there for another reason.

    Attributes
    ----------
    limits
        By row.
    begins
        Position on the path from which decisions count, by row.
    units
        What the numbers of each row were divided by.
    """

    limits: Limits
    begins: IntArray
    units: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class HorizonProgram:
    """The stochastic program of a round with later periods, and what its columns mean.

    Attributes
    ----------
    tree
        The tree it was made of; its nodes are the program's.
    program
        A maximisation of the expected net reward over the whole horizon, in units of ``unit`` currency.
    bare
        The same without load incentives, limits on tails and the price of losses: the choices and limits of
        every node alone, its columns those that come first in ``program``.
    teams
        By decision point, the teams its columns decide about; an offer by itself is one.
    unit
        1, or a power of two where amounts are far from 1; see `bondwork.program.units`.
    rows
        By decision point, what its rows are.
    measures
        Of the limits on tails of what whole paths lose, and of the mean-risk objective.
    loads
        By decision point, the coprocessors with a load curve that counts, and their terms; empty where none
        does.
    """

    tree: HorizonTree
    program: StochasticProgram
    bare: StochasticProgram
    teams: tuple[Teams, ...]
    unit: float
    rows: dict[int, PointRows]
    measures: PathMeasures
    loads: Mapping[int, tuple[tuple[int, ...], tuple[LoadTerm, ...]]] = field(default_factory=dict)

    @property
    def is_bare(self) -> bool:
        """Whether choices and limits of every node are all there is."""
        return not (self.loads or self.measures.limits or self.measures.priced is not None)


def horizon_program(tree: HorizonTree) -> HorizonProgram:
    """Write the program of a round with later periods down.

    Parameters
    ----------
    tree
        From `bondwork.uncertainty.horizon.horizon_tree`.

    Notes
    -----
    Second-stage offers are not in it: whoever calls refuses rounds where they would change the answer.

    Examples
    --------
    A failure in this round costs the collateral that the next one needs; it is worth it only by its odds:

    >>> import bondwork
    >>> from bondwork.uncertainty.horizon import horizon_tree
    >>> offer = {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75}
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp", "free_collateral": 3}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 4}], "offers": [offer],
    ...     "periods": [{"id": "next", "at": 60, "tasks": [{"id": "t", "operator": "op", "reward": 8}],
    ...                  "offers": [offer]}]})
    >>> made = horizon_program(horizon_tree(instance))
    >>> made.program.node(1).to_ancestors[0].toarray().tolist(), made.program.node(1).row_upper.tolist()
    ([[0.0], [2.0]], [1.0, 3.0])
    >>> made.program.node(2).to_ancestors[0].toarray().tolist()  # where it succeeded
    [[0.0], [0.0]]
    """
    horizon = tree.horizon
    teams = tuple(enumerate_teams(each) for each in horizon.rounds)
    points = [THIS_ROUND, *horizon.reached]
    gains = {point: _gains(tree, point, teams[point]) for point in points}
    largest = max((float(np.abs(gain).max(initial=0.0)) for gain, _ in gains.values()), default=0.0)
    measures = path_measures(tree, teams)
    amounts = [curve.amount for curve in horizon.instance.coprocessors.load_curve if curve is not None]
    largest = max([largest, *map(abs, amounts)])
    if measures.priced is not None:
        largest = max(largest, measures.priced.loss.unit)
    unit = unit_for(largest)
    templates: list[NodeTemplate] = []
    number: dict[int, int] = {}
    rows: dict[int, PointRows] = {}
    values: list[FloatArray] = [np.zeros(0)] * len(tree.names)
    for point in points:
        nodes = np.flatnonzero(tree.period == point)
        builder = _Template(tree, point, teams)
        number[point] = len(templates)
        template, table, rows[point] = builder.write(nodes, gains[point][0] / unit, gains[point][1] / unit)
        templates.append(template)
        for node, row in zip(nodes.tolist(), table, strict=True):
            values[node] = row
    kind = np.array([number.get(point, -1) for point in tree.period.tolist()], dtype=np.int64)
    for stage in np.unique(tree.tree.stage[tree.period == ENDED]).tolist():
        kind[(tree.period == ENDED) & (tree.tree.stage == stage)] = len(templates)
        templates.append(NodeTemplate.make(stage, [], cost=[]))
    start, position, value = _changes(templates, kind, values)
    program = StochasticProgram(
        name=horizon.instance.name,
        sense="max",
        stages=tuple(f"decision {t + 1}" for t in range(horizon.stages)),
        templates=tuple(templates),
        template=kind,
        parent=np.array(tree.tree.parent),
        conditional=np.array(tree.tree.conditional),
        nodes=tree.names,
        change_start=start,
        change_position=position,
        change_value=value,
        row_tolerance=STAGED_ROW,
    )
    return with_measures(with_loads(HorizonProgram(tree, program, program, teams, unit, rows, measures)))


def kept_apart(made: HorizonProgram, apart: Sequence[Collection[int]]) -> HorizonProgram:
    """Forbid sets of offers to be chosen all together in the round itself.

    Parameters
    ----------
    apart
        Offers of the round, by position, each set at least one.
    """
    teams = made.teams[THIS_ROUND]
    counts = [
        np.bincount(teams.team[np.isin(teams.member, sorted(each))], minlength=len(teams)) for each in apart
    ]
    return dataclasses.replace(
        made, program=_kept_apart(made.program, counts, apart), bare=_kept_apart(made.bare, counts, apart)
    )


def _kept_apart(
    program: StochasticProgram, counts: Sequence[IntArray], apart: Sequence[Collection[int]]
) -> StochasticProgram:
    members = [np.flatnonzero(each) for each in counts]
    first = len(program.template_of(0).rows)
    more = Addition(
        rows=[f"kept apart {k + 1}" for k in range(len(apart))],
        row_lower=np.full(len(apart), -np.inf),
        row_upper=np.array([len(each) - 1.0 for each in apart]),
        entry_row=np.concatenate([np.full(len(each), first + k) for k, each in enumerate(members)]),
        entry_stage=np.zeros(sum(map(len, members)), dtype=np.int64),
        entry_column=np.concatenate(members),
        entry_value=np.concatenate([each[each > 0] for each in counts]).astype(np.float64),
    )
    return widen(program, {int(program.template[0]): more})  # of the root alone


def _gains(tree: HorizonTree, point: int, teams: Teams) -> tuple[FloatArray, FloatArray]:
    """What each column earns, by realisation, and what leaving every task costs. Shapes (R, n) and (1,).

    Terms that cancel on paper leave a rounding in binary: what is worth nothing up to it is worth nothing,
    or a round in which nothing earns anything would be decided by roundings.
    """
    decided = tree.horizon.rounds[point]
    cost = np.where(is_committed(decided), 0.0, decided.tasks.unassigned_cost)
    count = len(tree.seen[point].probability) if point in tree.seen else 1
    room = RoomToTheEnd(tree.horizon, point, teams)
    rounds = [tree.round_at(point, j) for j in range(count)]
    left = cost[decided.claims.task[teams.claim]]
    reward = np.stack([team_net_reward(each, teams) - room.charge(each) + left for each in rounds])
    size = np.stack([team_size(each, teams) + left for each in rounds])
    reward[np.abs(reward) <= WORTH_NOISE * size] = 0.0
    kept = 1.0 - tree.horizon.instance.objective.risk_weight
    return kept * reward, kept * np.array([cost.sum()])


class _Template:
    """Writes the template of a decision point's nodes, and the numbers of each node."""

    def __init__(self, tree: HorizonTree, point: int, teams: tuple[Teams, ...]) -> None:
        self.tree = tree
        self.point = point
        self.teams = teams
        self.decided = tree.horizon.rounds[point]
        self.path = tree.horizon.path(point)
        self.limits, self.starts = self._limits()
        self._find_entries()

    def _limits(self) -> tuple[Limits, IntArray]:
        """Return the limits, and for each the position on the path from which decisions count in it."""
        limits = enumerate_limits(self.decided)
        here = len(self.path) - 1
        starts = np.zeros(len(limits), dtype=np.int64)
        starts[limits.kind == LimitKind.TASK] = here
        starts[limits.kind == LimitKind.DEADLINE] = here
        if self.point == THIS_ROUND:
            return limits, starts
        own = entries_of(self.decided, self.teams[self.point], limits)
        asked = np.isin(np.arange(len(limits)), own.row) | (limits.kind == LimitKind.TASK)
        asked |= self._may_grow(limits)
        rows = [np.flatnonzero(asked)]
        owners, deadlines, budget = [limits.owner[asked]], [limits.deadline[asked]], [limits.budget[asked]]
        begins = [starts[asked]]
        for owner, deadline, bound, start in self._windows(limits):
            rows.append(np.array([limits.of_kind(LimitKind.DEADLINE)[0]]))
            owners.append(np.array([owner]))
            deadlines.append(np.array([deadline]))
            budget.append(np.array([bound]))
            begins.append(np.array([start]))
        index = np.concatenate(rows)
        made = Limits(
            self.decided,
            limits.kind[index],
            np.concatenate(owners),
            limits.detail[index],
            np.concatenate(deadlines),
            np.concatenate(budget),
            limits.committed[index],
            limits.lower[index],
            np.maximum(np.concatenate(budget), 0.0),  # what is left at a node, its own numbers say
        )
        return made, np.concatenate(begins)

    def _may_grow(self, limits: Limits) -> BoolArray:
        """Limits on the expected loss that what was decided before may exceed, as others of a claim failed.

        Of everything else, what was decided before takes ever less.
        """
        horizon, found = self.tree.horizon, np.zeros(len(limits), dtype=bool)
        for point in self.path[:-1]:
            teams = self.teams[point]
            if teams.is_single:
                continue
            done = horizon.released(point, self.point)[teams.member]
            count = np.add.reduceat(done, teams.start[:-1], dtype=np.int64)
            half = (count > 0) & (count < teams.sizes)
            entries = entries_of(horizon.rounds[point], teams, limits)
            found[entries.row[half[entries.column]]] = True
        held = held_teams(horizon.instance)
        done = horizon.commitments_released(self.point)[held.member]
        if not held.is_single and done.any() and not done.all():
            found[:] = True
        return found & np.isin(limits.kind, EXPECTED)

    def _windows(self, limits: Limits) -> list[tuple[int, float, float, int]]:
        """Windows of serial coprocessors that began before this period: owner, deadline, length, begin."""
        horizon = self.tree.horizon
        mine = limits.of_kind(LimitKind.DEADLINE)
        windows = []
        for owner in np.unique(limits.owner[mine]).tolist():
            first = limits.deadline[mine[limits.owner[mine] == owner]].min()
            deadlines: set[float] = set(limits.deadline[mine[limits.owner[mine] == owner]].tolist())
            for begin in range(len(self.path) - 2, -1, -1):
                decided = horizon.rounds[self.path[begin]]
                chosen = np.unique(self.teams[self.path[begin]].member)
                chosen = chosen[decided.offers.coprocessor[chosen] == owner]
                deadlines |= set(decided.tasks.deadline[decided.offers.task[chosen]].tolist()) - {np.inf}
                free = max(float(decided.coprocessors.free_at[owner]), decided.now)
                windows += [(owner, each, each - free, begin) for each in sorted(deadlines) if each >= first]
        return windows

    def _find_entries(self) -> None:
        """List the entries of the path's decisions in the rows, task rows among them."""
        horizon = self.tree.horizon
        self.entries: list[tuple[int, Entries]] = []
        forfeitable = np.isin(self.limits.kind, FORFEITABLE)
        for position, point in enumerate(self.path):
            teams = self.teams[point]
            found = entries_of(horizon.rounds[point], teams, self.limits)
            counts = position >= self.starts[found.row]
            if point != self.point and len(found):
                # a serial coprocessor's past work is in its windows, whenever that is released
                done = horizon.released(point, self.point)[teams.member]
                open_ = np.add.reduceat(~done, teams.start[:-1], dtype=np.int64) > 0
                kind = self.limits.kind[found.row]
                held = np.where(np.isin(kind, EXPECTED), open_[found.column], ~done[found.member])
                counts &= held | (kind == LimitKind.DEADLINE) | forfeitable[found.row]
            self.entries.append((position, found.select(counts)))
        mine = self.teams[self.point]
        task_row = np.full(len(self.decided.tasks), NOBODY)
        rows = self.limits.of_kind(LimitKind.TASK)
        task_row[self.limits.owner[rows]] = rows
        row = task_row[self.decided.claims.task[mine.claim]]
        ones, plain = np.ones(len(mine)), np.zeros(len(mine), dtype=bool)
        own = Entries(row, np.arange(len(mine)), mine.start[:-1].copy(), ones, plain)
        self.entries.append((len(self.path) - 1, own))

    def write(
        self, nodes: IntArray, gains: FloatArray, left: FloatArray
    ) -> tuple[NodeTemplate, FloatArray, PointRows]:
        """Return the template, with the numbers of the first node, those of every node, and the rows."""
        numbers = NodeNumbers(self.tree, self.point, self.limits, nodes)
        points = [(self.path[position], found) for position, found in self.entries]
        shares = [numbers.entries(point, self.teams[point], found) for point, found in points]
        entries = np.concatenate(shares, axis=1)
        upper = numbers.upper()
        # decimals that add up exactly on paper need not do so in binary
        size = np.maximum(np.abs(self.limits.budget), np.abs(upper))  # what comes back may be far more
        hair = np.where(self.limits.kind == LimitKind.TASK, 0.0, HAIR * size)
        upper = upper + np.where(upper > 0.0, hair, 0.0)
        row = np.concatenate([found.row for _, found in self.entries]).astype(np.int64)
        scale = row_units(row, np.abs(entries).max(axis=0, initial=0.0), len(self.limits))
        upper = in_reach(upper / scale)
        entries = entries / scale[row]
        names = unique_names(_names(self.decided, self.teams[self.point]))
        template = NodeTemplate.make(
            len(self.path) - 1,
            names,
            unique_names([self.limits.label(k) for k in range(len(self.limits))]),
            cost=gains[int(self.tree.realisation[nodes[0]])],
            upper=1.0,
            integer=True,
            row_lower=self.limits.lower,
            row_upper=upper[0],
            constant=-float(left[0]),
        )
        stage = np.concatenate([np.full(len(found), position) for position, found in self.entries])
        column = [found.column for _, found in self.entries]
        count, n = len(nodes), len(names)
        table = np.concatenate(
            [
                np.full((count, 1), -float(left[0])),
                gains[self.tree.realisation[nodes]],
                np.zeros((count, n)),
                np.ones((count, n)),
                np.repeat(self.limits.lower[None], count, axis=0),
                upper,
                entries,
            ],
            axis=1,
        )
        whole = NodeTemplate(
            template.stage,
            template.columns,
            template.rows,
            np.ones(n, dtype=np.bool_),
            row,
            stage.astype(np.int64),
            np.concatenate(column).astype(np.int64),
            table[0].copy(),
        )
        return whole, table, PointRows(self.limits, self.starts, scale)


def _names(decided: Instance, teams: Teams) -> list[str]:
    """Name teams by their offers and the operator."""
    ids, operators = decided.offers.ids, decided.operators.ids
    member, start = teams.member.tolist(), teams.start.tolist()
    whose = decided.claims.operator[teams.claim].tolist()
    return [
        f"{' + '.join(ids[o] for o in member[start[j] : start[j + 1]])} for {operators[v]}"
        for j, v in enumerate(whose)
    ]


def _changes(
    templates: list[NodeTemplate], kind: IntArray, values: list[FloatArray]
) -> tuple[IntArray, IntArray, FloatArray]:
    """Where each node's numbers differ from those of its template."""
    counts, positions, changed = [0], [], []
    for each, mine in zip(kind.tolist(), values, strict=True):
        base = templates[each].values
        where = np.flatnonzero(mine != base) if len(mine) else np.zeros(0, dtype=np.int64)
        counts.append(len(where))
        positions.append(where)
        changed.append(mine[where])
    return (
        np.cumsum(counts, dtype=np.int64),
        np.concatenate(positions).astype(np.int64),
        np.concatenate(changed),
    )


def rounds_of(made: HorizonProgram, node: int) -> Instance:
    """Return the round that is decided at a node, its random amounts as they turned out there."""
    return made.tree.round_at(int(made.tree.period[node]), int(made.tree.realisation[node]))
