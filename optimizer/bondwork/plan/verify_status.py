"""What a plan says about itself: status, solution, bound, gap, verdict. Part of `bondwork.plan.verify`."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Final

from bondwork.base.tolerances import LARGEST_GAP, PROGRAM_ROW
from bondwork.plan.findings import Findings
from bondwork.plan.recount import SUM_TOLERANCE, Recount
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.verify_certificate import ceilings_of_plan

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.plan.findings import Amendment, Place
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance, Period

#: What a plan says of itself that is a plan and proves nothing about better ones.
_FEASIBLE: Final[Amendment] = ((("status",), "locally_solved"), (("solution",), "feasible"))

#: The same of one without a bound.
_UNPROVEN: Final[Amendment] = ((("gap",), None), *_FEASIBLE)


class StatusCheck(Findings):
    """The round, the plan, and what was found wrong so far; the base of all checks of a plan."""

    def __init__(self, instance: Instance, plan: Plan) -> None:
        super().__init__()
        self.instance = instance
        self.plan = plan
        self.round = Recount(instance, plan.provenance.seed)
        self.objective: float | None = None
        #: Bound that the certificate proves.
        self.certified: float | None = None
        #: Whether it is proven that nothing is feasible.
        self.refuted = False
        self.chosen: list[int] = []
        #: The same, to be looked up.
        self.taken: set[int] = set()

    @cached_property
    def bounds(self) -> BoundRecount:
        """What multipliers prove about the first stage alone; prices and certificate are about the same."""
        return BoundRecount(self.round, ceilings_of_plan(self))

    def check_sum(self, what: str, place: Place, given: float | None, terms: list[float]) -> None:
        """Check a stated sum of the decision against its terms."""
        total = math.fsum(terms)
        if not is_sum(given, terms):
            self.wrong(what, given, total, (place, total))

    def check_told(self, what: str, place: Place, given: float | None, terms: list[float]) -> None:
        """Check a sum that the commentary states against its terms."""
        total = math.fsum(terms)
        if not is_sum(given, terms):
            self.doubt(what, given, total, (place, total))

    @property
    def has_tails(self) -> bool:
        """Whether anything about the round needs scenarios."""
        tail = any(limit.measure != "expected" for limit in self.instance.risk)
        return tail or self.instance.objective.risk_weight > 0.0

    def check_infeasible(self) -> None:
        """Look for the plainest contradiction of an infeasible round: that doing nothing is a plan."""
        plan = self.plan
        if plan.status in ("dual_infeasible", "infeasible_or_unbounded"):
            self.wrong("status", plan.status, "another status: no round is unbounded")
        if plan.status != "infeasible":
            return
        open_tasks = set(range(len(self.instance.tasks))) - self.round.committed
        needed = any(self.instance.tasks.required[task] for task in open_tasks)
        needed |= any(period.tasks.required.any() for period in self.instance.periods)
        needed |= any(each.excess() > 0.0 for each in self.round.accounts([]).values())
        if not needed:
            self.wrong(
                "status", "infeasible", "a plan: no task is required, and doing nothing breaks no limit"
            )

    def check_status(self) -> None:
        """Check that status and solution go together, and with what the plan holds."""
        plan = self.plan
        self.check_infeasible()
        if plan.solution == "none":
            told = {
                "objective": plan.objective,
                "gap": plan.gap,
                "assignments": plan.assignments or None,
                "unassigned": plan.unassigned or None,
                "operators": plan.operators or None,
                "bound": plan.bound if plan.status == "infeasible" else None,
            }
            for name, value in told.items():
                if value is not None:
                    self.wrong(name, "a value", "none, as solution is none")
        elif plan.status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
            self.wrong("status", plan.status, f"another status beside solution {plan.solution}")
        if (plan.status == "optimal") != (plan.solution == "optimal"):
            self.wrong("solution", plan.solution, f"what status {plan.status} means")
        if plan.objective is not None:
            self.check_gap(plan.objective)

    def check_gap(self, objective: float) -> None:
        """Check that the bound is on its side of the objective, and that the gap is theirs."""
        plan = self.plan
        if plan.bound is None:
            if plan.gap is not None or plan.solution == "optimal":
                self.wrong("bound", None, "a number beside a gap or an optimal solution", *_UNPROVEN)
            return
        if plan.bound < objective:
            # a hair below is a rounding of either; more is no proof of anything
            near = objective - plan.bound <= SUM_TOLERANCE * abs(objective)
            right = ((("bound",), objective),) if near else ((("bound",), None), *_UNPROVEN)
            self.wrong("bound", plan.bound, f"at least the objective, {objective:.12g}", *right)
            return
        size = max(abs(plan.bound), abs(objective))
        expected = (plan.bound - objective) / size if size else 0.0
        if plan.gap is None or abs(plan.gap - expected) > SUM_TOLERANCE:
            self.wrong("gap", plan.gap, expected, (("gap",), expected))
        asked = asked_gap(plan)
        # a solver measures its gap by the objective alone; and where rewards and costs nearly cancel, by the
        # size of the amounts
        allowed = 2.0 * asked * size + PROGRAM_ROW * max(size, self.largest_amount())
        allowed += self.plan.load_error
        if plan.solution == "optimal" and plan.bound - objective > allowed:
            self.wrong(
                "solution",
                f"optimal at a gap of {expected:g}",
                f"feasible, or a gap of at most {asked:g}",
                *_FEASIBLE,
            )

    def largest_amount(self) -> float:
        """Largest amount of the round and its later periods: what rounding is measured by."""
        periods = self.instance.periods
        amounts = [
            *self._amounts(self.instance),
            *(amount for period in periods for amount in self._amounts(period)),
        ]
        return max(float(each.max(initial=0.0)) for each in amounts)

    @staticmethod
    def _amounts(part: Instance | Period) -> tuple[FloatArray, ...]:
        claims = part.claims
        return claims.reward, claims.slashing, part.offers.bid, part.tasks.unassigned_cost

    def check_verdict(self) -> None:
        """Check what the plan says of its own check."""
        # said last, and only of a plan that is otherwise right: one with faults may honestly say so
        if self.violations:
            return
        if self.plan.status == "locally_infeasible" and self.plan.solution != "none":
            self.wrong("status", "locally_infeasible", "another status: every limit holds")
        if not self.plan.verified:
            self.wrong("verified", "false", "true: nothing is wrong with this plan", (("verified",), True))
        if self.plan.violations:
            self.wrong("violations", f"{len(self.plan.violations)} violations", "none")


def asked_gap(plan: Plan) -> float:
    """Relative gap that a solve was asked for; 0 where the plan says none that can be asked for."""
    asked = plan.provenance.options.get("mip_rel_gap")
    if isinstance(asked, (int, float)) and not isinstance(asked, bool) and 0 <= asked <= LARGEST_GAP:
        return float(asked)
    return 0.0


def is_sum(given: float | None, terms: list[float]) -> bool:
    """Whether a stated number is the sum of terms, but for the order of adding them."""
    return given is not None and abs(given - math.fsum(terms)) <= SUM_TOLERANCE * math.fsum(map(abs, terms))
