"""Linear conditions of one's own on what is chosen: read, checked, and put beside a round."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from bondwork.problem import schema
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema, json_path, preview
from bondwork.problem.instance import Constraint, ConstraintTerm
from bondwork.problem.offers import offer_id
from bondwork.problem.sections import Index, Section, Sections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bondwork.problem.instance import Instance

#: A constraint as a document has it.
Given: TypeAlias = Mapping[str, Any] | schema.Constraint


@dataclass(frozen=True, slots=True)
class OfferIds:
    """Ids of offers; of those that cannot be read, with what their ids would begin and end."""

    ids: frozenset[str]
    perhaps: tuple[tuple[str, str], ...] = ()
    is_known: bool = True


def offer_ids(sections: Sections) -> OfferIds:
    """Ids of a document's offers, as far as they can be told."""
    lists: tuple[Section[Any], ...] = (sections.offers, sections.self_execution)
    ids = set(map(offer_id, sections.offers.entries))
    ids |= {f"{own.task}/{own.operator}" for own in sections.self_execution.entries}
    perhaps, told = [], all(each.is_list for each in lists)
    for raw in [each for section in lists for _, each in section.left_out]:
        entry = raw if isinstance(raw, dict) else {}
        given = {name: value for name, value in entry.items() if isinstance(value, str)}
        if "id" in given and given["id"].isprintable():
            ids.add(given["id"])
        elif "id" not in entry and ("task" in entry or "coprocessor" in entry):
            before = f"{given['task']}/" if "task" in given else ""
            after = f"/{given['coprocessor']}" if "coprocessor" in given and "operator" not in entry else ""
            perhaps.append((before, after))
        else:
            told = False  # it may be any
    return OfferIds(frozenset(ids), tuple(perhaps), told)


@dataclass(frozen=True, slots=True)
class Known:
    """What constraints may refer to."""

    operators: Index
    coprocessors: Index
    tasks: Index
    offers: OfferIds
    resources: tuple[str, ...]

    def is_executor(self, id_: str) -> bool:
        """Whether somebody of this id may do work."""
        return self.coprocessors.exists(id_) or self.operators.exists(id_)

    def is_offer(self, id_: str) -> bool:
        """Whether there is an offer of this id."""
        return (
            id_ in self.offers.ids
            or not self.offers.is_known
            or any(
                id_.startswith(before) and id_.endswith(after) and "/" in id_
                for before, after in self.offers.perhaps
            )
        )


def read_constraints(
    section: Section[schema.Constraint], known: Known, faults: list[Fault]
) -> tuple[Constraint, ...]:
    """Check what constraints refer to, and make them what an instance holds."""
    seen: set[str] = set()
    found = []
    for number, each in enumerate(section.entries):
        if each.name in seen:
            expected = "a name of its own for a constraint"
            faults.append(Fault(section.at(number, "name"), f"{preview(each.name)} again", expected))
        seen.add(each.name)
        for place, term in enumerate(each.terms):
            base = (*section.path, section.places[number], "terms", place)
            faults.extend(_faults_of(term, base, known))
        terms = tuple(map(_term, each.terms))
        found.append(Constraint(each.name, terms, each.sense, each.bound))
    return tuple(found)


def with_constraints(instance: Instance, constraints: Iterable[Given]) -> Instance:
    """Put constraints beside a round, in place of those that were put there before.

    Its digest stays the round's: a plan names the constraints beside it.

    Raises
    ------
    InvalidInput
        With every fault, at paths such as ``$.constraints[0].terms[1].task``.
    """
    own = tuple(each for each in instance.constraints if not each.beside)
    documents = [
        each.model_dump(exclude_defaults=True) if isinstance(each, schema.Constraint) else each
        for each in constraints
    ]
    faults: list[Fault] = []
    entries: list[schema.Constraint] = []
    places: list[int] = []
    for number, each in enumerate(documents):
        try:
            entries.append(schema.Constraint.model_validate(each))
            places.append(number)
        except ValidationError as error:
            details = error.errors(include_url=False)
            shifted = [{**one, "loc": ("constraints", number, *one["loc"])} for one in details]
            whole = {"constraints": documents}
            faults += faults_of_schema(shifted, whole, schema.field_names())  # type: ignore[arg-type]
    section: Section[schema.Constraint] = Section(("constraints",), entries, places)
    known = Known(
        _index(instance.operators.ids, "an operator"),
        _index(instance.coprocessors.ids, "a coprocessor"),
        _index(instance.tasks.ids, "a task"),
        OfferIds(frozenset(instance.offers.ids)),
        instance.resources,
    )
    read = read_constraints(section, known, faults)
    taken = {each.name for each in own}
    faults += [
        Fault(section.at(number, "name"), f"{preview(each.name)}, a constraint of the round", "another name")
        for number, each in enumerate(read)
        if each.name in taken
    ]
    if faults:
        raise InvalidInput(faults)
    beside = tuple(dataclasses.replace(each, beside=True) for each in read)
    return dataclasses.replace(instance, constraints=own + beside)


def document_of(constraint: Constraint) -> schema.Constraint:
    """Write a constraint as documents have it."""
    terms = []
    for term in constraint.terms:
        given: dict[str, Any] = {"weight": term.weight}
        for name in ("task", "operator", "executor", "offer"):
            ids = getattr(term, name)
            if ids is not None:
                given[name] = ids[0] if len(ids) == 1 else list(ids)
        given |= {"resource": term.resource} if term.amount == "work" else {"amount": term.amount}
        terms.append(schema.ConstraintTerm(**given))
    return schema.Constraint(
        name=constraint.name, terms=terms, sense=constraint.sense, bound=constraint.bound
    )


def fixed(instance: Instance, fix: Sequence[str], forbid: Sequence[str]) -> list[dict[str, Any]]:
    """Constraints that have offers chosen, or not chosen.

    Raises
    ------
    InvalidInput
        An offer is unknown, or both fixed and forbidden.
    """
    known = frozenset(instance.offers.ids)
    faults = [
        offer_fault(word, each, known)
        for word, given in (("fix", fix), ("forbid", forbid))
        for each in given
        if each not in known
    ]
    faults += [
        Fault("forbid", f"{preview(each)}, which is to be fixed", "another offer")
        for each in forbid
        if each in fix
    ]
    if faults:
        raise InvalidInput(faults)
    rows = [("fixed", each, ">=", 1) for each in dict.fromkeys(fix)]
    rows += [("forbidden", each, "<=", 0) for each in dict.fromkeys(forbid)]
    return [
        {"name": f"{word} {each}", "terms": [{"offer": each}], "sense": sense, "bound": bound}
        for word, each, sense, bound in rows
    ]


def offer_fault(path: str, id_: object, known: Iterable[str]) -> Fault:
    """The fault of an offer that there is none of, with the one that may have been meant."""
    hint = _hint(id_, known) if isinstance(id_, str) else ""
    return Fault(path, preview(id_), f"the id of an offer{hint}")


def _index(ids: Sequence[str], noun: str) -> Index:
    return Index({each: number for number, each in enumerate(ids)}, frozenset(), noun)


def _faults_of(term: schema.ConstraintTerm, base: tuple[int | str, ...], known: Known) -> Iterator[Fault]:
    checks: tuple[tuple[str, Callable[[str], bool], str], ...] = (
        ("task", known.tasks.exists, "a task"),
        ("operator", known.operators.exists, "an operator"),
        ("executor", known.is_executor, "a coprocessor or an operator"),
        ("offer", known.is_offer, "an offer"),
    )
    for name, exists, noun in checks:
        given = getattr(term, name)
        for place, id_ in enumerate(_ids(given) or ()):
            if not exists(id_):
                steps = (name,) if isinstance(given, str) else (name, place)
                hint = _hint(id_, known.offers.ids) if name == "offer" else ""
                yield Fault(json_path((*base, *steps)), preview(id_), f"the id of {noun}{hint}")
    if term.resource is not None and term.resource not in known.resources:
        expected = f"a resource of the round{_hint(term.resource, known.resources)}"
        yield Fault(json_path((*base, "resource")), preview(term.resource), expected)
    if term.resource is not None and term.amount != "count":
        path = json_path((*base, "amount"))
        yield Fault(
            path, f"{preview(term.amount)} beside resource", "one of the two: a resource's work is counted"
        )


def _hint(id_: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(id_, list(known), n=1) if len(id_) < 200 else []
    return f"; did you mean {preview(close[0])}?" if close else ""


def _ids(given: str | list[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))


def _term(term: schema.ConstraintTerm) -> ConstraintTerm:
    return ConstraintTerm(
        _ids(term.task),
        _ids(term.operator),
        _ids(term.executor),
        _ids(term.offer),
        term.amount if term.resource is None else "work",
        term.resource or "",
        term.weight,
    )
