"""Reading a log of rounds and outcomes, with every fault of every line."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema, preview
from bondwork.problem.periods import is_staged
from bondwork.problem.reading import read_document
from bondwork.problem.rescues import has_rescues
from bondwork.replay.log_schema import LogEntry, LoggedOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.problem.instance import Instance


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A round of a log.

    Attributes
    ----------
    id, document, instance
        Its name, what it said less its commitments, and the same as arrays.
    known
        Outcomes by offer and operator; the operator is ``None`` where the log does not name one.
    """

    id: str
    document: dict[str, Any]
    instance: Instance
    known: dict[tuple[str, str | None], LoggedOutcome]

    def outcome(self, offer: str, operator: str) -> LoggedOutcome | None:
        """What became of an offer, where the log says."""
        return self.known.get((offer, operator)) or self.known.get((offer, None))


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Rounds in the order of the clock, and the digest of what was read."""

    entries: tuple[Entry, ...]
    sha256: str

    @property
    def has_clock(self) -> bool:
        """Whether time passes: without it, what is decided is known before the next round."""
        return self.entries[-1].instance.now > self.entries[0].instance.now


def read_log(source: str | Path | bytes) -> Log:
    """Read a log: JSON lines, each a ``bondwork.log/1``; empty lines are passed over.

    Parameters
    ----------
    source
        A path, or the bytes themselves.

    Raises
    ------
    InvalidInput
        With every fault of every line; paths begin with the line.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    entries: list[Entry] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = _entry(line)
        except InvalidInput as error:
            faults += [Fault(f"line {number} {f.path}", f.found, f.expected) for f in error.faults]
            continue
        where = f"line {number} $"
        if entry.id in seen:
            faults.append(Fault(f"{where}.id", preview(entry.id), "an id of its own for each line"))
        if entries and entry.instance.now < entries[-1].instance.now:
            before = f"at least {entries[-1].instance.now:g}, the clock of the line before"
            faults.append(Fault(f"{where}.round.now", f"{entry.instance.now:g}", before))
        seen.add(entry.id)
        entries.append(entry)
    if not entries and not faults:
        faults.append(Fault("$", "no line", "at least one bondwork.log/1"))
    if faults:
        raise InvalidInput(faults)
    return Log(tuple(entries), sha256(data).hexdigest())


def _entry(line: bytes) -> Entry:
    document = parse_document(line)
    try:
        read = LogEntry.model_validate(document)
    except ValidationError as error:
        names = {*LogEntry.model_fields, *LoggedOutcome.model_fields}
        raise InvalidInput(faults_of_schema(error.errors(include_url=False), document, names)) from None
    # what the log's own policy had at work is not what another one would have
    told = {name: value for name, value in read.round.items() if name != "commitments"}
    try:
        instance = read_document(told)
    except InvalidInput as error:
        raise InvalidInput(Fault(f"$.round{f.path[1:]}", f.found, f.expected) for f in error.faults) from None
    faults = [] if _is_plain(instance) else [Fault("$.round", "later stages", "rounds of one stage")]
    known: dict[tuple[str, str | None], LoggedOutcome] = {}
    operators = _offers(instance)
    for name, outcomes in (("outcomes", read.outcomes), ("potential", read.potential)):
        for number, each in enumerate(outcomes):
            path, key = f"$.{name}[{number}]", (each.offer, each.operator)
            if each.offer not in operators:
                faults.append(Fault(f"{path}.offer", preview(each.offer), "an offer of the round"))
            elif each.operator is not None and each.operator not in operators[each.offer]:
                expected = f"one of {', '.join(sorted(operators[each.offer]))}"
                faults.append(Fault(f"{path}.operator", preview(each.operator), expected))
            if key in known:
                faults.append(Fault(f"{path}.offer", f"{preview(each.offer)} again", "each offer once"))
            known[key] = each
    if faults:
        raise InvalidInput(faults)
    return Entry(read.id, told, instance, known)


def _is_plain(instance: Instance) -> bool:
    return not is_staged(instance) and not has_rescues(instance)


def _offers(instance: Instance) -> dict[str, set[str]]:
    """Operators that each offer's id stands for."""
    found: dict[str, set[str]] = {}
    names: Iterable[int] = instance.offers.operator.tolist()
    for offer, operator in zip(instance.offers.ids, names, strict=True):
        found.setdefault(offer, set()).add(instance.operators.ids[operator])
    return found
