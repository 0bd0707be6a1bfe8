"""Collateral and stake of later periods as a ledger counts them; see `bondwork.program.staged_money`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import in_units
from bondwork.problem.limits import LimitKind
from bondwork.problem.teams import held_teams
from bondwork.program.horizon_entries import FORFEITABLE
from bondwork.program.horizon_values import NodeNumbers
from bondwork.program.staged_money import MoneyRow

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, IntArray
    from bondwork.problem.limits import Limits
    from bondwork.program.horizon import HorizonProgram


class HorizonLedger:
    """Rows of money of a round with later periods; a `bondwork.program.staged_money.Ledger`.

    Parameters
    ----------
    made
        The round's program, further rows or not.
    """

    same_everywhere = False

    def __init__(self, made: HorizonProgram) -> None:
        self.made = made
        self.tree = made.tree
        self.held = held_teams(made.tree.horizon.instance)
        self.decimals = made.tree.horizon.instance.decimals
        self._units: dict[float, int] = {}
        self._returned: dict[int, tuple[IntArray, BoolArray]] = {}
        template = made.program.template
        #: Decision point of every template that decides anything.
        self._point = {int(template[node]): int(p) for node, p in enumerate(made.tree.period.tolist())}

    def money(self, template: int) -> IntArray:
        """Which rows of a template are money."""
        rows = self.made.rows.get(self._point.get(template, -2))
        return np.zeros(0, dtype=np.int64) if rows is None else _money_rows(rows.limits)

    def at(self, node: int, rows: IntArray) -> list[MoneyRow]:
        """Some rows of a node, by their numbers."""
        program = self.made.program
        template = program.template_of(node)
        entries = program.values(node)[template.spans["entries"]]
        limits = self.made.rows[int(self.tree.period[node])].limits
        found = []
        for row in rows.tolist():
            mine = np.flatnonzero((template.entry_row == row) & (entries != 0.0))
            stage, column = template.entry_stage[mine], template.entry_column[mine]
            kind = int(limits.kind[row])
            taken = zip(stage.tolist(), column.tolist(), strict=True)
            owner = int(limits.owner[row])
            units = [self._taken(node, each, where, kind, owner) for each, where in taken]
            found.append(MoneyRow(row, stage, column, units, self._room(node, limits, row)))
        return found

    def _taken(self, node: int, stage: int, column: int, kind: int, owner: int) -> int:
        """What a choice of an ancestor takes while it counts: its owner's collateral, or its slashing."""
        above = int(self.made.program.ancestors[node][stage])
        point = int(self.tree.period[above])
        teams = self.made.teams[point]
        decided = self.tree.round_at(point, int(self.tree.realisation[above]))
        if kind == LimitKind.COLLATERAL:
            members = teams.member[teams.start[column] : teams.start[column + 1]]
            mine = members[decided.offers.coprocessor[members] == owner]
            return self._in_units(float(decided.offers.collateral[mine[0]]))
        return self._in_units(float(decided.claims.slashing[teams.claim[column]]))

    def _room(self, node: int, limits: Limits, row: int) -> int:
        """What commitments leave: collateral comes back where they succeed, stake is free again."""
        instance = self.tree.horizon.instance
        held, owner = instance.commitments, int(limits.owner[row])
        room = self._in_units(float(limits.budget[row]))
        back = self._succeeded(node)
        if limits.kind[row] == LimitKind.COLLATERAL:
            mine = np.flatnonzero(back & (held.coprocessor == owner))
            room += sum(self._in_units(float(each)) for each in held.collateral[mine])
        else:
            teams = self.held
            wins = np.bincount(teams.team, back[teams.member], minlength=len(teams))
            open_ = (wins < teams.quorum) & (instance.claims.operator[teams.claim] == owner)
            slashing = instance.claims.slashing[teams.claim[open_]]
            room -= sum(map(self._in_units, slashing.tolist()))
        return max(room, 0)

    def _succeeded(self, node: int) -> BoolArray:
        """Commitments that are seen to have succeeded at a node."""
        point = int(self.tree.period[node])
        if point not in self._returned:
            nodes = np.flatnonzero(self.tree.period == point)
            numbers = NodeNumbers(self.tree, point, self.made.rows[point].limits, nodes)
            self._returned[point] = nodes, numbers.returned()
        nodes, table = self._returned[point]
        found: BoolArray = table[int(np.searchsorted(nodes, node))]
        return found

    def _in_units(self, amount: float) -> int:
        if amount not in self._units:
            self._units[amount] = in_units(amount, self.decimals)
        return self._units[amount]


def _money_rows(limits: Limits) -> IntArray:
    return np.flatnonzero(np.isin(limits.kind, FORFEITABLE))
