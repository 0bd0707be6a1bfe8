"""Keeps decisions apart from outcomes that nobody sees: those of work that was not chosen.

Nodes of a tree tell the outcomes of all offers apart, chosen or not. Without rows that link nodes that brings
nothing: nodes that agree on what was chosen have the same feasible decisions at the same values. With limits
on tails of what whole paths lose, such nodes could share a budget unevenly. So, where a solution decides
differently at two nodes n and m that look alike to whoever decides,

    x[n, j] - x[m, j]  <=  sum of the choices on the path to n whose outcomes differ between n and m

for the columns j that differ, and the same the other way round. Every policy of seen outcomes keeps these
rows: where none of those choices is made, n and m look alike, and decisions are the same.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.release import THIS_ROUND
from bondwork.program.linking import Linking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import IntArray
    from bondwork.program.horizon import HorizonProgram

#: Rows that are added before a solution breaks them.
MOST_AT_ONCE = 20_000

#: What a node looks like to whoever decides: the look of its parent, its decision point, and what is seen.
Look = tuple[int, int, tuple[float, ...], tuple[tuple[int, int, bool], ...]]


def alike(made: HorizonProgram, chosen: Sequence[IntArray]) -> IntArray:
    """Number nodes so that those that look alike have one number. Shape (N,).

    Parameters
    ----------
    chosen
        Columns that are chosen, by node. Of nodes that look alike the first one's count.
    """
    tree = made.tree
    looks: dict[Look, int] = {}
    number = np.zeros(len(tree.names), dtype=np.int64)
    done: dict[int, set[tuple[int, int]]] = {}  # chosen on the way, by number
    for node, (parent, point) in enumerate(zip(tree.tree.parent.tolist(), tree.period.tolist(), strict=True)):
        above = int(number[parent]) if parent >= 0 else -1
        before = done.get(above, set())
        amounts: tuple[float, ...] = ()
        outcomes: tuple[tuple[int, int, bool], ...] = ()
        if point > THIS_ROUND:
            seen, realisation = tree.seen[point], int(tree.realisation[node])
            amounts = tuple(seen.amounts[realisation].tolist())
            things = zip(seen.point.tolist(), seen.item.tolist(), seen.is_commitment.tolist(), strict=True)
            outcomes = tuple(
                (k, 0, good)
                for (k, (where, item, held)), good in zip(
                    enumerate(things), seen.outcomes[realisation].tolist(), strict=True
                )
                if held or (where, item) in before
            )
        look = (above, point, amounts, outcomes)
        number[node] = looks.setdefault(look, len(looks))
        if int(number[node]) not in done:
            mine = made.teams[point].select(chosen[node]).member.tolist() if point >= THIS_ROUND else []
            done[int(number[node])] = before | {(point, item) for item in mine}
    return number


def keep_unseen_apart(made: HorizonProgram, chosen: Sequence[IntArray]) -> HorizonProgram | None:
    """Add the rows that a solution lacks; ``None`` where it sees nothing that nobody sees.

    Parameters
    ----------
    chosen
        Columns that the solution chooses, by node.
    """
    pairs = _seen_alike(made, chosen)
    if not pairs:
        return None
    rows = _Rows(len(made.program.linking))
    for base, node in pairs:
        columns = np.setxor1d(chosen[base], chosen[node])
        rows.keep_apart(made, base, node, columns.tolist())
    _add_neighbours(made, rows)
    more = Linking.make(rows.rows, rows.entries, informational=range(len(rows.rows)))
    linking = made.program.linking.joined(more)
    return dataclasses.replace(made, program=dataclasses.replace(made.program, linking=linking))


def _seen_alike(made: HorizonProgram, chosen: Sequence[IntArray]) -> list[tuple[int, int]]:
    """Pairs of nodes that look alike and decide differently."""
    first: dict[int, int] = {}
    pairs = []
    for node, look in enumerate(alike(made, chosen).tolist()):
        base = first.setdefault(look, node)
        if not np.array_equal(chosen[base], chosen[node]):
            pairs.append((base, node))
    return pairs


class _Rows:
    """Collects rows that keep decisions of nodes from telling apart what nobody sees."""

    def __init__(self, known: int) -> None:
        self.known = known
        self.rows: list[tuple[str, float, float]] = []
        self.entries: list[tuple[int, int, int, float]] = []
        self.kept: set[tuple[int, int, int]] = set()

    def keep_apart(self, made: HorizonProgram, one: int, two: int, columns: Sequence[int]) -> None:
        """Columns of two nodes are the same unless something is chosen that tells the nodes apart."""
        for a, b in ((one, two), (two, one)):
            told_apart = _told_apart(made, a, b)
            for column in columns:
                if (a, b, column) not in self.kept:
                    self.kept.add((a, b, column))
                    row = len(self.rows)
                    self.rows.append((f"unseen {self.known + row + 1}", -np.inf, 0.0))
                    self.entries += [(row, a, column, 1.0), (row, b, column, -1.0)]
                    self.entries += [(row, at, each, -1.0) for at, each in told_apart]


def _add_neighbours(made: HorizonProgram, rows: _Rows) -> None:
    """Where one such row is missing, more are: add those of siblings that differ in one outcome, at once.

    Only once, and only as many as a solver takes well.
    """
    tree, program = made.tree, made.program
    if program.linking.informational.any():
        return
    together: dict[tuple[int, int, bytes], list[int]] = {}
    for node, (parent, point) in enumerate(zip(tree.tree.parent.tolist(), tree.period.tolist(), strict=True)):
        if point > THIS_ROUND:
            amounts = tree.seen[point].amounts[int(tree.realisation[node])]
            together.setdefault((parent, point, amounts.tobytes()), []).append(node)
    pairs = []
    for (_, point, _), nodes in together.items():
        seen = tree.seen[point]
        number = {seen.outcomes[int(tree.realisation[node])].tobytes(): node for node in nodes}
        for k in np.flatnonzero(~seen.is_commitment).tolist():
            for node in nodes:
                other = seen.outcomes[int(tree.realisation[node])].copy()
                if other[k]:
                    other[k] = False
                    if (twin := number.get(other.tobytes())) is not None:
                        pairs.append((node, twin))
    size = sum(2 * len(made.teams[int(tree.period[node])]) for node, _ in pairs)
    if size <= MOST_AT_ONCE:
        for node, twin in pairs:
            rows.keep_apart(made, node, twin, range(len(made.teams[int(tree.period[node])])))


def _told_apart(made: HorizonProgram, node: int, other: int) -> list[tuple[int, int]]:
    """Columns of nodes on the path to ``node`` whose outcomes differ between it and ``other``."""
    tree, program = made.tree, made.program
    paths = [[each for each in program.ancestors[n].tolist() if each >= 0] for n in (node, other)]
    at = {int(tree.period[each]): each for each in paths[0]}
    items: dict[int, set[int]] = {}
    for mine, theirs in zip(*paths, strict=True):
        point = int(tree.period[mine])
        if point <= THIS_ROUND:
            continue
        seen = tree.seen[point]
        one, two = (seen.outcomes[int(tree.realisation[each])] for each in (mine, theirs))
        for k in np.flatnonzero((one != two) & ~seen.is_commitment).tolist():
            items.setdefault(int(seen.point[k]), set()).add(int(seen.item[k]))
    found = []
    for point, some in items.items():
        teams = made.teams[point]
        columns = np.unique(teams.team[np.isin(teams.member, sorted(some))])
        found += [(at[point], column) for column in columns.tolist()]
    return found
