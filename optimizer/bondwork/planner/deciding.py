"""Solving a composed round so that the ledger can carry the plan out, to the last unit."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bondwork.planner.composing import excess, planned, text_of, without_new_work
from bondwork.problem.periods import is_staged
from bondwork.problem.reading import read_document
from bondwork.problem.rescues import has_rescues
from bondwork.solving import solve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.contracts import Observer
    from bondwork.plan.plan import Plan
    from bondwork.planner.books import Books
    from bondwork.planner.composing import Composed
    from bondwork.planner.events import Planned

#: Share of the free collateral that is kept back where a solver's tolerance would overdraw it.
RESERVE = Decimal("4e-6")


def decide(
    composed: Composed,
    books: Books,
    round_id: str,
    earlier: Plan | None,
    observer: Observer | None,
    options: Mapping[str, Any],
) -> tuple[Plan, Planned]:
    """Solve a composed round, again where the plan would overdraw an account by a solver's tolerance.

    Parameters
    ----------
    composed, books, round_id
        The round, what it was composed from, and its name.
    earlier
        Plan of the round before, to start from.
    observer, options
        For `bondwork.solve`.

    Returns
    -------
    tuple
        The plan, verified against the composed round, and what it commits to.
    """
    notes = composed.notes
    while True:
        instance = read_document(composed.document)
        is_plain = not is_staged(instance) and not has_rescues(instance)
        plan = solve(instance, warm_start=earlier if is_plain else None, observer=observer, **options)
        plan = with_notes(plan, notes)
        event = planned(composed, plan, books, round_id)
        missing = excess(event, books)
        if not missing:
            return plan, event
        coprocessors = [
            _tightened(each) if each["id"] in missing else each for each in composed.document["coprocessors"]
        ]
        document = {**composed.document, "coprocessors": coprocessors}
        composed = dataclasses.replace(composed, document=document)
        notes += (f"collateral of {', '.join(missing)} kept back: a plan overdrew it by rounding",)


def idle_plan(composed: Composed, reason: str) -> Plan:
    """Give the plan that commits to nothing, because the breaker is open."""
    plan = solve(read_document(without_new_work(composed.document)), strategy="greedy")
    left = [each.model_copy(update={"reason": "kept_for_later", "limits": []}) for each in plan.unassigned]
    changes = {
        "status": "interrupted",
        "solution": "feasible",
        "bound": None,
        "gap": None,
        "unassigned": left,
    }
    note = f"the breaker is open, nothing is given away: {reason}"
    return with_notes(plan.model_copy(update=changes), (*composed.notes, note))


def with_notes(plan: Plan, notes: tuple[str, ...]) -> Plan:
    """Add notes to a plan's provenance."""
    if not notes:
        return plan
    provenance = plan.provenance.model_copy(update={"notes": [*plan.provenance.notes, *notes]})
    return plan.model_copy(update={"provenance": provenance})


def _tightened(coprocessor: dict[str, Any]) -> dict[str, Any]:
    free = Decimal(text_of(coprocessor["free_collateral"]))
    less = free - max(free, Decimal(0)) * RESERVE
    return {**coprocessor, "free_collateral": format(less, "f")}
