"""Later periods of a round: checked at the boundary like everything else, and summed up for the instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem import schema
from bondwork.problem.checks import SUM_TOLERANCE, check_claim_form, check_outage, check_sum
from bondwork.problem.faults import Fault, preview
from bondwork.problem.instance import Period
from bondwork.problem.sections import Index, Section, whole_section

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray


def check_periods(
    section: Section[schema.Period],
    operators: Index,
    coprocessors: Index,
    outage: FloatArray,
    now: float,
    faults: list[Fault],
) -> tuple[Period, ...]:
    """Check the tree of periods and what each holds (MODEL 4); return its nodes in the order of the input."""
    index = Index.of(section, "a period", faults)
    _check_tree(section, index, now, faults)
    for number, period in enumerate(section.entries):
        place = (*section.path, section.places[number])
        tasks = whole_section(period.tasks, *place, "tasks")
        task_index = Index.of(tasks, "a task", faults)
        _check_tasks(tasks, operators, faults)
        _check_offers(
            whole_section(period.offers, *place, "offers"),
            task_index,
            operators,
            coprocessors,
            outage,
            faults,
        )
        own = whole_section(period.self_execution, *place, "self_execution")
        for position, entry in enumerate(own.entries):
            task_index.find(entry.task, own.at(position, "task"), faults)
            operators.find(entry.operator, own.at(position, "operator"), faults)
    return tuple(
        Period(p.id, p.parent, p.at, p.probability, len(p.tasks), len(p.offers) + len(p.self_execution))
        for p in section.entries
    )


def _check_tree(section: Section[schema.Period], index: Index, now: float, faults: list[Fault]) -> None:
    total: dict[str | None, float] = {}
    for number, period in enumerate(section.entries):
        total[period.parent] = total.get(period.parent, 0.0) + period.probability
        if period.parent is not None:
            path = section.at(number, "parent")
            parent = index.find(period.parent, path, faults)
            if parent >= number:
                faults.append(Fault(path, preview(period.parent), "a period that stands before this one"))
            start = section.entries[parent].at if 0 <= parent < number else now
        else:
            start = now
        if period.at < start:
            faults.append(
                Fault(section.at(number, "at"), f"{period.at:g}", f"a time from {start:g}, its parent's, on")
            )
    if section.left_out:  # a sum of what is left says nothing
        return
    for number, period in enumerate(section.entries):
        if period.parent in total and abs(total[period.parent] - 1.0) > SUM_TOLERANCE:
            faults.append(
                Fault(
                    section.at(number, "probability"),
                    f"probabilities that add up to {total[period.parent]:g}",
                    "conditional probabilities of one parent's children that add up to 1",
                )
            )
            del total[period.parent]  # once for each parent


def _check_tasks(section: Section[schema.PeriodTask], operators: Index, faults: list[Fault]) -> None:
    check_claim_form(section, faults)
    for number, task in enumerate(section.entries):
        named: list[tuple[tuple[int | str, ...], str]] = []
        if task.operator is not None:
            named.append((("operator",), task.operator))
        for i, claim in enumerate(task.claims or []):
            named.append((("claims", i, "operator"), claim.operator))
            _check_law(section.at(number, "claims", i, "reward"), claim.reward, faults)
            _check_law(section.at(number, "claims", i, "slashing"), claim.slashing, faults)
        for steps, operator in named:
            operators.find(operator, section.at(number, *steps), faults)
        _check_law(section.at(number, "reward"), task.reward, faults)
        _check_law(section.at(number, "slashing"), task.slashing, faults)


def _check_offers(
    section: Section[schema.PeriodOffer],
    tasks: Index,
    operators: Index,
    coprocessors: Index,
    outage: FloatArray,
    faults: list[Fault],
) -> None:
    entries = section.entries
    tasks.look_up([o.task for o in entries], lambda i: section.at(i, "task"), faults)
    coprocessor = coprocessors.look_up(
        [o.coprocessor for o in entries], lambda i: section.at(i, "coprocessor"), faults
    )
    for number, offer in enumerate(entries):
        if offer.operator is not None:
            operators.find(offer.operator, section.at(number, "operator"), faults)
        _check_law(section.at(number, "bid"), offer.bid, faults)
    p = [o.success_probability for o in entries]
    mean = np.array([each if isinstance(each, float | int) else each.mean for each in p], dtype=float)
    check_outage(section, mean, np.array(coprocessor, dtype=np.int64), outage, faults)


def _check_law(path: str, amount: object, faults: list[Fault]) -> None:
    if not isinstance(amount, schema.ValuesLaw):
        return
    if len(amount.values) != len(amount.probabilities):
        faults.append(
            Fault(
                f"{path}.probabilities",
                f"{len(amount.probabilities)} probabilities",
                f"one for each of the {len(amount.values)} values",
            )
        )
    else:
        check_sum(f"{path}.probabilities", amount.probabilities, "probabilities", faults)
