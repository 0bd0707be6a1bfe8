"""The lists of a round with their places in the document, whole or what is left of a faulty document.

Where some entries are malformed the others can still be checked against each other, so that one reading
reports every fault: the malformed entries are left out, and their ids count as existing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from bondwork.problem import schema
from bondwork.problem.faults import Fault, json_path

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
    """

    path: tuple[int | str, ...]
    entries: Sequence[Entry]
    places: Sequence[int]
    malformed_ids: frozenset[str] = frozenset()

    def at(self, number: int, *steps: int | str) -> str:
        """JSON path of a field of entry ``number`` (its number here, not its place in the document)."""
        return json_path((*self.path, self.places[number], *steps))


@dataclass(slots=True)
class Index:
    """Numbers of entries by id, with a fault for every reference that leads nowhere."""

    number: dict[str, int]
    malformed: frozenset[str]
    noun: str

    @classmethod
    def of(cls, section: Section[Any], noun: str, faults: list[Fault]) -> Index:
        """Number the entries of a section by id; an id that occurs again is a fault."""
        number: dict[str, int] = {}
        for position, entry in enumerate(section.entries):
            if number.setdefault(entry.id, position) != position:
                faults.append(
                    Fault(section.at(position, "id"), f'"{entry.id}" again', f"an id of its own for {noun}")
                )
        return cls(number, section.malformed_ids, noun)

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
                if number < 0 and each not in self.malformed:
                    faults.append(Fault(place(position), f'"{each}"', f"the id of {self.noun}"))
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
    periods: Section[schema.Period]

    @classmethod
    def of_round(cls, valid: schema.Round) -> Sections:
        """Take a well-formed round apart."""
        lists = {name: _whole((name,), getattr(valid, name)) for name in _LISTS}
        return cls(head=valid, **lists)

    @classmethod
    def of_malformed(cls, document: dict[str, Any]) -> Sections:
        """Keep what is well-formed of a document that is not."""
        fields = schema.Round.model_fields
        kept: dict[str, Any] = {"format": schema.ROUND_FORMAT, "tasks": []}
        lists = {}
        for name, info in fields.items():
            adapter: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
            if name in _LISTS:
                (entry_type,) = info.rebuild_annotation().__args__
                lists[name] = _well_formed((name,), document.get(name), TypeAdapter(entry_type))
            elif name != "format" and name in document and _is_valid(adapter, document[name]):
                kept[name] = document[name]
        return cls(head=schema.Round.model_validate(kept), **lists)


_LISTS = (
    "operators",
    "coprocessors",
    "tasks",
    "offers",
    "self_execution",
    "commitments",
    "risk",
    "periods",
)


def _whole(path: tuple[int | str, ...], entries: Sequence[Entry]) -> Section[Entry]:
    return Section(path, entries, range(len(entries)))


def whole_section(entries: Sequence[Entry], *path: int | str) -> Section[Entry]:
    """Section of a list inside an entry that is known to be well-formed."""
    return _whole(path, entries)


def _well_formed(path: tuple[int | str, ...], raw: object, adapter: TypeAdapter[Any]) -> Section[Any]:
    entries: list[BaseModel] = []
    places: list[int] = []
    malformed: set[str] = set()
    for place, each in enumerate(raw if isinstance(raw, list) else []):
        try:
            entries.append(adapter.validate_python(each))
            places.append(place)
        except ValidationError:
            if isinstance(each, dict) and isinstance(each.get("id"), str):
                malformed.add(each["id"])
    return Section(path, entries, places, frozenset(malformed))


def _is_valid(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
