"""Whether a round and the plan that is to be exported belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.plan.verify import verify
from bondwork.problem.faults import Fault, InvalidInput, Refusal

if TYPE_CHECKING:
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance


def check_plan(instance: Instance, plan: Plan) -> None:
    """Check that a plan is one of this round and keeps its limits, before anybody acts on it.

    Raises
    ------
    InvalidInput
        With everything about the plan that is not so in this round.
    Refusal
        The plan holds nothing to carry out.
    """
    if not plan.is_usable():
        raise Refusal([f"a plan without a solution (status {plan.status})"])
    verdict = verify(instance, plan)
    if not verdict:
        raise InvalidInput(Fault(f"plan: {v.what}", v.found, v.expected) for v in verdict.violations)
