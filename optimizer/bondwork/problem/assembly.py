"""From a well-formed round to arrays: ids become indices, once, and everything that refers is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.market.load_curve import LoadIncentive
from bondwork.problem import schema
from bondwork.problem.checks import SUM_TOLERANCE, check_claim_form, check_outage, check_sum
from bondwork.problem.columns import amounts_by_resource, or_unlimited, task_columns
from bondwork.problem.constraints import Known, offer_ids, read_constraints
from bondwork.problem.faults import Fault, json_path, preview
from bondwork.problem.instance import (
    NOBODY,
    Claims,
    Commitments,
    Coprocessors,
    Instance,
    LoadCurve,
    Objective,
    Operators,
    RiskLimit,
    Scope,
    Tasks,
    Terms,
    Uncertainty,
)
from bondwork.problem.offers import OfferColumns, assemble_offers
from bondwork.problem.periods import PeriodReader, resources_of_periods
from bondwork.problem.references import References
from bondwork.problem.room_reading import read_room_worth
from bondwork.problem.sections import Index, Section, Sections
from bondwork.registry import sampler_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray


class Assembly:
    """Builds the parts of an instance from sections, gathering faults on the way.

    Everything that refers to an id goes through `operators`, `coprocessors`, `tasks` or `claims`: the four
    indices, made first.
    """

    def __init__(self, sections: Sections) -> None:
        self.sections = sections
        self.faults: list[Fault] = []
        self.operators = Index.of(sections.operators, "an operator", self.faults)
        self.coprocessors = Index.of(sections.coprocessors, "a coprocessor", self.faults)
        self.tasks = Index.of(sections.tasks, "a task", self.faults)
        for number, entry in enumerate(sections.coprocessors.entries):
            if entry.id in self.operators.number:
                self._fault(
                    sections.coprocessors.at(number, "id"),
                    f"{preview(entry.id)}, an operator's id",
                    "an id that no operator has",
                )
        both: tuple[Section[Any], ...] = (sections.operators, sections.coprocessors)
        for section in both:
            for number, member in enumerate(section.entries):
                if member.id == "network":  # the name of all of them together, in plans' risk and limits
                    self._fault(section.at(number, "id"), '"network"', "an id other than network")
        self.claim_number: dict[tuple[int, int], int] = {}
        self.resources = self._resource_names()

    def instance(self) -> Instance | None:
        """Assemble everything; ``None`` where faults were found."""
        sections = self.sections
        head = sections.head
        tasks, task_work = self._tasks()
        claims = self._claims()
        columns = OfferColumns(
            sections,
            self.operators,
            self.coprocessors,
            self.tasks,
            self.claim_number,
            task_work,
            self.resources,
        )
        outage = np.array([c.outage_probability for c in sections.coprocessors.entries], dtype=float)
        offers = assemble_offers(columns, claims, outage, self.faults)
        commitments = self._commitments(outage)
        risk = self._risk()
        terms = self._terms(head.terms)
        uncertainty = self._uncertainty(head.uncertainty)
        coprocessors = self._coprocessors(outage)
        periods = PeriodReader(
            sections, self.operators, self.coprocessors, self.resources, outage, self.faults
        ).periods()
        ids = offer_ids(sections)
        known = Known(self.operators, self.coprocessors, self.tasks, ids, self.resources)
        constraints = read_constraints(sections.constraints, known, self.faults)
        worth = read_room_worth(sections, self.resources, self.faults)
        self.faults += References(self.operators, self.coprocessors, self.tasks).faults(sections)
        if self.faults:
            return None
        return Instance(
            name=head.name,
            currency=head.currency,
            decimals=head.decimals,
            now=head.now,
            resources=self.resources,
            operators=Operators(
                tuple(o.id for o in sections.operators.entries),
                or_unlimited([o.stake for o in sections.operators.entries]),
                self._amounts_by_resource([o.capacity for o in sections.operators.entries], np.inf),
            ),
            coprocessors=coprocessors,
            tasks=tasks,
            claims=claims,
            offers=offers,
            commitments=commitments,
            terms=terms,
            risk=risk,
            objective=Objective(head.objective.risk_weight, head.objective.risk_level),
            uncertainty=uncertainty,
            periods=periods,
            constraints=constraints,
            worth=worth,
        )

    def _fault(self, path: str, found: str, expected: str) -> None:
        self.faults.append(Fault(path, found, expected))

    def _resource_names(self) -> tuple[str, ...]:
        sections = self.sections
        names: dict[str, None] = {}
        for group in (
            [o.capacity for o in sections.operators.entries],
            [c.capacity for c in sections.coprocessors.entries],
            [t.work for t in sections.tasks.entries],
            [o.work for o in sections.offers.entries if o.work is not None],
            [k.work for k in sections.commitments.entries],
            resources_of_periods(sections.periods),
        ):
            for each in group:
                names.update(dict.fromkeys(each))
        return tuple(names)

    def _amounts_by_resource(self, entries: Sequence[dict[str, float]], absent: float) -> FloatArray:
        return amounts_by_resource(entries, self.resources, absent)

    def _tasks(self) -> tuple[Tasks, FloatArray]:
        entries = self.sections.tasks.entries
        check_claim_form(self.sections.tasks, self.faults)
        work = self._amounts_by_resource([t.work for t in entries], 0.0)
        return task_columns(entries), work

    def _claims(self) -> Claims:
        """Number the pairs (task, operator), task by task."""
        section = self.sections.tasks
        task_of: list[int] = []
        operator_of: list[int] = []
        reward: list[float] = []
        slashing: list[float] = []
        for number, task in enumerate(section.entries):
            for steps, operator_id, r, s in _claims_of(task):
                path = section.at(number, *steps, "operator")
                operator = self.operators.find(operator_id, path, self.faults)
                if operator < 0:
                    continue
                key = (number, operator)
                if self.claim_number.setdefault(key, len(task_of)) != len(task_of):
                    self._fault(
                        path, f"{preview(operator_id)} again", "each operator once among a task's claims"
                    )
                    continue
                task_of.append(number)
                operator_of.append(operator)
                reward.append(r)
                slashing.append(s)
        return Claims(
            np.array(task_of, dtype=np.int64),
            np.array(operator_of, dtype=np.int64),
            np.array(reward, dtype=float),
            np.array(slashing, dtype=float),
        )

    def _coprocessors(self, outage: FloatArray) -> Coprocessors:
        section = self.sections.coprocessors
        entries = section.entries
        now = self.sections.head.now
        return Coprocessors(
            ids=tuple(c.id for c in entries),
            capacity=self._amounts_by_resource([c.capacity for c in entries], np.inf),
            free_collateral=or_unlimited([c.free_collateral for c in entries]),
            outage_probability=outage,
            serial=np.array([c.serial for c in entries], dtype=bool),
            free_at=np.array([now if c.free_at is None else c.free_at for c in entries], dtype=float),
            load_curve=tuple(self._load_curve(i, c) for i, c in enumerate(entries)),
        )

    def _load_curve(self, number: int, coprocessor: schema.Coprocessor) -> LoadCurve | None:
        curve = coprocessor.load_curve
        if curve is None:
            return None
        path = self.sections.coprocessors.at(number, "load_curve")
        if curve.resource not in coprocessor.capacity:
            self._fault(
                f"{path}.resource", preview(curve.resource), "a resource of the coprocessor's capacity"
            )
            return None
        if curve.weight != 0.0:
            self._check_load_curve(path, LoadIncentive(*curve.parameters()))
            if coprocessor.capacity[curve.resource] == 0.0:
                expected = "a capacity above 0: load is a share of it"
                self._fault(f"{path}.resource", "a capacity of 0", expected)
        resource = self.resources.index(curve.resource)
        return LoadCurve(resource, curve.scale, curve.weight, curve.parameters())

    def _check_load_curve(self, path: str, curve: LoadIncentive) -> None:
        """Refuse a load curve that jumps where the optimiser must follow it (MODEL 2.7)."""
        if not curve.is_sound():
            self._fault(path, f"B = {curve.B:g}, F = {curve.F:g}", "B other than 0 and F >= B")
            return
        for jump in curve.jumps():
            self._fault(
                f"{path}.{jump.name}",
                f"a jump at {jump.at:g} from {jump.left:g} to {jump.right:g}",
                "a continuous curve where its weight is not 0",
            )

    def _commitments(self, outage: FloatArray) -> Commitments:
        section = self.sections.commitments
        entries = section.entries
        Index.of(section, "a commitment", self.faults)
        task = self.tasks.look_up([k.task for k in entries], lambda i: section.at(i, "task"), self.faults)
        operator = self.operators.look_up(
            [k.operator for k in entries], lambda i: section.at(i, "operator"), self.faults
        )
        claim, coprocessor = [], []
        for number, entry in enumerate(entries):
            pair = (task[number], operator[number])
            if min(pair) >= 0 and pair not in self.claim_number:
                self._fault(
                    section.at(number, "operator"),
                    preview(entry.operator),
                    "an operator that claims the task",
                )
            self._check_commitment(number, entry)
            claim.append(self.claim_number.get(pair, NOBODY))
            coprocessor.append(self._executor(number, entry))
        executor = np.array(coprocessor, dtype=np.int64)
        p = np.array([k.success_probability for k in entries], dtype=float)
        check_outage(section, p, executor, outage, self.faults)
        return Commitments(
            ids=tuple(k.id for k in entries),
            task=np.array(task, dtype=np.int64),
            operator=np.array(operator, dtype=np.int64),
            claim=np.array(claim, dtype=np.int64),
            coprocessor=executor,
            collateral=np.array([k.collateral for k in entries], dtype=float),
            work=self._amounts_by_resource([k.work for k in entries], 0.0),
            success_probability=p,
            release_at=or_unlimited([k.release_at for k in entries]),
        )

    def _check_commitment(self, number: int, entry: schema.Commitment) -> None:
        section, now = self.sections.commitments, self.sections.head.now
        if entry.release_at is not None and entry.release_at < now:
            expected = f"a time from now ({now:g}) on: what is released holds nothing"
            self._fault(section.at(number, "release_at"), f"{entry.release_at:g}", expected)
        if entry.collateral > 0.0 and entry.executor == entry.operator:
            expected = "0: an operator that executes a task itself posts none"
            self._fault(section.at(number, "collateral"), f"{entry.collateral:g}", expected)

    def _executor(self, number: int, entry: schema.Commitment) -> int:
        executor = entry.executor
        path = self.sections.commitments.at(number, "executor")
        if executor in self.coprocessors.number:
            return self.coprocessors.number[executor]
        if executor not in self.operators.number and executor not in self.operators.malformed:
            self.coprocessors.find(executor, path, self.faults)
        elif executor != entry.operator:
            expected = f"a coprocessor, or {preview(entry.operator)} for self-execution"
            self._fault(path, preview(executor), expected)
        return NOBODY

    def _risk(self) -> tuple[RiskLimit, ...]:
        section = self.sections.risk
        limits = []
        for number, entry in enumerate(section.entries):
            member: int | None = None
            scope: Scope
            match entry.of:
                case schema.OfOperator(operator=each):
                    scope = "operator"
                    member = self.operators.find(each, section.at(number, "of", "operator"), self.faults)
                case schema.OfCoprocessor(coprocessor=each):
                    scope = "coprocessor"
                    path = section.at(number, "of", "coprocessor")
                    member = self.coprocessors.find(each, path, self.faults)
                case scope:
                    pass
            given = {
                name: getattr(entry, name)
                for name in ("budget", "level", "probability", "radius", "calibrate")
                if hasattr(entry, name)
            }
            limits.append(RiskLimit(measure=entry.measure, scope=scope, member=member, **given))
        return tuple(limits)

    def _terms(self, terms: schema.Terms) -> Terms:
        split = terms.collateral_split
        shares = (split.burned, split.operator, split.rescuer, split.treasury)
        check_sum(json_path(("terms", "collateral_split")), shares, "shares", self.faults)
        return Terms(terms.bid_paid, *shares, collateral_rate=terms.collateral_rate)

    def _uncertainty(self, uncertainty: schema.Uncertainty) -> Uncertainty:
        dependence = uncertainty.dependence
        if dependence.common + dependence.coprocessor > 1.0 + SUM_TOLERANCE:
            self._fault(
                json_path(("uncertainty", "dependence")),
                f"common + coprocessor = {dependence.common + dependence.coprocessor:g}",
                "shares of variance that add up to at most 1",
            )
        if uncertainty.sampling not in schema.SAMPLING:  # reading what is installed takes 10 ms
            path = json_path(("uncertainty", "sampling"))
            fault = sampler_fault(path, uncertainty.sampling, others=("bootstrap",))
            self.faults += [] if fault is None else [fault]
        return Uncertainty(
            dependence.common,
            dependence.coprocessor,
            uncertainty.sampling,
            uncertainty.scenarios,
            uncertainty.seed,
        )


def _claims_of(task: schema.Task) -> list[tuple[tuple[int | str, ...], str, float, float]]:
    """List a task's claims: steps to the claim inside the task, operator's id, reward, slashing."""
    if task.claims is not None:
        return [(("claims", i), c.operator, c.reward, c.slashing) for i, c in enumerate(task.claims)]
    if task.operator is not None:
        return [((), task.operator, task.reward or 0.0, task.slashing or 0.0)]
    return []
