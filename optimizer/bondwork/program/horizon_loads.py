"""Load incentives at every node of a horizon, by the straight pieces of `bondwork.program.loads`.

The load of a coprocessor at a node is what is held there: work chosen on the path and not released yet, and
commitments that are not, over its capacity. When work is released depends on its duration alone, so all nodes
of a decision point have the same rows.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.market.load_curve import LOAD_TOLERANCE
from bondwork.market.piecewise import overestimate
from bondwork.problem.release import THIS_ROUND
from bondwork.program.loads import NO_MOVE, LoadTerm, Pieces, start_value
from bondwork.program.widening import Addition, widen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import LoadCurve
    from bondwork.program.horizon import HorizonProgram


def with_loads(made: HorizonProgram) -> HorizonProgram:
    """Let the objective of a horizon's program add what loads earn at every node."""
    instance = made.tree.horizon.instance
    curves = [
        (number, curve)
        for number, curve in enumerate(instance.coprocessors.load_curve)
        if curve is not None and curve.amount != 0.0
    ]
    if not curves:
        return made
    additions, terms = {}, {}
    for point in [THIS_ROUND, *made.tree.horizon.reached]:
        node = int(np.flatnonzero(made.tree.period == point)[0])
        kind = int(made.program.template[node])
        terms[point], additions[kind] = _at(made, point, curves)
    program = widen(made.program, additions)
    return dataclasses.replace(made, program=program, loads=terms)


def held_work(
    made: HorizonProgram, point: int, coprocessor: int, resource: int
) -> Iterator[tuple[int, IntArray, IntArray, FloatArray]]:
    """Work that may be held at the nodes of a decision point: of each point of its path, whose it is.

    Yields
    ------
    tuple
        Depth and, for each member of a team that is held and has work, its place among the members of all
        teams of that depth, its team, and its work.
    """
    horizon = made.tree.horizon
    for depth, each in enumerate(horizon.path(point)):
        offers, teams = horizon.rounds[each].offers, made.teams[each]
        mine = offers.coprocessor[teams.member] == coprocessor
        if each != point:
            mine &= ~horizon.released(each, point)[teams.member]
        place = np.flatnonzero(mine & (offers.work[teams.member, resource] > 0.0))
        yield depth, place, teams.team[place], offers.work[teams.member[place], resource]


def start_load(made: HorizonProgram, point: int, coprocessor: int, curve: LoadCurve) -> float:
    """Load of the commitments that are held at a decision point."""
    horizon = made.tree.horizon
    held = horizon.instance.commitments
    mine = (held.coprocessor == coprocessor) & ~horizon.commitments_released(point)
    capacity = float(horizon.instance.coprocessors.capacity[coprocessor, curve.resource])
    return math.fsum(held.work[mine, curve.resource].tolist()) / capacity


def load_gains(made: HorizonProgram, chosen: Sequence[IntArray]) -> list[list[float]]:
    """What loads earn at every node, exactly, in currency; nothing where no curve has a weight.

    Parameters
    ----------
    chosen
        Columns that are chosen, by node.
    """
    found: list[list[float]] = []
    for node in range(len(chosen)):
        point = int(made.tree.period[node])
        gains = []
        for number, term in zip(*made.loads.get(point, ((), ())), strict=True):
            curve = made.tree.horizon.instance.coprocessors.load_curve[number]
            assert curve is not None
            path = made.program.ancestors[node].tolist()
            work = [
                amount
                for depth, _, team, works in held_work(made, point, number, curve.resource)
                for amount in works[np.isin(team, chosen[path[depth]])].tolist()
            ]
            gains.append(term.amount * term.incentive.at(term.start + math.fsum(work) / term.capacity))
        found.append(gains)
    return found


def load_error(made: HorizonProgram) -> float:
    """How far the pieces of all nodes together are above the exact incentives at most, in currency."""
    chances = made.tree.tree.probability
    return math.fsum(
        float(chances[made.tree.period == point].sum()) * term.pieces.error
        for point, (_, terms) in made.loads.items()
        for term in terms
        if term.pieces is not None
    )


def _at(
    made: HorizonProgram, point: int, curves: Sequence[tuple[int, LoadCurve]]
) -> tuple[tuple[tuple[int, ...], tuple[LoadTerm, ...]], Addition]:
    """The load terms of a decision point, and what they put into its template."""
    instance = made.tree.horizon.instance
    terms, works = [], []
    for number, curve in curves:
        capacity = float(instance.coprocessors.capacity[number, curve.resource])
        held = list(held_work(made, point, number, curve.resource))
        start = start_load(made, point, number, curve)
        most = 0.0
        for depth, place, _, amount in held:
            member = made.teams[made.tree.horizon.path(point)[depth]].member[place]
            _, first = np.unique(member, return_index=True)
            most += float(amount[first].sum())
        end = min(max(start, 1.0), start + most / capacity)
        pieces = None
        if end > start + NO_MOVE:
            pieces = overestimate(curve.incentive, curve.amount, start, end, LOAD_TOLERANCE)
        terms.append(LoadTerm(-1, capacity, start, curve.incentive, curve.amount, pieces))
        if pieces is not None:
            works.append(held)
    kept = 1.0 - instance.objective.risk_weight
    return (tuple(number for number, _ in curves), tuple(terms)), _addition(
        made, point, tuple(terms), works, kept
    )


def _addition(
    made: HorizonProgram,
    point: int,
    terms: tuple[LoadTerm, ...],
    works: Sequence[Sequence[tuple[int, IntArray, IntArray, FloatArray]]],
    kept: float,
) -> Addition:
    """Columns and rows of the pieces of a decision point."""
    node = int(np.flatnonzero(made.tree.period == point)[0])
    template = made.program.template_of(node)
    path = [made.teams[each] for each in made.tree.horizon.path(point)]
    offsets = np.cumsum([0, *map(len, path)])
    pieces = Pieces.of(terms)
    line, column, value = [], [], []
    for number, held in enumerate(works):
        for depth, _, team, amount in held:
            line.append(np.full(len(team), number))
            column.append(offsets[depth] + team)
            value.append(amount)
    flat = [np.concatenate([np.zeros(0), *each]) for each in (line, column, value)]
    shape = (len(works), int(offsets[-1]))
    work = coo_array((flat[2], (flat[0].astype(np.int64), flat[1].astype(np.int64))), shape=shape).tocsr()
    block = pieces.block(work)
    matrix = coo_array(block.matrix)
    row, place = (each.astype(np.int64) for each in matrix.coords)
    own = place >= shape[1]
    stage = np.where(own, len(path) - 1, np.searchsorted(offsets, place, side="right") - 1)
    here = np.where(own, place - shape[1] + len(template.columns), place - offsets[stage])
    return Addition(
        columns=[f"load {k + 1}" for k in range(len(block.lower))],
        rows=[f"load {k + 1}" for k in range(len(block.row_lower))],
        cost=kept * block.measured / made.unit,
        lower=block.lower,
        upper=block.upper,
        integer=block.integer,
        row_lower=block.row_lower,
        row_upper=block.row_upper,
        entry_row=len(template.rows) + row,
        entry_stage=stage,
        entry_column=here,
        entry_value=matrix.data,
        constant=kept * start_value(terms) / made.unit,
    )
