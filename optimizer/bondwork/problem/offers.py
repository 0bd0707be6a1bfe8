"""The offers of a round as arrays: one entry for every triple of operator, coprocessor and task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem import schema
from bondwork.problem.checks import check_outage
from bondwork.problem.faults import Fault, preview
from bondwork.problem.instance import NOBODY, Offers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Claims
    from bondwork.problem.sections import Index, Section, Sections


@dataclass(frozen=True, slots=True)
class OfferColumns:
    """What offers refer to."""

    sections: Sections
    operators: Index
    coprocessors: Index
    tasks: Index
    claim_number: dict[tuple[int, int], int]
    task_work: FloatArray
    resources: tuple[str, ...]


def assemble_offers(columns: OfferColumns, claims: Claims, outage: FloatArray, faults: list[Fault]) -> Offers:
    """Make the arrays of all offers and self-executions.

    An offer without an operator becomes one triple for each operator that claims its task. After faults the
    result is not complete and must not be used.
    """
    delegated = _delegated(columns, claims, outage, faults)
    own = _self_executed(columns, faults)
    joined = {
        name: np.concatenate([getattr(delegated, name), getattr(own, name)])
        for name in Offers.__slots__
        if name != "ids"
    }
    return Offers(ids=delegated.ids + own.ids, **joined)


def _delegated(columns: OfferColumns, claims: Claims, outage: FloatArray, faults: list[Fault]) -> Offers:
    section = columns.sections.offers
    entries = section.entries
    task = np.array(
        columns.tasks.look_up([o.task for o in entries], lambda i: section.at(i, "task"), faults),
        dtype=np.int64,
    )
    coprocessor = np.array(
        columns.coprocessors.look_up(
            [o.coprocessor for o in entries], lambda i: section.at(i, "coprocessor"), faults
        ),
        dtype=np.int64,
    )
    ids = _ids(section, {f"{e.task}/{e.operator}" for e in columns.sections.self_execution.entries}, faults)
    p, concentration = _probabilities([o.success_probability for o in entries])
    check_outage(section, p, coprocessor, outage, faults)
    named = _named_claims(columns, task, faults)
    number, claim = _expand(task, named, claims, len(columns.sections.tasks.entries))
    return Offers(
        ids=tuple(map(ids.__getitem__, number.tolist())),
        task=task[number],
        operator=claims.operator[claim],
        claim=claim,
        coprocessor=coprocessor[number],
        stage=np.array([o.stage for o in entries], dtype=np.int64)[number],
        bid=np.array([o.bid for o in entries], dtype=float)[number],
        collateral=np.array([o.collateral for o in entries], dtype=float)[number],
        success_probability=p[number],
        concentration=concentration[number],
        duration=np.array([o.duration for o in entries], dtype=float)[number],
        work=_work(columns, task)[number],
    )


def offer_id(offer: schema.Offer) -> str:
    """Id of an offer of a document, given or by default."""
    if offer.id is not None:
        return offer.id
    pair = f"{offer.task}/{offer.coprocessor}"
    return pair if offer.operator is None else f"{pair}/{offer.operator}"


def _ids(section: Section[schema.Offer], taken: set[str], faults: list[Fault]) -> list[str]:
    """Ids of the offers, given or by default; ``taken`` are those of self-executions."""
    ids = [offer_id(each) for each in section.entries]
    if len(set(ids)) != len(ids) or not taken.isdisjoint(ids):
        seen = set(taken)
        for number, each in enumerate(ids):
            if each in seen:
                faults.append(
                    Fault(
                        section.at(number),
                        f"the id {preview(each)} again",
                        "an id of its own: give the offers of a pair different ids",
                    )
                )
            seen.add(each)
    return ids


def _probabilities(given: Sequence[float | schema.BetaProbability]) -> tuple[FloatArray, FloatArray]:
    mean = np.array([p if isinstance(p, float | int) else p.mean for p in given], dtype=float)
    concentration = np.full(len(given), np.inf)
    for number, each in enumerate(given):
        if isinstance(each, schema.BetaProbability):
            concentration[number] = each.concentration
    return mean, concentration


def _named_claims(columns: OfferColumns, task: IntArray, faults: list[Fault]) -> IntArray:
    """Claim of each offer that names an operator; `NOBODY` for the others."""
    section = columns.sections.offers
    named = np.full(len(task), NOBODY, dtype=np.int64)
    for number, entry in enumerate(section.entries):
        if entry.operator is not None:
            path = section.at(number, "operator")
            operator = columns.operators.find(entry.operator, path, faults)
            named[number] = _claim(columns, int(task[number]), operator, entry.operator, path, faults)
    return named


def _claim(
    columns: OfferColumns, task: int, operator: int, operator_id: str, path: str, faults: list[Fault]
) -> int:
    claim = columns.claim_number.get((task, operator), NOBODY)
    if claim == NOBODY and task >= 0 and operator >= 0:
        faults.append(Fault(path, preview(operator_id), "an operator that claims the task"))
    return claim


def _expand(task: IntArray, named: IntArray, claims: Claims, tasks: int) -> tuple[IntArray, IntArray]:
    """Return the offer and the claim of every triple, ordered by offer, then by claim of the task."""
    count = np.bincount(claims.task, minlength=tasks)
    first = np.concatenate([[0], np.cumsum(count)])  # claims are numbered task by task
    usable = task >= 0
    copies = np.where(usable, np.where(named != NOBODY, 1, count[task] if tasks else 0), 0)
    number = np.repeat(np.arange(len(task)), copies)
    within = np.arange(len(number)) - np.repeat(np.cumsum(copies) - copies, copies)
    claim = np.where(named[number] != NOBODY, named[number], first[task[number]] + within)
    return number, claim


def _work(columns: OfferColumns, task: IntArray) -> FloatArray:
    """Work of each offer: its own where it says so, else its task's. Shape (offers of the input, R)."""
    entries = columns.sections.offers.entries
    if not len(columns.task_work):
        return np.zeros((len(entries), len(columns.resources)))
    work = columns.task_work[task]
    own = np.array([o.work is not None for o in entries], dtype=bool)
    for k, name in enumerate(columns.resources):
        work[own, k] = [o.work.get(name, 0.0) for o in entries if o.work is not None]
    return work


def _self_executed(columns: OfferColumns, faults: list[Fault]) -> Offers:
    section = columns.sections.self_execution
    entries = section.entries
    task = columns.tasks.look_up([e.task for e in entries], lambda i: section.at(i, "task"), faults)
    operator = columns.operators.look_up(
        [e.operator for e in entries], lambda i: section.at(i, "operator"), faults
    )
    claim = []
    seen: set[tuple[int, int]] = set()
    for number, entry in enumerate(entries):
        path = section.at(number, "operator")
        pair = (task[number], operator[number])
        claim.append(_claim(columns, *pair, entry.operator, path, faults))
        if pair in seen and min(pair) >= 0:
            faults.append(Fault(section.at(number), "the same task and operator again", "each pair once"))
        seen.add(pair)
    p, concentration = _probabilities([e.success_probability for e in entries])
    size = len(entries)
    work = columns.task_work[task] if len(columns.task_work) else np.zeros((size, len(columns.resources)))
    return Offers(
        ids=tuple(f"{e.task}/{e.operator}" for e in entries),
        task=np.array(task, dtype=np.int64),
        operator=np.array(operator, dtype=np.int64),
        claim=np.array(claim, dtype=np.int64),
        coprocessor=np.full(size, NOBODY, dtype=np.int64),
        stage=np.ones(size, dtype=np.int64),
        bid=np.array([e.cost for e in entries], dtype=float),
        collateral=np.zeros(size),
        success_probability=p,
        concentration=concentration,
        duration=np.zeros(size),
        work=work,
    )
