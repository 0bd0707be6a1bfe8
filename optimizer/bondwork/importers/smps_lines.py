"""Lines of MPS and SMPS files: headers, data, numbers, names, and faults with file and line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TextIO, TypeAlias, TypeVar

from bondwork.problem.faults import Fault, InvalidInput, preview

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

Source: TypeAlias = "str | os.PathLike[str] | TextIO"

#: From here on a limit is none: what MPS files write as 1e30, and what HiGHS takes for infinite.
NO_LIMIT = 1e20

#: A file of another kind has a fault in every line; nobody reads more than this many.
MOST_FAULTS = 100

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eEdD][+-]?[0-9]+)?")
_INFINITY = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)

#: Where the fields of the fixed format stand.
_FIXED = (slice(1, 3), slice(4, 12), slice(14, 22), slice(24, 36), slice(39, 47), slice(49, 61))

_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class Line:
    """A header (that starts in the first column) or a data line, in words."""

    number: int
    is_header: bool
    words: tuple[str, ...]

    @property
    def keyword(self) -> str:
        """First word in capitals: the name of a section."""
        return self.words[0].upper()


class Reader:
    """One file: its lines and its faults."""

    def __init__(self, source: Source, what: str, *, fixed: bool = False) -> None:
        self.name = what
        self.faults: list[Fault] = []
        text = self._text(source)
        self.raw = text.split("\n")
        self.fixed = fixed
        self.last = len(self.raw)

    def _text(self, source: Source) -> str:
        try:
            if isinstance(source, str) or hasattr(source, "__fspath__"):
                self.name = Path(source).name
                return Path(source).read_text(encoding="utf-8-sig")
            return source.read()
        except UnicodeDecodeError as error:
            found = f"byte 0x{error.object[error.start]:02x}"
            self.faults.append(Fault(f"{self.name} byte {error.start}", found, "a text file"))
            return ""

    def fault(self, line: int, found: str, expected: str) -> None:
        """Take note of a fault."""
        self.faults.append(Fault(f"{self.name} line {line}", found, expected))

    def lines(self) -> Iterable[Line]:
        """Headers and data lines up to ENDATA, without comments; too many faults end it."""
        for number, raw in enumerate(self.raw, start=1):
            text = raw.rstrip()
            if not text.strip() or text.startswith("*"):
                continue
            if len(self.faults) >= MOST_FAULTS:
                return
            if not text[0].isspace():
                line = Line(number, True, tuple(text.split()))
                if line.keyword == "ENDATA":
                    return
                yield line
            elif self.fixed:
                fields = (text.expandtabs()[span].strip() for span in _FIXED)
                yield Line(number, False, tuple(field for field in fields if field))
            else:
                yield Line(number, False, tuple(text.split()))
        if not self.faults:
            self.fault(self.last, "the end of the file", "ENDATA")

    def number(self, line: Line, word: str, *, limit: bool = False) -> float:
        """Read a number; 0 and a fault where it is none.

        Parameters
        ----------
        limit
            Whether it limits a row or column: huge numbers are then infinite.
        """
        value = math.nan
        if _NUMBER.fullmatch(word):
            value = float(word.lower().replace("d", "e"))
        elif limit and _INFINITY.fullmatch(word):
            value = float(word)
        if limit and abs(value) >= NO_LIMIT:
            return math.copysign(math.inf, value)
        if not abs(value) < NO_LIMIT:
            self.fault(line.number, preview(word), "a number" if limit else f"a number below {NO_LIMIT:g}")
            return 0.0
        return value

    def expect(self, line: Line, counts: Iterable[int], what: str) -> bool:
        """Whether a data line has one of these numbers of words; a fault where not."""
        if len(line.words) in counts:
            return True
        self.fault(line.number, f"{len(line.words)} words", what)
        return False


class Names(Generic[_Thing]):
    """Things by name; where no name fits exactly, one that differs in case only does, if it is the only one.

    Published files write ``RHS`` in one file and ``rhs`` in another.
    """

    def __init__(self) -> None:
        self._exact: dict[str, _Thing] = {}
        self._folded: dict[str, list[_Thing]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._exact

    def __len__(self) -> int:
        return len(self._exact)

    def add(self, name: str, thing: _Thing) -> None:
        """Add a thing under a name that is not there yet."""
        self._exact[name] = thing
        self._folded.setdefault(name.casefold(), []).append(thing)

    def get(self, name: str) -> _Thing | None:
        """Return the thing of that name."""
        if name in self._exact:
            return self._exact[name]
        alike = self._folded.get(name.casefold(), [])
        return alike[0] if len(alike) == 1 else None


def refuse(*readers: Reader) -> None:
    """Raise the faults of some files, if there are any.

    Raises
    ------
    InvalidInput
        With all of them, those of the first file first.
    """
    faults = [fault for reader in readers for fault in reader.faults[:MOST_FAULTS]]
    if faults:
        raise InvalidInput(faults)
