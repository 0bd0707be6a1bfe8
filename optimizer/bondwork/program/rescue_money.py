"""Collateral and stake of a second stage as a ledger counts them; see `bondwork.program.staged_money`.

What the first stage uses stays used, whatever failed: so the rows of money are the same at all nodes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import all_in_units
from bondwork.problem.limits import LimitKind
from bondwork.program.exact import ExactRows
from bondwork.program.horizon_entries import FORFEITABLE
from bondwork.program.staged_money import MoneyRow, find_covers, with_covers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.redelegation import Redelegation
    from bondwork.program.staged_money import Cover


class RescueLedger:
    """Rows of money of both stages; a `bondwork.program.staged_money.Ledger`.

    Parameters
    ----------
    model
        A round's program, what the first stage leaves not in columns of its own.
    """

    same_everywhere = True

    def __init__(self, model: Redelegation) -> None:
        self.model = model
        first = model.first
        self._core = first.without_auxiliaries()
        self._exact = ExactRows(self._core)
        self._position = np.cumsum(first.rows_of_choices) - 1
        limits = first.limits
        money = np.isin(limits.kind, FORFEITABLE) & np.isfinite(first.row_upper[: len(limits)])
        self._money = np.flatnonzero(money & first.rows_of_choices[: len(limits)])
        late = np.array(sorted(model.money), dtype=np.int64)
        self._late = late[np.isin([model.money[row] for row in late.tolist()], self._money)]
        self._known: dict[tuple[int, int], MoneyRow] = {}

    def money(self, template: int) -> IntArray:
        """Which rows of a template are money."""
        return self._money if template == 0 else self._late

    def at(self, node: int, rows: IntArray) -> list[MoneyRow]:
        """Some rows of a node, by their numbers."""
        return [self._row(min(node, 1), row) for row in rows.tolist()]

    def _row(self, stage: int, row: int) -> MoneyRow:
        if (stage, row) not in self._known:
            mine = row if stage == 0 else self.model.money[row]
            place = int(self._position[mine])
            matrix = self._core.matrix
            columns = matrix.indices[matrix.indptr[place] : matrix.indptr[place + 1]].astype(np.int64)
            units = self._exact.units(place, columns)
            stages = np.zeros(len(columns), dtype=np.int64)
            if stage == 1:
                late, more = self._rescues(mine)
                stages = np.append(stages, np.ones(len(late), dtype=np.int64))
                columns, units = np.append(columns, late), [*units, *more]
            self._known[stage, row] = MoneyRow(row, stages, columns, units, self._exact.room(place))
        return self._known[stage, row]

    def _rescues(self, row: int) -> tuple[IntArray, list[int]]:
        """Decisions of a node that take something of a limit: failed tasks are at stake already."""
        model, instance = self.model, self.model.instance
        offers, owner = instance.offers, model.first.limits.owner[row]
        late = model.rescues.offers[np.concatenate([model.over, model.up])]
        if model.first.limits.kind[row] == LimitKind.COLLATERAL:
            amount, mine = offers.collateral[late], offers.coprocessor[late] == owner
        else:
            amount, mine = instance.claims.slashing[offers.claim[late]], offers.operator[late] == owner
            mine &= np.arange(len(late)) >= len(model.over)
        columns = np.flatnonzero(mine & (amount > 0.0))
        return columns, all_in_units(amount[columns], instance.decimals)


def covers_of(model: Redelegation, x: FloatArray, rescued: Sequence[FloatArray]) -> list[Cover]:
    """Covers that rule a decision out; none where collateral and stake hold to the last unit.

    Parameters
    ----------
    x
        First stage, shape (choices,) at least.
    rescued
        Of every node its decisions; further columns do not matter.
    """
    program = model.program
    widths = [len(each.columns) for each in program.templates]
    n = model.first.choices
    values = [_padded(x[:n], widths[0]), *(_padded(each[: model.decisions], widths[1]) for each in rescued)]
    return find_covers(program, RescueLedger(model), values)


def with_further_covers(model: Redelegation, covers: Sequence[Cover]) -> Redelegation:
    """Return a model with further covers; programs made of it again have them, too."""
    program = with_covers(model.program, covers)
    return dataclasses.replace(model, program=program, covers=(*model.covers, *covers))


def without_excess(model: Redelegation, x: FloatArray, rescued: FloatArray) -> FloatArray:
    """Give up rescues until collateral and stake hold to the last unit in every outcome."""
    ledger, kept = RescueLedger(model), rescued.copy()
    for each in ledger.at(1, ledger.money(1)):
        own = each.stage == 1
        units = np.array(each.units, dtype=object)
        columns, amounts = each.column[own], units[own]
        room = each.room - sum(units[~own][x[each.column[~own]] > 0.5])
        for k in range(len(kept)):
            made = np.flatnonzero(kept[k, columns] > 0.5)
            for place in sorted(made.tolist(), key=lambda at: -amounts[at]):
                if sum(amounts[np.flatnonzero(kept[k, columns] > 0.5)]) <= room:
                    break
                kept[k, columns[place]] = 0.0
    return kept


def _padded(values: FloatArray, size: int) -> FloatArray:
    return np.append(values, np.zeros(size - len(values)))
