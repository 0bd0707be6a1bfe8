"""The lists of a round with their places in the document, whole or what is left of a faulty document.

Where some entries are malformed the others can still be checked against each other, so that one reading
reports every fault: the malformed entries are left out, and their ids count as existing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from bondwork.problem import schema
from bondwork.problem.faults import Fault, json_path, preview
from bondwork.problem.schema_types import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Section(Generic[Entry]):
    """One list of a document.

    Attributes
    ----------
    path
        Where the list stands, as steps of a JSON path.
    entries
        The well-formed entries.
    places
        Position of each entry in the document's list.
    malformed_ids
        Ids of entries left out.
    left_out
        Position in the document's list and raw value of each malformed entry.
    is_list
        Whether the document has a list here, or nothing.
    """

    path: tuple[int | str, ...]
    entries: Sequence[Entry]
    places: Sequence[int]
    malformed_ids: frozenset[str] = frozenset()
    left_out: tuple[tuple[int, Any], ...] = ()
    is_list: bool = True

    def at(self, number: int, *steps: int | str) -> str:
        """JSON path of a field of entry ``number`` (its number here, not its place in the document)."""
        return json_path((*self.path, self.places[number], *steps))


@dataclass(slots=True)
class Index:
    """Numbers of entries by id, with a fault for every reference that leads nowhere."""

    number: dict[str, int]
    malformed: frozenset[str]
    noun: str
    is_known: bool = True

    @classmethod
    def of(cls, section: Section[Any], noun: str, faults: list[Fault]) -> Index:
        """Number the entries of a section by id; an id that occurs again is a fault."""
        number: dict[str, int] = {}
        named = [(section.places[i], each.id) for i, each in enumerate(section.entries)]
        if section.left_out:
            named += [(place, id_) for place, raw in section.left_out if (id_ := _id(raw)) is not None]
            named.sort()
        seen: set[str] = set()
        for place, id_ in named:
            if id_ in seen:
                path = json_path((*section.path, place, "id"))
                faults.append(Fault(path, f"{preview(id_)} again", f"an id of its own for {noun}"))
            seen.add(id_)
        for position, entry in enumerate(section.entries):
            number.setdefault(entry.id, position)
        return cls(number, section.malformed_ids, noun, section.is_list)

    def exists(self, id_: str) -> bool:
        """Whether a reference to an id is no fault: it is there, its entry is malformed, or no list is."""
        return id_ in self.number or id_ in self.malformed or not self.is_known

    def find(self, id_: str, path: str, faults: list[Fault]) -> int:
        """Number of one id; -1, with a fault at ``path``, where there is no such id."""
        (number,) = self.look_up([id_], lambda _: path, faults)
        return number

    def look_up(self, ids: Sequence[str], place: Callable[[int], str], faults: list[Fault]) -> list[int]:
        """Turn ids into numbers; -1, with a fault at ``place(position)``, where there is no such id."""
        get = self.number.get
        found = [get(each, -1) for each in ids]
        if -1 in found:
            for position, (number, each) in enumerate(zip(found, ids, strict=True)):
                if number < 0 and not self.exists(each):
                    faults.append(Fault(place(position), preview(each), f"the id of {self.noun}"))
        return found


@dataclass(frozen=True, slots=True)
class Sections:
    """A round as its lists and its single entries."""

    head: schema.Round
    operators: Section[schema.Operator]
    coprocessors: Section[schema.Coprocessor]
    tasks: Section[schema.Task]
    offers: Section[schema.Offer]
    self_execution: Section[schema.SelfExecution]
    commitments: Section[schema.Commitment]
    risk: Section[Any]
    constraints: Section[schema.Constraint]
    periods: Section[schema.Period]

    @classmethod
    def of_round(cls, valid: schema.Round) -> Sections:
        """Take a well-formed round apart."""
        lists = {name: _whole((name,), getattr(valid, name)) for name in _LISTS}
        return cls(head=valid, **lists)

    @classmethod
    def of_malformed(cls, document: dict[str, Any]) -> Sections:
        """Keep what is well-formed of a document that is not."""
        least: dict[str, Any] = {"format": schema.ROUND_FORMAT, "tasks": []}
        kept = dict(least)
        for name in schema.Round.model_fields:
            if name in _LISTS or name not in document:
                continue
            if _is_valid(least | {name: document[name]}):
                kept[name] = document[name]
            elif name == "now":
                kept[name] = -LARGEST  # an unknown time is before every other
        lists = {name: _well_formed(name, document.get(name, [])) for name in _LISTS}
        return cls(head=schema.Round.model_validate(kept), **lists)


_LISTS = (
    "operators",
    "coprocessors",
    "tasks",
    "offers",
    "self_execution",
    "commitments",
    "risk",
    "constraints",
    "periods",
)


def _whole(path: tuple[int | str, ...], entries: Sequence[Entry]) -> Section[Entry]:
    return Section(path, entries, range(len(entries)))


def whole_section(entries: Sequence[Entry], *path: int | str) -> Section[Entry]:
    """Section of a list inside an entry that is known to be well-formed."""
    return _whole(path, entries)


def _id(raw: object) -> str | None:
    """Id of a malformed entry, where it has one."""
    id_ = raw.get("id") if isinstance(raw, dict) else None
    return id_ if isinstance(id_, str) else None


def _well_formed(name: str, raw: object) -> Section[Any]:
    entries: list[BaseModel] = []
    places: list[int] = []
    malformed: set[str] = set()
    left_out: list[tuple[int, Any]] = []
    adapter = _adapter(name)
    for place, each in enumerate(raw if isinstance(raw, list) else []):
        try:
            entries.append(adapter.validate_python(each))
            places.append(place)
        except ValidationError:
            left_out.append((place, each))
            if (id_ := _id(each)) is not None:
                malformed.add(id_)
    return Section((name,), entries, places, frozenset(malformed), tuple(left_out), isinstance(raw, list))


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    """Validator of one entry of a list of the round."""
    (entry_type,) = schema.Round.model_fields[name].rebuild_annotation().__args__
    return TypeAdapter(entry_type)


def _is_valid(document: dict[str, Any]) -> bool:
    try:
        schema.Round.model_validate(document)
    except ValidationError:
        return False
    return True
