"""The time file of SMPS: which rows and columns of the core belong to which period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bondwork.importers.smps_lines import Names
from bondwork.problem.faults import preview

if TYPE_CHECKING:
    from bondwork.importers.mps_core import Core
    from bondwork.importers.smps_lines import Line, Reader


@dataclass(frozen=True, slots=True)
class Periods:
    """Periods, and the one of each row and column of the core; -1 for rows of type N that have none."""

    names: tuple[str, ...]
    stage: Names[int]
    row_stage: tuple[int, ...]
    column_stage: tuple[int, ...]


def read_time(reader: Reader, core: Core) -> Periods:
    """Read a time file, implicit (``PERIODS``, ``PERIODS LP``, ``PERIODS IMPLICIT``) or explicit.

    What is wrong with it is left in ``reader.faults``.
    """
    sections = _sections(reader)
    header = sections["PERIODS"][0].words[1:] if "PERIODS" in sections else ()
    if "PERIODS" not in sections and not reader.faults:
        reader.fault(reader.last, "the end of the file", "a section PERIODS")
    word = header[0].upper() if header else "IMPLICIT"
    if word not in ("IMPLICIT", "LP", "EXPLICIT"):
        reader.fault(sections["PERIODS"][0].number, preview(header[0]), "IMPLICIT, LP or EXPLICIT")
    lines = sections["PERIODS"][1:] if "PERIODS" in sections else []
    stage: Names[int] = Names()
    names: list[str] = []
    for line in lines:
        name = line.words[-1]
        if name in stage:
            reader.fault(line.number, f"period {preview(name)} again", "each period once")
        stage.add(name, len(names))
        names.append(name)
    if not names and not reader.faults:
        reader.fault(reader.last, "no periods", "at least one period")
    if word == "EXPLICIT":
        rows = _explicit(reader, sections.get("ROWS", []), core.row, len(core.rows), stage)
        columns = _explicit(reader, sections.get("COLUMNS", []), core.column, len(core.columns), stage)
    else:
        rows, columns = _implicit(reader, lines, core)
    if not reader.faults:
        _check(reader, core, rows, columns)
    return Periods(tuple(names), stage, tuple(rows), tuple(columns))


def _sections(reader: Reader) -> dict[str, list[Line]]:
    """Lines by section, the header first."""
    sections: dict[str, list[Line]] = {}
    current: list[Line] | None = None
    for line in reader.lines():
        if line.is_header:
            current = []
            if line.keyword not in ("TIME", "PERIODS", "ROWS", "COLUMNS"):
                reader.fault(line.number, preview(line.keyword), "TIME, PERIODS, ROWS, COLUMNS or ENDATA")
            elif line.keyword in sections:
                found = f"a second section {line.keyword}"
                reader.fault(line.number, found, "each section once")
            else:
                sections[line.keyword] = current = [line]
        elif current is None:
            reader.fault(line.number, preview(" ".join(line.words)), "a section such as PERIODS")
        else:
            current.append(line)
    return sections


def _implicit(reader: Reader, lines: list[Line], core: Core) -> tuple[list[int], list[int]]:
    """Cut the core at the first column and the first row of each period."""
    starts: list[tuple[int, int]] = []
    for line in lines:
        if not reader.expect(line, (3,), "the first column and the first row of a period, and its name"):
            continue
        column, row = core.column.get(line.words[0]), core.row.get(line.words[1])
        for found, where, word in ((column, "COLUMNS", line.words[0]), (row, "ROWS", line.words[1])):
            if found is None:
                reader.fault(line.number, preview(word), f"a name of {where} in the core file")
        if column is None or row is None:
            continue
        if starts and (column <= starts[-1][0] or row <= starts[-1][1]):
            expected = "a column and a row after those of the period before, in the core's order"
            reader.fault(line.number, preview(" ".join(line.words[:2])), expected)
        if not starts and column:
            expected = f"the core's first column {preview(core.columns[0])}"
            reader.fault(line.number, preview(line.words[0]), expected)
        starts.append((column, row))
    column_starts, row_starts = ([start[side] for start in starts] for side in (0, 1))
    return (
        [sum(start <= row for start in row_starts) - 1 for row in range(len(core.rows))],
        [sum(start <= column for start in column_starts) - 1 for column in range(len(core.columns))],
    )


def _explicit(
    reader: Reader, lines: list[Line], names: Names[int], size: int, stage: Names[int]
) -> list[int]:
    stages = [-1] * size
    for line in lines[1:]:
        if not reader.expect(line, (2,), "a name of the core file and a period"):
            continue
        thing, period = names.get(line.words[0]), stage.get(line.words[1])
        if thing is None:
            reader.fault(line.number, preview(line.words[0]), "a name of the core file")
        elif period is None:
            reader.fault(line.number, preview(line.words[1]), "a period of PERIODS")
        elif stages[thing] >= 0:
            reader.fault(line.number, f"{preview(line.words[0])} again", "each name once")
        else:
            stages[thing] = period
    return stages


def _check(reader: Reader, core: Core, rows: list[int], columns: list[int]) -> None:
    """Everything has a period, and no row looks at a column of a later one."""
    for what, names, stages in (("row", core.rows, rows), ("column", core.columns, columns)):
        for k, stage in enumerate(stages):
            if stage < 0 and not (what == "row" and core.types[k] == "N"):
                reader.fault(reader.last, f"{what} {preview(names[k])} without a period", "a period for each")
    for column, row in core.entries:
        if core.types[row] != "N" and columns[column] > rows[row] >= 0:
            found = f"row {preview(core.rows[row])} with column {preview(core.columns[column])}"
            reader.fault(reader.last, found, "in each row only columns of its own and earlier periods")
