"""Collateral and stake at every node of a staged program, exactly: which rows a decision breaks, and covers.

A solver sees rows of money as doubles, with tolerances of its own; a ledger counts whole units. Where a
decision breaks a row of some node by less than a solver sees, a cover rules it out: the choices that fill the
row cannot all be made, nor as many of those that use no less (E. Balas, Mathematical Programming 8 (1975)
146-164). A cover holds at every node of a template at which that is so; strategies of any kind then solve the
program again. What is checked here is what is handed out; nothing is repaired afterwards.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bondwork.program.node_rows import unique_names
from bondwork.program.template import NodeTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram

#: Share of a row's limit within which doubles cannot tell whether it holds.
NEAR = 1e-9

#: Times that a program is solved again with further covers.
MOST_ROUNDS = 200


class MoneyRow(NamedTuple):
    """A row of money at a node, in whole units.

    Attributes
    ----------
    row
        Its number in the template.
    stage, column
        Shape (e,). Whose columns it is about: those of the node's ancestor at that stage.
    units
        What each takes of it.
    room
        What there is.
    """

    row: int
    stage: IntArray
    column: IntArray
    units: list[int]
    room: int


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """At most ``most`` of some choices can be made, at some nodes of a template.

    Attributes
    ----------
    template
        Number of the template.
    stage, column
        Shape (e,). As of `MoneyRow`.
    nodes
        Where it holds.
    """

    template: int
    stage: IntArray
    column: IntArray
    most: int
    nodes: IntArray


class Ledger(Protocol):
    """What a program's rows of money are, exactly.

    ``same_everywhere`` says that they are the same at all nodes of a template.
    """

    same_everywhere: bool

    def at(self, node: int, rows: IntArray) -> list[MoneyRow]:
        """Some rows of a node, by their numbers."""
        ...

    def money(self, template: int) -> IntArray:
        """Which rows of a template are money."""
        ...


def find_covers(program: StochasticProgram, ledger: Ledger, values: Sequence[FloatArray]) -> list[Cover]:
    """Covers that rule a decision out, one for each row of money that it breaks; none where all hold.

    Parameters
    ----------
    values
        Columns of every node, or of the root alone.
    """
    money = [ledger.money(number) for number in range(len(program.templates))]
    found: list[Cover] = []
    for node in range(len(values)):
        kind = int(program.template[node])
        if not len(money[kind]):
            continue
        for each in ledger.at(node, _near(program, node, values, money[kind])):
            path = program.ancestors[node]
            x = np.array([values[path[s]][c] for s, c in zip(each.stage, each.column, strict=True)])
            chosen = np.flatnonzero(x > 0.5).tolist()
            if sum(each.units[k] for k in chosen) > each.room and not _is_covered(found, kind, node, x, each):
                found.append(_cover(program, ledger, node, each, chosen))
    return found


def _near(program: StochasticProgram, node: int, values: Sequence[FloatArray], money: IntArray) -> IntArray:
    """Rows of money of which doubles cannot say that they hold."""
    template, numbers = program.template_of(node), program.values(node)
    path = [values[each] for each in program.ancestors[node] if each >= 0]
    offsets = np.cumsum([0] + [len(each) for each in path])
    along = np.concatenate(path)
    products = (
        numbers[template.spans["entries"]] * along[offsets[template.entry_stage] + template.entry_column]
    )
    activity = np.bincount(template.entry_row, products, len(template.rows))[money]
    upper = numbers[template.spans["row_upper"]][money]
    size = np.where(np.isfinite(upper), np.abs(upper), 0.0)
    close: IntArray = money[np.isfinite(upper) & (activity > upper - NEAR * size) & (activity > 0.0)]
    return close


def _is_covered(found: Sequence[Cover], kind: int, node: int, x: FloatArray, row: MoneyRow) -> bool:
    """Whether a cover that was found before rules the choices of a row out."""
    made = {(int(s), int(c)) for s, c, v in zip(row.stage, row.column, x, strict=True) if v > 0.5}
    for each in found:
        if each.template == kind and node in each.nodes:
            of_it = zip(each.stage.tolist(), each.column.tolist(), strict=True)
            if sum(place in made for place in of_it) > each.most:
                return True
    return False


def _cover(program: StochasticProgram, ledger: Ledger, node: int, row: MoneyRow, chosen: list[int]) -> Cover:
    """Of the largest choices just as many as do not fit, and all that use no less than each of them."""
    order = sorted(chosen, key=lambda k: -row.units[k])
    total, size = 0, 0
    while total <= row.room:
        total += row.units[order[size]]
        size += 1
    made = order[:size]
    taken = set(made)
    largest = row.units[order[0]]
    members = [*made, *(k for k, units in enumerate(row.units) if units >= largest and k not in taken)]
    stage, column = row.stage[members], row.column[members]
    kind = int(program.template[node])
    nodes = np.flatnonzero(program.template == kind)
    places = list(zip(stage.tolist(), column.tolist(), strict=True))
    if not ledger.same_everywhere:
        others = (each == node or _fills(ledger, each, row.row, places, size) for each in nodes.tolist())
        nodes = nodes[np.fromiter(others, dtype=bool, count=len(nodes))]
    return Cover(kind, stage, column, size - 1, nodes)


def _fills(ledger: Ledger, node: int, row: int, places: list[tuple[int, int]], size: int) -> bool:
    """Whether any ``size`` of some choices take more of a node's row than there is."""
    (there,) = ledger.at(node, np.array([row]))
    known = dict(zip(zip(there.stage.tolist(), there.column.tolist(), strict=True), there.units, strict=True))
    least = sorted(known.get(place, 0) for place in places)[:size]
    return sum(least) > there.room


def with_covers(program: StochasticProgram, covers: Sequence[Cover]) -> StochasticProgram:
    """Return a program with covers as further rows of its templates."""
    for kind in sorted({each.template for each in covers}):
        program = _with_rows(program, kind, [each for each in covers if each.template == kind])
    return program


def _with_rows(program: StochasticProgram, kind: int, covers: list[Cover]) -> StochasticProgram:
    old = program.templates[kind]
    m, more = len(old.rows), len(covers)
    size = sum(len(each.stage) for each in covers)
    part = old.part
    known = sum(name.startswith("cover ") for name in old.rows)
    new = NodeTemplate(
        old.stage,
        old.columns,
        tuple(unique_names([*old.rows, *(f"cover {known + k + 1}" for k in range(more))])),
        old.integer,
        np.concatenate([old.entry_row, *(np.full(len(c.stage), m + k) for k, c in enumerate(covers))]),
        np.concatenate([old.entry_stage, *(c.stage for c in covers)]),
        np.concatenate([old.entry_column, *(c.column for c in covers)]),
        np.concatenate(
            [
                *(part(name) for name in ("constant", "cost", "lower", "upper", "row_lower")),
                np.full(more, -np.inf),
                part("row_upper"),
                np.full(more, np.inf),  # where it does not hold
                part("entries"),
                np.ones(size),
            ]
        ),
    )
    counts = np.diff(program.change_start)
    node_of = np.repeat(np.arange(len(program)), counts)
    position = program.change_position.copy()
    mine = program.template[node_of] == kind
    upper, entries = old.spans["row_upper"].start, old.spans["entries"].start
    position[mine] += more * (
        (position[mine] >= upper).astype(np.int64) + (position[mine] >= entries).astype(np.int64)
    )
    first = new.spans["row_upper"].start + m
    nodes = [node_of, *(each.nodes for each in covers)]
    places = [position, *(np.full(len(each.nodes), first + k) for k, each in enumerate(covers))]
    amounts = [program.change_value, *(np.full(len(each.nodes), float(each.most)) for each in covers)]
    whole = np.concatenate(nodes)
    order = np.argsort(whole, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(whole, minlength=len(program)))])
    return dataclasses.replace(
        program,
        templates=tuple(new if k == kind else each for k, each in enumerate(program.templates)),
        change_start=start.astype(np.int64),
        change_position=np.concatenate(places)[order],
        change_value=np.concatenate(amounts)[order],
    )
