"""The core file of SMPS: a deterministic program in MPS form, fixed or free.

Conventions where readers differ: a whole column without any bound is 0 or 1 (as CPLEX and HiGHS have it); the
right-hand side of the objective is minus its constant; the first N row is the objective and others are left
out; a negative upper bound on a column whose lower bound is not given is refused, because some readers take
the lower bound for 0 and some for minus infinity.

References
----------
IBM, Mathematical Programming System/360 Version 2, Linear and Separable Programming User's Manual (1971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bondwork.importers.smps_lines import Names, Reader
from bondwork.problem.faults import preview

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.importers.smps_lines import Line

BOUND_TYPES = ("UP", "LO", "FX", "FR", "MI", "PL", "BV", "LI", "UI")

_WITHOUT_VALUE = ("FR", "MI", "PL", "BV")
_SENSES: dict[str, Literal["max", "min"]] = {
    "MAX": "max",
    "MAXIMIZE": "max",
    "MAXIMISE": "max",
    "MIN": "min",
    "MINIMIZE": "min",
    "MINIMISE": "min",
}


@dataclass(slots=True)
class Core:
    """A core file as read, by position.

    ``rows`` and ``columns`` keep the order of the file, in which the time file cuts them into periods; rows
    of type N stay among them. ``entries`` is by (column, row), the objective's too.
    """

    name: str = ""
    sense: Literal["max", "min"] = "min"
    objective: int = -1
    rows: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    entries: dict[tuple[int, int], float] = field(default_factory=dict)
    rhs: dict[int, float] = field(default_factory=dict)
    ranges: dict[int, float] = field(default_factory=dict)
    lower: dict[int, float] = field(default_factory=dict)
    upper: dict[int, float] = field(default_factory=dict)
    row: Names[int] = field(default_factory=Names)
    column: Names[int] = field(default_factory=Names)
    rhs_set: str = "RHS"

    def row_limits(self, row: int, rhs: float) -> tuple[float, float]:
        """Lower and upper limit of a row whose right-hand side is ``rhs``."""
        kind, width = self.types[row], self.ranges.get(row)
        if kind == "E":
            reach = width or 0.0
            return rhs + min(reach, 0.0), rhs + max(reach, 0.0)
        reach = math.inf if width is None else abs(width)
        return (rhs, rhs + reach) if kind == "G" else (rhs - reach, rhs)

    def column_limits(self, column: int) -> tuple[float, float]:
        """Lower and upper bound of a column."""
        free = column not in self.lower and column not in self.upper
        upper = 1.0 if self.integer[column] and free else math.inf
        return self.lower.get(column, 0.0), self.upper.get(column, upper)


def is_fixed(reader: Reader) -> bool:
    """Whether a core file is in the fixed format: its row names hold blanks."""
    section = ""
    for raw in reader.raw:
        if raw[:1].strip() and not raw.startswith("*"):
            section = raw.split()[0].upper()
        elif section == "ROWS" and not raw.startswith("*") and len(raw.split()) > 2:
            return True
    return False


def read_core(reader: Reader) -> Core:
    """Read a core file; what is wrong with it is left in ``reader.faults``."""
    return _CoreReading(reader).core


class _CoreReading:
    """One pass over a core file, section by section."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.core = Core()
        self.whole = False
        self.sets: dict[str, str] = {}
        self.last_column = ""
        sections: dict[str, Callable[[Line], None]] = {
            "ROWS": self._row,
            "COLUMNS": self._column,
            "RHS": self._rhs,
            "RANGES": self._range,
            "BOUNDS": self._bound,
            "OBJSENSE": self._sense,
        }
        section: Callable[[Line], None] | None = None
        seen: set[str] = set()
        for line in reader.lines():
            if not line.is_header:
                if section is not None:
                    section(line)
                elif not reader.faults:  # lines of a section that was refused are not told again
                    reader.fault(line.number, preview(" ".join(line.words)), "a section such as ROWS")
                continue
            keyword = line.keyword
            if keyword in seen:
                reader.fault(line.number, f"a second section {keyword}", "each section once")
            seen.add(keyword)
            section = sections.get(keyword)
            if keyword == "NAME":
                self.core.name = " ".join(line.words[1:])
            elif keyword == "OBJSENSE" and len(line.words) > 1:
                self._sense(_tail(line))
            elif section is None:
                reader.fault(line.number, preview(keyword), f"one of {', '.join(sections)}, NAME or ENDATA")
        self._finish(seen)

    def _finish(self, seen: set[str]) -> None:
        core, reader = self.core, self.reader
        for keyword in ("ROWS", "COLUMNS"):
            if keyword not in seen and not reader.faults:
                reader.fault(reader.last, "the end of the file", f"a section {keyword}")
        if core.rows and core.objective < 0:
            reader.fault(reader.last, "no row of type N", "an objective: a row of type N")
        for column, upper in core.upper.items():
            lower, name = core.lower.get(column), preview(core.columns[column])
            if lower is None and upper < 0.0:
                expected = f"a lower bound (LO or MI) of column {name}, whose upper bound is negative"
                reader.fault(reader.last, "none in BOUNDS", expected)
            elif lower is not None and lower > upper:
                expected = f"bounds of column {name} that leave it a value"
                reader.fault(reader.last, f"lower {lower:g}, upper {upper:g}", expected)

    def _sense(self, line: Line) -> None:
        sense = _SENSES.get(line.words[0].upper())
        if sense is None or len(line.words) > 1:
            self.reader.fault(line.number, preview(" ".join(line.words)), "MAX or MIN")
        else:
            self.core.sense = sense

    def _row(self, line: Line) -> None:
        core, reader = self.core, self.reader
        if not reader.expect(line, (2,), "a type (N, L, G or E) and a name"):
            return
        kind, name = line.words[0].upper(), line.words[1]
        if kind not in ("N", "L", "G", "E"):
            reader.fault(line.number, preview(line.words[0]), "a type of row: N, L, G or E")
        if name in core.row:
            reader.fault(line.number, f"row {preview(name)} again", "each row once")
            return
        if kind == "N" and core.objective < 0:
            core.objective = len(core.rows)
        core.row.add(name, len(core.rows))
        core.rows.append(name)
        core.types.append(kind)

    def _column(self, line: Line) -> None:
        core, reader = self.core, self.reader
        if len(line.words) == 3 and line.words[1].strip("'").upper() == "MARKER":
            kind = line.words[2].strip("'").upper()
            if kind not in ("INTORG", "INTEND"):
                reader.fault(line.number, preview(line.words[2]), "'INTORG' or 'INTEND'")
            self.whole = kind == "INTORG"
            return
        if not reader.expect(line, (3, 5), "a column, then one or two pairs of row and number"):
            return
        name = line.words[0]
        if name != self.last_column and name in core.column:
            reader.fault(line.number, f"column {preview(name)} again", "the lines of a column together")
            return
        if name not in core.column:
            core.column.add(name, len(core.columns))
            core.columns.append(name)
            core.integer.append(self.whole)
        self.last_column = name
        for row, word in self._pairs(line, 1):
            place = (len(core.columns) - 1, row)
            if place in core.entries:
                found = f"column {preview(name)} in row {preview(core.rows[row])} again"
                reader.fault(line.number, found, "each entry once")
            core.entries[place] = reader.number(line, word)

    def _pairs(self, line: Line, start: int) -> list[tuple[int, str]]:
        """Pairs of row and number from a word on; rows that do not exist are faults."""
        pairs = []
        for name, word in zip(line.words[start::2], line.words[start + 1 :: 2], strict=True):
            row = self.core.row.get(name)
            if row is None:
                self.reader.fault(line.number, preview(name), "a row of ROWS")
            else:
                pairs.append((row, word))
        return pairs

    def _after_set(self, line: Line, section: str) -> int | None:
        """Position of the first pair: after the name of the set, which may be left out; one set is read."""
        if not self.reader.expect(line, (2, 3, 4, 5), "the name of a set, then one or two pairs"):
            return None
        start = len(line.words) % 2
        name = line.words[0] if start else ""
        first = self.sets.setdefault(section, name)
        if name != first:
            self.reader.fault(line.number, f"a second set {preview(name)}", f"the set {preview(first)} only")
            return None
        return start

    def _rhs(self, line: Line) -> None:
        start = self._after_set(line, "RHS")
        if start is None:
            return
        if start:
            self.core.rhs_set = line.words[0]
        for row, word in self._pairs(line, start):
            if row in self.core.rhs:
                found = f"row {preview(self.core.rows[row])} again"
                self.reader.fault(line.number, found, "each right-hand side once")
            self.core.rhs[row] = self.reader.number(line, word, limit=row != self.core.objective)

    def _range(self, line: Line) -> None:
        start = self._after_set(line, "RANGES")
        for row, word in self._pairs(line, start) if start is not None else []:
            if row in self.core.ranges or self.core.types[row] == "N":
                found = f"row {preview(self.core.rows[row])}"
                self.reader.fault(line.number, found, "each row once, and none of type N")
            self.core.ranges[row] = self.reader.number(line, word, limit=True)

    def _bound(self, line: Line) -> None:
        core, reader = self.core, self.reader
        kind = line.words[0].upper()
        if kind not in BOUND_TYPES:
            reader.fault(line.number, preview(line.words[0]), f"one of {', '.join(BOUND_TYPES)}")
            return
        counts = (2, 3, 4) if kind in _WITHOUT_VALUE else (3, 4)
        if not reader.expect(line, counts, "a type, the name of a set, a column, and a number where needed"):
            return
        words, value = line.words[1:], 0.0
        if kind not in _WITHOUT_VALUE:
            words, value = words[:-1], reader.number(line, words[-1], limit=True)
        elif len(words) == 3 or (len(words) == 2 and core.column.get(words[1]) is None):
            words = words[:-1]  # a number that means nothing
        if len(words) == 2 and words[0] != self.sets.setdefault("BOUNDS", words[0]):
            reader.fault(line.number, f"a second set {preview(words[0])}", "one set of bounds only")
            return
        column = core.column.get(words[-1])
        if column is None:
            reader.fault(line.number, preview(words[-1]), "a column of COLUMNS")
            return
        self._set_bound(line, kind, column, value)

    def _set_bound(self, line: Line, kind: str, column: int, value: float) -> None:
        core = self.core
        lower = {"LO": value, "LI": value, "FX": value, "FR": -math.inf, "MI": -math.inf, "BV": 0.0}
        upper = {"UP": value, "UI": value, "FX": value, "FR": math.inf, "PL": math.inf, "BV": 1.0}
        if lower.get(kind, 0.0) == math.inf or upper.get(kind, 0.0) == -math.inf:
            self.reader.fault(line.number, f"{value:g}", "a bound that leaves the column a value")
            return
        for side, given in (("lower", lower), ("upper", upper)):
            held: dict[int, float] = getattr(core, side)
            if kind not in given:
                continue
            if column in held:
                found = f"a second {side} bound of column {preview(core.columns[column])}"
                self.reader.fault(line.number, found, "each bound once")
            held[column] = given[kind]
        if kind in ("BV", "LI", "UI"):
            core.integer[column] = True


def _tail(line: Line) -> Line:
    """Return a header without its keyword, as a data line."""
    return type(line)(line.number, False, line.words[1:])
