"""What multipliers of its rows prove about a stochastic program, in exact fractions of its document.

No solver, no extensive form: rows are read node by node, as `bondwork.program.program_recount` does.

References
----------
A. Neumaier & O. Shcherbina, Safe bounds in linear and mixed-integer linear programming, Mathematical
Programming 99 (2004) 283-296.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.plan.certificate import BadCertificate
from bondwork.program.program_multipliers import LINKING, Multiplier, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bondwork.arrays import FloatArray
    from bondwork.program.stochastic import StochasticProgram

#: Column of the whole program and coefficient.
Terms: TypeAlias = list[tuple[int, Fraction]]

#: How often all rows are read again for bounds that follow from one another.
_MOST_PASSES = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A row: ``lower <= sum of coefficient * column <= upper``, ``None`` for no limit."""

    lower: Fraction | None
    upper: Fraction | None
    terms: Terms


@dataclass(slots=True)
class Proven:
    """What multipliers prove.

    Attributes
    ----------
    bound
        Of the maximisation (a minimisation's values negated); ``None`` where `loose` is not empty.
    reduced
        Reduced costs that are not 0, by column.
    loose
        Columns without a bound on the side to which their reduced cost points.
    size
        Sum of the sizes of what the bound is made of.
    """

    bound: Fraction | None = None
    reduced: dict[int, Fraction] = field(default_factory=dict)
    loose: list[int] = field(default_factory=list)
    size: Fraction = Fraction(0)

    def is_beaten(self, objective: float) -> bool:
        """Whether an objective is better than rows that hold within their tolerance can explain.

        Rows and bounds of columns may be exceeded by `PROGRAM_ROW` of their terms, and the bound is about
        those that are not: it may be missed by that share of what it is made of.
        """
        own = Fraction(objective)
        return self.bound is not None and own - self.bound > Fraction(PROGRAM_ROW) * (self.size + abs(own))


class ProgramBound:
    """Bounds of a program by weak duality, always of the maximisation.

    Parameters
    ----------
    program
        Its rows are read when they are first needed.
    """

    def __init__(self, program: StochasticProgram) -> None:
        self.program = program
        widths = [len(each.columns) for each in program.templates]
        self.start = [0]
        for kind in program.template.tolist():
            self.start.append(self.start[-1] + widths[kind])
        self.sign = 1 if program.sense == "max" else -1
        self.constant = Fraction(0)
        self.cost: dict[int, Fraction] = {}
        self.lower: list[Fraction | None] = []
        self.upper: list[Fraction | None] = []
        self.whole: list[bool] = []
        self._read_columns()
        # those of the document, before any that rows imply
        self.own_lower, self.own_upper = tuple(self.lower), tuple(self.upper)
        self._rows: dict[Place, Row] = {}
        self._derived = False

    def _read_columns(self) -> None:
        chances: list[Fraction] = []
        for node, above in enumerate(self.program.parent.tolist()):
            own = Fraction(float(self.program.conditional[node]))
            chances.append(own if above < 0 else chances[above] * own)
            template, numbers = self.program.template_of(node), self.program.values(node)
            part = {name: numbers[span].tolist() for name, span in template.spans.items()}
            weight = self.sign * chances[node]
            self.constant += weight * Fraction(part["constant"][0])
            for column, cost in enumerate(part["cost"], self.start[node]):
                if cost:
                    self.cost[column] = weight * Fraction(cost)
            self.whole += template.integer.tolist()
            for low, high, whole in zip(part["lower"], part["upper"], template.integer.tolist(), strict=True):
                self.lower.append(_limit(low, math.ceil if whole else None))
                self.upper.append(_limit(high, math.floor if whole else None))

    def row(self, place: Place) -> Row:
        """Return a row, by node and position.

        Raises
        ------
        BadCertificate
            The program has no such row.
        """
        if len(place) == 3:
            return self._opening(*place)
        if place not in self._rows:
            node, row = place
            last = len(self.program.linking) if node == LINKING else -1
            if 0 <= node < len(self.program):
                last = len(self.program.template_of(node).rows)
            if row >= last:
                whose = "linking" if node == LINKING else f"of node {node}"
                raise BadCertificate(f"there is no row {row} {whose}")
            self._rows |= self._linking_rows if node == LINKING else self._rows_of(node)
        return self._rows[place]

    def _opening(self, node: int, row: int, user: int) -> Row:
        """The row that `bondwork.program.strengthening` makes of a row and a column that others open.

        Of ``a y + ... <= sum of b z`` it says ``y <= sum of min(1, b / a) z``, without the min where z is
        not whole; no column of the row may be negative, and y is at most 1 and whole.
        """
        base = self.row((node, row))
        terms: dict[int, Fraction] = {}
        for column, value in base.terms:
            terms[column] = terms.get(column, Fraction(0)) + value
        sign = 1 if terms.get(user, Fraction(0)) > 0 else -1
        limit = base.upper if sign > 0 else base.lower
        above = self.own_upper[user] if user in terms else None
        fits = limit == 0 and above is not None and above <= 1 and self.whole[user]
        lowest = [self.own_lower[each] for each in terms]
        if not fits or any(low is None or low < 0 for low in lowest):
            raise BadCertificate(f"row {row} of node {node} opens nothing for column {user}")
        own = sign * terms[user]
        made: Terms = [(user, Fraction(1))]
        for column, value in terms.items():
            if sign * value < 0:
                share = -sign * value / own
                made.append((column, -min(share, Fraction(1)) if self.whole[column] else -share))
        return Row(None, Fraction(0), made)

    def _rows_of(self, node: int) -> dict[Place, Row]:
        template, numbers = self.program.template_of(node), self.program.values(node)
        path = self.program.ancestors[node].tolist()
        owner = [self.start[path[stage]] for stage in template.entry_stage.tolist()]
        columns = [first + at for first, at in zip(owner, template.entry_column.tolist(), strict=True)]
        part = {name: numbers[span] for name, span in template.spans.items()}
        return _rows(
            node, template.entry_row.tolist(), columns, part["entries"], part["row_lower"], part["row_upper"]
        )

    @cached_property
    def _linking_rows(self) -> dict[Place, Row]:
        linking = self.program.linking
        places = zip(linking.entry_node.tolist(), linking.entry_column.tolist(), strict=True)
        columns = [self.start[node] + column for node, column in places]
        value, lower, upper = linking.entry_value, linking.row_lower, linking.row_upper
        return _rows(LINKING, linking.entry_row.tolist(), columns, value, lower, upper)

    def all_rows(self) -> dict[Place, Row]:
        """Every row of the program."""
        for node in range(len(self.program)):
            if len(self.program.template_of(node).rows) and (node, 0) not in self._rows:
                self._rows |= self._rows_of(node)
        self._rows |= self._linking_rows
        return self._rows

    def proven(self, multipliers: Mapping[Place, Multiplier], *, costs: bool = True) -> Proven:
        """Work out what multipliers prove.

        Parameters
        ----------
        multipliers
            In the sense of the program: what the bound moves by when the limit of a row does. Where it
            maximises, those > 0 are of upper limits and those < 0 of lower ones; where it minimises, the
            other way round.
        costs
            Count what columns cost. Without them a bound below 0 proves that nothing is feasible.

        Raises
        ------
        BadCertificate
            A multiplier of a row, or of a limit of one, that the program does not have.
        """
        found = Proven(self.constant if costs else Fraction(0))
        assert found.bound is not None
        found.size = abs(found.bound)
        reduced = dict(self.cost) if costs else {}
        total = found.bound
        for place, told in multipliers.items():
            row, y = self.row(place), self.sign * Fraction(told)
            limit = row.upper if y > 0 else row.lower
            if y == 0:
                continue
            if limit is None:
                side = "upper" if y > 0 else "lower"
                raise BadCertificate(f"row {place[1]} of node {place[0]} has no {side} limit to multiply")
            total += y * limit
            found.size += abs(y * limit)
            for column, value in row.terms:
                reduced[column] = reduced.get(column, Fraction(0)) - y * value
        found.reduced = {column: cost for column, cost in reduced.items() if cost}
        for column, cost in found.reduced.items():
            at = self._furthest(column, cost)
            if at is None:
                found.loose.append(column)
                continue
            total += cost * at
            found.size += abs(cost * at)
        found.bound = None if found.loose else total
        return found

    def is_crossed(self) -> bool:
        """Whether a whole column has no whole number between its bounds."""
        return any(
            low is not None and high is not None and low > high
            for low, high in zip(self.lower, self.upper, strict=True)
        )

    def is_refuted(self, multipliers: Mapping[Place, Multiplier]) -> bool:
        """Whether multipliers prove that nothing is feasible (Farkas), rows that barely hold included."""
        return self.is_crossed() or self.proven(multipliers, costs=False).is_beaten(0.0)

    def _furthest(self, column: int, cost: Fraction) -> Fraction | None:
        """Bound of a column on the side where it earns most: its own, or one that rows imply."""
        side = self.upper if cost > 0 else self.lower
        if side[column] is None and not self._derived:
            self._derived = True
            self._derive()
        return side[column]

    def _derive(self) -> None:
        """Fill missing bounds of columns in by what single rows imply, until nothing follows any more."""
        infinite = {
            column for column in range(len(self.lower)) if None in (self.lower[column], self.upper[column])
        }
        rows = [row for row in self.all_rows().values() if any(column in infinite for column, _ in row.terms)]
        for _ in range(_MOST_PASSES):
            moved = False
            for row in rows:
                if row.upper is not None:
                    moved |= self._tighten(row.terms, row.upper)
                if row.lower is not None:
                    moved |= self._tighten([(column, -value) for column, value in row.terms], -row.lower)
            if not moved:
                break

    def _tighten(self, terms: Terms, limit: Fraction) -> bool:
        """Draw bounds from ``sum of value * column <= limit`` for columns that have none."""
        least, open_ = Fraction(0), []
        for column, value in terms:
            at = (self.lower if value > 0 else self.upper)[column]
            if at is None:
                open_.append(column)
            else:
                least += value * at
            if len(open_) > 1:
                return False
        moved = False
        for column, value in terms:
            side = self.upper if value > 0 else self.lower
            if side[column] is not None or open_ not in ([], [column]):
                continue
            other = (self.lower if value > 0 else self.upper)[column]
            rest = least if other is None else least - value * other
            side[column] = (limit - rest) / value
            moved = True
        return moved


def _rows(
    node: int,
    owner: Iterable[int],
    columns: Iterable[int],
    values: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> dict[Place, Row]:
    terms: list[Terms] = [[] for _ in lower]
    for row, column, value in zip(owner, columns, values.tolist(), strict=True):
        if value:
            terms[row].append((column, Fraction(value)))
    return {
        (node, row): Row(_limit(low), _limit(high), terms[row])
        for row, (low, high) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True))
    }


def _limit(value: float, rounded: object = None) -> Fraction | None:
    """A limit as a fraction; of a whole column the whole number inside."""
    if not math.isfinite(value):
        return None
    return Fraction(rounded(value) if callable(rounded) else value)
