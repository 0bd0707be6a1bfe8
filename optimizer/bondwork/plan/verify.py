"""An independent check of a plan against its round: no solver, no code shared with who made the plan.

What the round says is recomputed by `bondwork.plan.recount`; nothing is believed that the plan says about
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bondwork.plan.plan import Plan, Violation, load_plan
from bondwork.plan.recount_rescues import RescueRecount
from bondwork.plan.verify_plan import PlanCheck
from bondwork.plan.verify_two_stages import TwoStageCheck

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bondwork.plan.findings import Finding
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.history import OutcomeHistory


@dataclass(frozen=True, slots=True)
class Verification:
    """What the check found.

    Attributes
    ----------
    violations
        Everything about the plan that is not so, each with its kind: *core*, about the decision, or
        *commentary*, about what the plan says of it. Empty where all is well.
    objective
        The objective recomputed, in currency; ``None`` where the plan assigns nothing.
    unchecked
        What the plan leaves open, or says and nobody can check: no reason to refuse it.
    findings
        The violations, each with what would set it right.
    certified
        Bound that the plan's certificate proves, in currency; ``None`` without one.
    refuted
        Whether the certificate proves that no plan keeps every limit.
    """

    violations: tuple[Violation, ...]
    objective: float | None
    unchecked: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    certified: float | None = None
    refuted: bool = False

    def __bool__(self) -> bool:
        """Whether the plan is what it says."""
        return not self.violations

    def is_sound(self) -> bool:
        """Whether the decision is what the plan says, whatever is wrong with its commentary."""
        return all(each.kind == "commentary" for each in self.violations)


def verify(
    instance: Instance,
    plan: Plan | str | Path | bytes | Mapping[str, Any],
    *,
    history: OutcomeHistory | str | Path | bytes | Mapping[str, Any] | None = None,
) -> Verification:
    """Check a plan against its round.

    Parameters
    ----------
    instance
        The round, from `bondwork.load`.
    plan
        The plan, or where to read it.
    history
        The history that its outcomes were resampled from, or where to read it.

    Returns
    -------
    Verification
        True in a boolean context when nothing is wrong.

    Raises
    ------
    InvalidInput
        The plan or the history cannot be read.
    Refusal
        The plan was made with a history, and none is given.

    Notes
    -----
    What a certificate proves is recomputed; of a bound without one only that it is not below the objective,
    and that gap and status agree with it. Others than the prices must not prove a lower bound. Of
    limits that are said to conflict a plan is sought that keeps them. Collateral and stake are compared in
    whole units of the ledger, other limits may be exceeded by 1e-9 of their largest term.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({"format": "bondwork.round/1", "tasks": []})
    >>> bool(bondwork.verify(instance, bondwork.solve(instance)))
    True
    """
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    if history is not None:
        from bondwork.uncertainty.bootstrap import with_history

        instance = with_history(instance, history)
    if plan.constraints or any(each.beside for each in instance.constraints):
        from bondwork.problem.constraints import with_constraints

        instance = with_constraints(instance, plan.constraints)
    check = _check_of(instance, plan)
    check.needs_history()
    check.run()
    unchecked, found = tuple(check.unchecked), tuple(check.found)
    violations = tuple(check.violations)
    return Verification(violations, check.objective, unchecked, found, check.certified, check.refuted)


def _check_of(instance: Instance, plan: Plan) -> PlanCheck:
    """The check for the stages that a round has."""
    check = PlanCheck(instance, plan)
    if 2 not in instance.offers.stage or check.is_staged:
        return check
    rescues = RescueRecount(check.round, plan.provenance.seed)
    return TwoStageCheck(instance, plan, rescues) if rescues else check
