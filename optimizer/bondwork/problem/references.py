"""What malformed entries refer to: checked too, so that one reading reports every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bondwork.problem.faults import Fault, json_path, preview

if TYPE_CHECKING:
    from bondwork.problem.sections import Index, Section, Sections

_Path: TypeAlias = tuple[int | str, ...]
_Exists: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class References:
    """Finds references that lead nowhere in entries that are not well-formed, hence of any type."""

    operators: Index
    coprocessors: Index
    tasks: Index

    def faults(self, sections: Sections) -> Iterator[Fault]:
        """List them for every entry that the sections leave out."""
        periods = {each.id for each in sections.periods.entries} | sections.periods.malformed_ids
        for path, entry in _left_out(sections.tasks):
            yield from self._task(path, entry)
        for path, entry in _left_out(sections.offers):
            yield from self._offer(path, entry, self.tasks.exists)
        for path, entry in _left_out(sections.self_execution):
            yield from self._self_execution(path, entry, self.tasks.exists)
        for path, entry in _left_out(sections.commitments):
            yield from _fault(path, entry, "task", self.tasks.exists, "a task")
            yield from _fault(path, entry, "operator", self.operators.exists, "an operator")
            yield from _fault(path, entry, "executor", self._is_executor, "a coprocessor")
        for path, entry in _left_out(sections.risk):
            of, place = _field(entry, "of"), (*path, "of")
            yield from _fault(place, of, "operator", self.operators.exists, "an operator")
            yield from _fault(place, of, "coprocessor", self.coprocessors.exists, "a coprocessor")
        for path, entry in _left_out(sections.constraints):
            for place, term in _list((*path, "terms"), _field(entry, "terms")):
                yield from _faults(place, term, "task", self.tasks.exists, "a task")
                yield from _faults(place, term, "operator", self.operators.exists, "an operator")
                yield from _faults(place, term, "executor", self._is_executor, "a coprocessor or an operator")
        for path, entry in _left_out(sections.periods):
            yield from _fault(path, entry, "parent", periods.__contains__, "a period")
            yield from self._period(path, entry)

    def _is_executor(self, id_: str) -> bool:
        return self.coprocessors.exists(id_) or self.operators.exists(id_)

    def _task(self, path: _Path, entry: object) -> Iterator[Fault]:
        yield from _fault(path, entry, "operator", self.operators.exists, "an operator")
        for place, claim in _list((*path, "claims"), _field(entry, "claims")):
            yield from _fault(place, claim, "operator", self.operators.exists, "an operator")

    def _offer(self, path: _Path, entry: object, is_task: _Exists) -> Iterator[Fault]:
        yield from _fault(path, entry, "task", is_task, "a task")
        yield from _fault(path, entry, "coprocessor", self.coprocessors.exists, "a coprocessor")
        yield from _fault(path, entry, "operator", self.operators.exists, "an operator")

    def _self_execution(self, path: _Path, entry: object, is_task: _Exists) -> Iterator[Fault]:
        yield from _fault(path, entry, "task", is_task, "a task")
        yield from _fault(path, entry, "operator", self.operators.exists, "an operator")

    def _period(self, path: _Path, entry: object) -> Iterator[Fault]:
        lists = {name: _field(entry, name) for name in ("tasks", "offers", "self_execution")}
        tasks = {_field(task, "id") for _, task in _list(path, lists["tasks"]) if _is_id(_field(task, "id"))}
        readable = lists["tasks"] is None or isinstance(lists["tasks"], list)
        for place, task in _list((*path, "tasks"), lists["tasks"]):
            yield from self._task(place, task)
        for place, offer in _list((*path, "offers"), lists["offers"]):
            yield from self._offer(place, offer, lambda id_: id_ in tasks or not readable)
        for place, own in _list((*path, "self_execution"), lists["self_execution"]):
            yield from self._self_execution(place, own, lambda id_: id_ in tasks or not readable)


def _left_out(section: Section[Any]) -> Iterator[tuple[_Path, Any]]:
    for place, entry in section.left_out:
        yield (*section.path, place), entry


def _fault(path: _Path, entry: object, name: str, exists: _Exists, noun: str) -> Iterator[Fault]:
    id_ = _field(entry, name)
    if _is_id(id_) and not exists(id_):
        yield Fault(json_path((*path, name)), preview(id_), f"the id of {noun}")


def _faults(path: _Path, entry: object, name: str, exists: _Exists, noun: str) -> Iterator[Fault]:
    """The same of a field that may be an id or a list of them."""
    given = _field(entry, name)
    yield from _fault(path, entry, name, exists, noun)
    for place, id_ in _list((*path, name), given):
        if _is_id(id_) and not exists(id_):
            yield Fault(json_path(place), preview(id_), f"the id of {noun}")


def _field(entry: object, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _list(path: _Path, value: object) -> Iterator[tuple[_Path, Any]]:
    for number, each in enumerate(value if isinstance(value, list) else []):
        yield (*path, number), each


def _is_id(value: object) -> bool:
    """Whether a value is well-formed as an id; where it is not, that has been said already."""
    return isinstance(value, str) and value != "" and not any("\ud800" <= c <= "\udfff" for c in value)
