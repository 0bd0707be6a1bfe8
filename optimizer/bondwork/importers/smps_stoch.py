"""The stoch file of SMPS: independent elements, blocks of elements, or scenarios; all discrete.

References
----------
J. R. Birge, M. A. H. Dempster, H. I. Gassmann, E. A. Gunn, A. J. King & S. W. Wallace, A standard input
format for multiperiod stochastic linear programs, COAL Newsletter 17 (1987) 1-19.
H. I. Gassmann & B. Kristjansson, The SMPS format explained, IMA Journal of Management Mathematics 19 (2008)
347-377.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from bondwork.importers.smps_lines import Names
from bondwork.problem.faults import preview

if TYPE_CHECKING:
    from bondwork.importers.mps_core import Core
    from bondwork.importers.smps_lines import Line, Reader
    from bondwork.importers.smps_time import Periods

Mode: TypeAlias = Literal["REPLACE", "ADD", "MULTIPLY"]

#: What may be random: ("entry", column, row), ("cost", column, 0), ("rhs", row, 0), ("lower" or "upper" or
#: "fixed", column, 0).
Element: TypeAlias = tuple[str, int, int]

#: How far probabilities may be from 1 together; what is within is scaled to 1.
SUM_TOLERANCE = 1e-3

_BOUNDS = {"UP": "upper", "LO": "lower", "FX": "fixed", "UI": "upper", "LI": "lower"}
_MODES: tuple[Mode, ...] = ("REPLACE", "ADD", "MULTIPLY")
_SECTIONS = ("INDEP", "BLOCKS", "SCENARIOS")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to an element: its value is replaced, added to or multiplied."""

    element: Element
    mode: Mode
    value: float

    def applied(self, current: float) -> float:
        """Value after the change of an element whose value is ``current``."""
        match self.mode:
            case "ADD":
                return current + self.value
            case "MULTIPLY":
                return current * self.value
        return self.value


@dataclass(slots=True)
class Outcome:
    """One realisation: its probability and what it changes, by element."""

    probability: float
    changes: dict[Element, Change] = field(default_factory=dict)


@dataclass(slots=True)
class Law:
    """Something random that becomes known in one period, independently of all other laws."""

    what: str
    line: int
    stage: int
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(slots=True)
class Scenario:
    """A path that leaves its parent's in some period; ``parent`` is -1 for the core itself."""

    name: str
    line: int
    parent: int
    stage: int
    outcome: Outcome


@dataclass(slots=True)
class Stochastics:
    """A stoch file as read: laws, whose product is the tree, or scenarios."""

    laws: list[Law] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)


def stage_of(element: Element, core: Core, periods: Periods) -> int:
    """Stage to whose node an element belongs: that of its row, or of its column where it has no row."""
    kind, first, second = element
    if kind == "entry":
        return periods.row_stage[second]
    return periods.row_stage[first] if kind == "rhs" else periods.column_stage[first]


def read_stoch(reader: Reader, core: Core, periods: Periods) -> Stochastics:
    """Read a stoch file; what is wrong with it is left in ``reader.faults``."""
    return _StochReading(reader, core, periods).result


class _StochReading:
    """One pass over a stoch file, section by section."""

    def __init__(self, reader: Reader, core: Core, periods: Periods) -> None:
        self.reader, self.core, self.periods = reader, core, periods
        self.result = Stochastics()
        self.mode: Mode = "REPLACE"
        self.law_of: dict[tuple[str, object, int], Law] = {}
        self.scenario_names: Names[int] = Names()
        self.current: tuple[Outcome, int] | None = None  # what data lines add to, and its stage
        self.named: set[Element] = set()  # by the data lines of the current one
        sections = {"INDEP": self._indep, "BLOCKS": self._block, "SCENARIOS": self._scenario}
        section = None
        for line in reader.lines():
            if not line.is_header:
                if section is None:
                    if not reader.faults:
                        found = preview(" ".join(line.words))
                        reader.fault(line.number, found, f"a section: {', '.join(_SECTIONS)}")
                else:
                    section(line)
            elif line.keyword != "STOCH":
                self.current = None
                section = sections.get(line.keyword)
                if section is None:
                    expected = f"STOCH, {', '.join(_SECTIONS)} or ENDATA"
                    reader.fault(line.number, preview(line.keyword), expected)
                else:
                    self._header(line)
        self._finish()

    def _header(self, line: Line) -> None:
        self.mode = "REPLACE"
        for word in line.words[1:]:
            given = word.upper()
            mode = next((each for each in _MODES if each == given), None)
            if mode is not None:
                self.mode = mode
            elif given != "DISCRETE":
                expected = (
                    f"DISCRETE, and one of {', '.join(_MODES)} if you like: only discrete laws are read"
                )
                self.reader.fault(line.number, preview(word), expected)
        result = self.result
        if (line.keyword == "SCENARIOS" and result.laws) or (
            line.keyword != "SCENARIOS" and result.scenarios
        ):
            self.reader.fault(line.number, line.keyword, "SCENARIOS alone, or INDEP and BLOCKS without them")

    def _finish(self) -> None:
        reader, result = self.reader, self.result
        if not reader.faults and not result.laws and not result.scenarios:
            reader.fault(reader.last, "nothing random", f"a section: {', '.join(_SECTIONS)}")
        for law in result.laws:
            self._check_sum(law.line, law.what, law.outcomes)
        if result.scenarios:
            outcomes = [each.outcome for each in result.scenarios]
            self._check_sum(result.scenarios[0].line, "the scenarios", outcomes)
        owner: dict[Element, Law] = {}
        for law in result.laws:
            replaced = {
                element
                for each in law.outcomes
                for element, change in each.changes.items()
                if change.mode == "REPLACE"
            }
            for element in dict.fromkeys(element for each in law.outcomes for element in each.changes):
                if element in owner and element in replaced:
                    found = f"{law.what} replaces what {owner[element].what} sets"
                    reader.fault(law.line, found, "each element random once")
                owner[element] = law

    def _check_sum(self, line: int, what: str, outcomes: list[Outcome]) -> None:
        total = sum(each.probability for each in outcomes)
        if abs(total - 1.0) > SUM_TOLERANCE:
            found = f"probabilities of {what} that add up to {total:.9g}"
            self.reader.fault(line, found, "probabilities that add up to 1")
            return
        for each in outcomes:
            each.probability /= total  # published files round thirds to a few digits

    def _period(self, line: Line, name: str) -> int | None:
        stage = self.periods.stage.get(name)
        if stage is None:
            self.reader.fault(line.number, preview(name), f"a period: {', '.join(self.periods.names[:10])}")
        return stage

    def _probability(self, line: Line, word: str) -> float:
        value = self.reader.number(line, word)
        if not 0.0 <= value <= 1.0:
            self.reader.fault(line.number, preview(word), "a probability from 0 to 1")
        return value

    def _indep(self, line: Line) -> None:
        """One value of one element: element, value, period (which may be left out), probability."""
        shift = self._is_bound(line)
        if not self.reader.expect(
            line, (4 + shift, 5 + shift), "an element, a value, a period, a probability"
        ):
            return
        words = line.words
        changes = self._changes(line, words[: 3 + shift])
        if not changes:
            return  # reported, or about a row that was left out
        element = changes[0].element
        own = stage_of(element, self.core, self.periods)
        named = self._period(line, words[3 + shift]) if len(words) == 5 + shift else own
        if named is None or not self._is_later(line, named, own):
            return
        key = ("element", element, named)
        law = self.law_of.get(key)
        if law is None:
            law = Law(self._describe(element), line.number, named)
            self.law_of[key] = law
            self.result.laws.append(law)
        law.outcomes.append(Outcome(self._probability(line, words[-1]), {element: changes[0]}))

    def _block(self, line: Line) -> None:
        """``BL`` name period probability begins a realisation; the lines after it say what it changes."""
        if line.words[0].upper() != "BL" or self.core.column.get(line.words[0]) is not None:
            self._data(line)
            return
        self.current = None
        if not self.reader.expect(line, (4,), "BL, the name of a block, a period, a probability"):
            return
        name, stage = line.words[1], self._period(line, line.words[2])
        if stage is None or not self._is_later(line, stage, stage):
            return
        law = self.law_of.get(("block", name, 0))
        if law is None:
            law = Law(f"block {name}", line.number, stage)
            self.law_of["block", name, 0] = law
            self.result.laws.append(law)
        elif law.stage != stage:
            found = f"block {preview(name)} in another period"
            self.reader.fault(line.number, found, "each block in one period")
            return
        # a realisation after the first names only what differs from the first
        inherited = dict(law.outcomes[0].changes) if law.outcomes else {}
        law.outcomes.append(Outcome(self._probability(line, line.words[3]), inherited))
        self.current, self.named = (law.outcomes[-1], stage), set()

    def _scenario(self, line: Line) -> None:
        """``SC`` name parent probability period begins a scenario; the lines after it say what it changes."""
        if line.words[0].upper() != "SC" or self.core.column.get(line.words[0]) is not None:
            self._data(line)
            return
        self.current = None
        if not self.reader.expect(line, (5,), "SC, a name, the parent's name, a probability, a period"):
            return
        _, name, above, probability, period = line.words
        stage = self._period(line, period)
        if name in self.scenario_names:
            self.reader.fault(line.number, f"scenario {preview(name)} again", "each scenario once")
            return
        parent = self.scenario_names.get(above)
        if parent is None and above.strip("'\"").upper() == "ROOT":
            parent = -1
        if parent is None:
            self.reader.fault(line.number, preview(above), "ROOT or a scenario before it")
        if stage is None or parent is None:
            return
        outcome = Outcome(self._probability(line, probability))
        self.scenario_names.add(name, len(self.result.scenarios))
        self.result.scenarios.append(Scenario(name, line.number, parent, stage, outcome))
        self.current, self.named = (outcome, stage), set()

    def _data(self, line: Line) -> None:
        """Add a line's changes to the realisation or scenario that is being read."""
        if self.current is None:
            if not self.reader.faults:
                found = preview(" ".join(line.words))
                self.reader.fault(line.number, found, "a line that begins with BL or SC first")
            return
        shift = self._is_bound(line)
        counts = (4,) if shift else (3, 5)
        if not self.reader.expect(line, counts, "a column or RHS, then one or two pairs of row and number"):
            return
        outcome, stage = self.current
        for change in self._changes(line, line.words):
            if self._is_later(line, stage, stage_of(change.element, self.core, self.periods)):
                if change.element in self.named:
                    found = f"{self._describe(change.element)} again"
                    self.reader.fault(line.number, found, "each element once in a realisation or scenario")
                self.named.add(change.element)
                outcome.changes[change.element] = change

    def _is_later(self, line: Line, known: int, used: int) -> bool:
        """Whether something may become known in one period and be used in another; a fault where not."""
        if known == 0 and self.result.scenarios == []:
            self.reader.fault(
                line.number, self.periods.names[0], "a period after the first, which is certain"
            )
            return False
        if used < known:
            found = f"an element of {self.periods.names[used]}"
            self.reader.fault(line.number, found, f"one of {self.periods.names[known]} or later")
            return False
        return True

    def _is_bound(self, line: Line) -> int:
        """1 where a line is about a bound and so has its type in front, else 0."""
        is_column = self.core.column.get(line.words[0]) is not None
        return int(line.words[0].upper() in _BOUNDS and not is_column)

    def _describe(self, element: Element) -> str:
        kind, first, second = element
        core = self.core
        if kind == "entry":
            return f"column {core.columns[first]} in row {core.rows[second]}"
        return (
            f"right-hand side of {core.rows[first]}" if kind == "rhs" else f"{kind} of {core.columns[first]}"
        )

    def _changes(self, line: Line, words: tuple[str, ...]) -> list[Change]:
        """Changes of a line: of a bound, of right-hand sides, or of entries of a column."""
        reader, core = self.reader, self.core
        if self._is_bound(line):
            column = core.column.get(words[2])
            if column is None:
                reader.fault(line.number, preview(words[2]), "a column of the core file")
                return []
            value = reader.number(line, words[3], limit=True)
            return [Change((_BOUNDS[words[0].upper()], column, 0), self.mode, value)]
        column = core.column.get(words[0])
        if column is None and words[0].casefold() not in ("rhs", core.rhs_set.casefold()):
            expected = f"a column of the core file, or {core.rhs_set} for a right-hand side"
            reader.fault(line.number, preview(words[0]), expected)
            return []
        changes = []
        for name, word in zip(words[1::2], words[2::2], strict=True):
            row = core.row.get(name)
            if row is None:
                reader.fault(line.number, preview(name), "a row of the core file")
                continue
            value = reader.number(line, word)
            if column is None and row == core.objective:
                reader.fault(line.number, preview(name), "no random constant of the objective")
            elif column is None and core.types[row] != "N":
                changes.append(Change(("rhs", row, 0), self.mode, value))
            elif column is not None and row == core.objective:
                changes.append(Change(("cost", column, 0), self.mode, value))
            elif column is not None and core.types[row] != "N":
                changes.append(Change(("entry", column, row), self.mode, value))
        return changes
