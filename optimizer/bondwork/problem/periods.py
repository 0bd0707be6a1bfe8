"""Later periods of a round: a tree of decisions to come, checked and made arrays like the round itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bondwork.problem import schema
from bondwork.problem.checks import SUM_TOLERANCE, check_claim_form, check_sum
from bondwork.problem.columns import amounts_by_resource, task_columns
from bondwork.problem.faults import Fault, preview
from bondwork.problem.instance import NOBODY, AmountLaw, Claims, Commitments, Instance, Period
from bondwork.problem.offers import OfferColumns, assemble_offers
from bondwork.problem.sections import Index, Section, Sections, whole_section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from bondwork.arrays import FloatArray
    from bondwork.uncertainty.laws import Law

_Amount: TypeAlias = "float | schema.LognormalLaw | schema.ValuesLaw"

#: A claim of a period's task: steps to it inside the task, its operator's id, reward, slashing.
_Claim: TypeAlias = "tuple[tuple[int | str, ...], str, _Amount, _Amount]"


def resources_of_periods(section: Section[schema.Period]) -> list[dict[str, float]]:
    """Every ``work`` of the periods, for the names of the resources."""
    works = [task.work for period in section.entries for task in period.tasks]
    return works + [o.work for period in section.entries for o in period.offers if o.work is not None]


class PeriodReader:
    """Makes arrays of the periods, gathering faults on the way (MODEL 4).

    Parameters
    ----------
    sections
        The round.
    operators, coprocessors
        Whom the periods refer to; their tasks and offers are their own.
    resources, outage
        Names of the resources, and the coprocessors' outage probabilities.
    faults
        Where faults go. After faults the periods are not complete and must not be used.
    """

    def __init__(
        self,
        sections: Sections,
        operators: Index,
        coprocessors: Index,
        resources: tuple[str, ...],
        outage: FloatArray,
        faults: list[Fault],
    ) -> None:
        self.sections = sections
        self.operators = operators
        self.coprocessors = coprocessors
        self.resources = resources
        self.outage = outage
        self.faults = faults

    def periods(self) -> tuple[Period, ...]:
        """Check the tree and what its nodes hold; return them in the order of the input."""
        section = self.sections.periods
        index = Index.of(section, "a period", self.faults)
        _check_tree(section, index, self.sections.head.now, self.faults)
        return tuple(self._period(number, index) for number in range(len(section.entries)))

    def _period(self, number: int, index: Index) -> Period:
        section = self.sections.periods
        period = section.entries[number]
        place = (*section.path, section.places[number])
        tasks = whole_section(period.tasks, *place, "tasks")
        offers = whole_section(period.offers, *place, "offers")
        task_index = Index.of(tasks, "a task", self.faults)
        check_claim_form(tasks, self.faults)
        laws: list[AmountLaw] = []
        claims, claim_number = self._claims(tasks, laws)
        means = [self._mean(offers.at(i, "bid"), o.bid) for i, o in enumerate(offers.entries)]
        known = [o.model_copy(update={"bid": mean}) for o, mean in zip(offers.entries, means, strict=True)]
        own = whole_section(period.self_execution, *place, "self_execution")
        columns = OfferColumns(
            # the offers' arrays come from where the round's own do; only lists and places differ
            dataclasses.replace(
                self.sections,
                tasks=tasks,  # type: ignore[arg-type]
                offers=dataclasses.replace(offers, entries=known),  # type: ignore[arg-type]
                self_execution=own,
            ),
            self.operators,
            self.coprocessors,
            task_index,
            claim_number,
            amounts_by_resource([task.work for task in tasks.entries], self.resources, 0.0),
            self.resources,
        )
        made = assemble_offers(columns, claims, self.outage, self.faults)
        if not self.faults:
            laws += _bid_laws(offers, made.ids[: int(np.count_nonzero(~made.is_self))])
        return Period(
            id=period.id,
            parent=period.parent,
            above=NOBODY if period.parent is None else index.number.get(period.parent, NOBODY),
            at=period.at,
            probability=period.probability,
            tasks=task_columns(tasks.entries),
            claims=claims,
            offers=made,
            laws=tuple(laws),
        )

    def _claims(
        self, section: Section[schema.PeriodTask], laws: list[AmountLaw]
    ) -> tuple[Claims, dict[tuple[int, int], int]]:
        """Number the pairs (task, operator), task by task; random amounts go to ``laws``."""
        numbers: dict[tuple[int, int], int] = {}
        rows: list[tuple[int, int, float, float]] = []
        for number, task in enumerate(section.entries):
            for steps, operator_id, reward, slashing in _claims_of(task):
                path = section.at(number, *steps, "operator")
                operator = self.operators.find(operator_id, path, self.faults)
                means = [
                    self._mean(section.at(number, *steps, name), amount)
                    for name, amount in (("reward", reward), ("slashing", slashing))
                ]
                if operator < 0:
                    continue
                key = (number, operator)
                if numbers.setdefault(key, len(rows)) != len(rows):
                    again = Fault(
                        path, f"{preview(operator_id)} again", "each operator once among a task's claims"
                    )
                    self.faults.append(again)
                    continue
                if not self.faults:
                    laws += _laws("reward", reward, (len(rows),))
                    laws += _laws("slashing", slashing, (len(rows),))
                rows.append((number, operator, means[0], means[1]))
        table = np.array(rows, dtype=float).reshape(-1, 4)
        columns = (table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3])
        return Claims(*columns), numbers

    def _mean(self, path: str, amount: _Amount) -> float:
        """Check an amount and return its mean; any number where it is at fault."""
        if isinstance(amount, schema.LognormalLaw):
            return amount.mean
        if not isinstance(amount, schema.ValuesLaw):
            return amount
        if len(amount.values) != len(amount.probabilities):
            self.faults.append(
                Fault(
                    f"{path}.probabilities",
                    f"{len(amount.probabilities)} probabilities",
                    f"one for each of the {len(amount.values)} values",
                )
            )
            return 0.0
        check_sum(f"{path}.probabilities", amount.probabilities, "probabilities", self.faults)
        return float(np.dot(amount.values, amount.probabilities))


def instance_of_period(instance: Instance, number: int) -> Instance:
    """Return a later period as a round of its own: one stage, at its time, nothing committed.

    Random amounts have their means. Free collateral, capacity and stake are those of the round: what earlier
    decisions hold of them is for the tree to say. Of limits on losses those on the expected loss stay, and
    those that replace a budget of collateral: tails are about whole paths.
    """
    period = instance.periods[number]
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    return dataclasses.replace(
        instance,
        name=period.id,
        now=period.at,
        tasks=period.tasks,
        claims=period.claims,
        offers=period.offers,
        commitments=Commitments(
            (), none, none, none, none, nothing, np.zeros((0, len(instance.resources))), nothing, nothing
        ),
        risk=tuple(limit for limit in instance.risk if limit.measure in ("expected", "solvency")),
        periods=(),
        sha256="",
    )


def states_later(instance: Instance) -> bool:
    """Whether a round states anything that would be decided later, whether it could matter or not."""
    return len(instance.periods) > 0 or bool((instance.offers.stage == 2).any())


def is_staged(instance: Instance) -> bool:
    """Whether a later period of the round could change the answer.

    It has something to decide, a task that costs something, or it frees room that is worth something.
    """
    return (instance.worth is not None and len(instance.periods) > 0) or any(
        len(period.offers) or period.tasks.required.any() or period.tasks.unassigned_cost.any()
        for period in instance.periods
    )


def _bid_laws(section: Section[schema.PeriodOffer], ids: tuple[str, ...]) -> Iterator[AmountLaw]:
    """Laws of the bids; an offer's triples follow each other, and no other offer has its id."""
    targets: dict[str, list[int]] = {}
    for number, id_ in enumerate(ids):
        targets.setdefault(id_, []).append(number)
    for offer in section.entries:
        default = f"{offer.task}/{offer.coprocessor}"
        default += "" if offer.operator is None else f"/{offer.operator}"
        yield from _laws("bid", offer.bid, tuple(targets.get(offer.id or default, ())))


def _laws(
    kind: Literal["reward", "slashing", "bid"], amount: _Amount, targets: tuple[int, ...]
) -> Iterator[AmountLaw]:
    from bondwork.uncertainty.laws import Lognormal, Values  # needs scipy, which most rounds do not

    law: Law
    if not targets or isinstance(amount, float | int):
        return
    if isinstance(amount, schema.LognormalLaw):
        if amount.mean == 0.0 or amount.cv == 0.0:  # a number that is known
            return
        law = Lognormal(amount.mean, amount.cv)
    else:
        possible = [(v, p) for v, p in zip(amount.values, amount.probabilities, strict=True) if p > 0.0]
        if len({value for value, _ in possible}) < 2:
            return
        law = Values(tuple(v for v, _ in possible), tuple(p for _, p in possible))
    yield AmountLaw(kind, targets, law)


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


def _claims_of(task: schema.PeriodTask) -> list[_Claim]:
    if task.claims is not None:
        return [(("claims", i), c.operator, c.reward, c.slashing) for i, c in enumerate(task.claims)]
    if task.operator is not None:
        return [((), task.operator, task.reward or 0.0, task.slashing or 0.0)]
    return []
