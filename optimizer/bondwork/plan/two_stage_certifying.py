"""The certificate of a plan with a second stage."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bondwork.plan.certifying import ceilings_of, with_bound, with_refutation, without_certificate
from bondwork.plan.recount import Recount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_rescue_bound import RescueBound
from bondwork.plan.recount_rescues import RescueRecount
from bondwork.program.rescue_proof import refuting_entries, relaxed_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.contracts import Options, Voucher
    from bondwork.plan.certificate import Entry
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.program.redelegation import Redelegation
    from bondwork.two_stages import TwoStageDecision

#: See `proving_seconds`.
_SECONDS_PER_MULTIPLIER = 4e-5


def certify_two_stages(instance: Instance, plan: Plan, found: TwoStageDecision, options: Options) -> Plan:
    """Return a plan with its certificate, or with a note why it has none.

    Multipliers are those that the strategy knows, else those of the linear relaxation of all outcomes; where
    there is no time for that, none: the best choice for each task by itself. What they prove is what
    `bondwork.verify` will recompute; where it is better than the bound that the strategy told, it becomes the
    plan's.

    Parameters
    ----------
    options
        The time limit is for the relaxation, the recount of its bound, and what verifying that takes more.
    """
    if found.knows_outcomes:  # its bound is about somebody who knows more than any plan
        return plan
    try:
        recount = RescueBound(
            RescueRecount(Recount(instance, plan.provenance.seed), plan.provenance.seed),
            ceilings_of(instance, plan),
        )
        if plan.status == "infeasible":
            return _refuted(plan, found, recount, options)
        return with_bound(plan, recount, _known(plan, found, options), _voucher(plan))
    except Exception as reason:
        return without_certificate(plan, reason)


def _voucher(plan: Plan) -> Voucher:
    """Who says that a better bound holds."""
    return "branch_and_bound" if plan.strategy == "extensive" else "strategy"


def proof_rows(model: Redelegation) -> int:
    """Rows of all outcomes, each of which may have a multiplier."""
    return len(model.outcomes) * len(model.program.templates[1].rows)


def proving_seconds(multipliers: int) -> float:
    """Seconds that a bound takes in exact fractions, where it is proven and where it is verified."""
    return _SECONDS_PER_MULTIPLIER * multipliers


def _known(plan: Plan, found: TwoStageDecision, options: Options) -> Sequence[Sequence[Entry]]:
    """Entries of each way to prove a bound that there is time for."""
    known = [each for each in found.proofs if proving_seconds(len(each)) <= options.time_limit]
    if known or found.proofs or found.decision.strategy == "greedy" or plan.status == "interrupted":
        return known or [[]]
    left = options.time_limit - proving_seconds(proof_rows(found.model))
    if left <= 0.0:
        return [[]]
    return relaxed_entries(found.model, dataclasses.replace(options, time_limit=left), plan.objective)


def _refuted(plan: Plan, found: TwoStageDecision, recount: RescueBound, options: Options) -> Plan:
    entries: list[Entry] = []
    if not recount.refutes(entries):
        known = refuting_entries(found.model, options)
        if known is None:
            raise Uncheckable("the linear relaxation is feasible, or was not solved")
        if not recount.refutes(known):
            raise Uncheckable("the multipliers of the linear relaxation prove nothing when recomputed")
        entries = known
    return with_refutation(plan, entries)
