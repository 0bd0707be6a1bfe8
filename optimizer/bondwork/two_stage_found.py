"""What was found of a round with second-stage offers, and the better of two such findings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.calibration import Candidate
from bondwork.program.recourse import expected_gain
from bondwork.program.rescue_assessment import in_sample_objective

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import ProgramDecision
    from bondwork.plan.certificate import Entry
    from bondwork.program.contingency import FreshRecourse
    from bondwork.program.recourse import SecondStage
    from bondwork.program.redelegation import Redelegation
    from bondwork.risk.assessment import Assessment

#: Reasons to stop beside which a better plan that is known stands.
CUT_SHORT = frozenset({"time_limit", "interrupted", "iteration_limit", "numerical_error", "other_error"})


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One walk: what was decided, what it does in each outcome, and what it measures."""

    model: Redelegation
    decision: ProgramDecision
    settled: Redelegation | None = None
    x: FloatArray | None = None
    second: SecondStage | None = None
    fresh: FreshRecourse | None = None
    assessments: tuple[Assessment, ...] = ()
    proofs: tuple[tuple[Entry, ...], ...] = ()

    @property
    def plan(self) -> tuple[Redelegation, FloatArray, FloatArray] | None:
        """Settled model, first stage and rescues, where there is a plan."""
        if self.settled is None or self.x is None or self.second is None or self.second.rescued is None:
            return None
        return self.settled, self.x, self.second.rescued


def or_first(found: Found, first: Found, strategy: str, *, either: bool) -> Found:
    """What a strategy found, or what was known before, where it was cut short and found nothing better.

    Parameters
    ----------
    either
        Whether the better of two plans is taken: else the strategy's, where it has one.
    """
    if found.decision.status not in CUT_SHORT or first.plan is None:
        return found
    value = in_sample_objective(*first.plan)
    if found.plan is not None and (not either or in_sample_objective(*found.plan) >= value):
        return found
    decision = dataclasses.replace(
        found.decision,
        bound=max(found.decision.bound, value),
        root=first.decision.root,
        nodes=None,
        strategy="greedy",
        notes=(
            *found.decision.notes,
            f"{strategy} found no better plan in time than the greedy first stage with the best second one",
        ),
    )
    return dataclasses.replace(first, model=found.model, decision=decision, proofs=found.proofs)


def candidate(found: Found, factors: Mapping[int, float]) -> Candidate[Found]:
    """What was found under moved limits, as calibration judges it."""
    value = None if found.plan is None else in_sample_objective(*found.plan)
    return Candidate(found, value, found.decision.status, found.assessments, dict(factors))


def known_of(model: Redelegation, nodes: Sequence[FloatArray], which: IntArray, size: int) -> FloatArray:
    """What a strategy decided, for outcomes that look alike one decision: the one that adds the most."""
    decided = np.round(np.array([node[: model.decisions] for node in nodes[1:]]))
    order = np.lexsort((-expected_gain(model, decided), which))
    _, first = np.unique(which[order], return_index=True)
    found: FloatArray = decided[order[first]]
    return found.reshape(size, model.decisions)
