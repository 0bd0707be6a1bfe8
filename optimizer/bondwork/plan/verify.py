"""An independent check of a plan against its round: no solver, no code shared with who made the plan.

What the round says is recomputed by `bondwork.plan.recount`; nothing is believed that the plan says about
itself.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bondwork.plan.plan import Assignment, Plan, Unassigned, Violation, load_plan
from bondwork.plan.recount import LIMIT_TOLERANCE, Account, Recount

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bondwork.problem.instance import Instance

#: Sums that the plan states may differ from ours by this share of the size of their terms: far more than
#: adding in another order costs, far less than anything anybody would tamper with.
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Verification:
    """What the check found.

    Attributes
    ----------
    violations
        Everything about the plan that is not so; empty where all is well.
    objective
        The objective recomputed, in currency; ``None`` where the plan assigns nothing.
    """

    violations: tuple[Violation, ...]
    objective: float | None

    def __bool__(self) -> bool:
        """Whether the plan is what it says."""
        return not self.violations


def verify(instance: Instance, plan: Plan | str | Path | bytes | Mapping[str, Any]) -> Verification:
    """Check a plan against its round.

    Parameters
    ----------
    instance
        The round, from `bondwork.load`.
    plan
        The plan, or where to read it.

    Returns
    -------
    Verification
        True in a boolean context when nothing is wrong.

    Raises
    ------
    InvalidInput
        The plan cannot be read.

    Notes
    -----
    A bound cannot be checked without solving; that it is not below the objective, and that gap and status
    agree with it, can. Limits may be exceeded by 1e-6 of their scale, which is what solvers' feasibility
    tolerances come to.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({"format": "bondwork.round/1", "tasks": []})
    >>> bool(bondwork.verify(instance, bondwork.solve(instance)))
    True
    """
    check = _Check(instance, plan if isinstance(plan, Plan) else load_plan(plan))
    check.run()
    return Verification(tuple(check.violations), check.objective)


class _Check:
    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.instance = instance
        self.plan = plan
        self.round = Recount(instance)
        self.violations: list[Violation] = []
        self.objective: float | None = None
        self.chosen: list[int] = []

    def run(self) -> None:
        plan = self.plan
        if plan.provenance.input_sha256 != self.instance.sha256:
            self.wrong("provenance.input_sha256", plan.provenance.input_sha256, self.instance.sha256)
        if plan.recourse:
            self.wrong("recourse", f"{len(plan.recourse)} assignments", "none: the round has one stage")
        self.check_ineligible_count()
        offer_of = {
            (name, operator, coprocessor < 0): offer
            for offer, (name, operator, coprocessor) in enumerate(
                zip(self.instance.offers.ids, self.round.operator, self.round.coprocessor, strict=True)
            )
        }
        operator_of = {name: v for v, name in enumerate(self.instance.operators.ids)}
        for number, each in enumerate(plan.assignments):
            key = (each.offer, operator_of.get(each.operator, -1), each.kind == "self")
            self.check_assignment(f"assignments[{number}]", each, offer_of.get(key))
        accounts = self.round.accounts(self.chosen)
        if plan.solution != "none":
            self.check_tasks()
            self.check_limits(accounts)
            self.check_objective()
            self.check_operators()
            self.check_unassigned(accounts)
        self.check_risk()
        self.check_prices(accounts)
        self.check_status()
        self.check_verdict()

    def wrong(self, what: str, found: object, expected: object) -> None:
        def text(value: object) -> str:
            return f"{value:.12g}" if isinstance(value, float) else "null" if value is None else str(value)

        self.violations.append(Violation(what=what, found=text(found), expected=text(expected)))

    def check_sum(self, what: str, given: float | None, terms: list[float]) -> None:
        """Check a stated sum against its terms."""
        total = math.fsum(terms)
        if given is None or abs(given - total) > SUM_TOLERANCE * math.fsum(map(abs, terms)):
            self.wrong(what, given, total)

    # assignments

    def check_assignment(self, where: str, given: Assignment, offer: int | None) -> None:
        if offer is None:
            self.wrong(f"{where}.offer", f"{given.offer} of {given.operator}", "an offer of the round")
            return
        self.chosen.append(offer)
        facts: dict[str, Any] = {
            "task": self.instance.tasks.ids[self.round.task[offer]],
            "executor": self.round.executor_id(offer),
            "bid": self.round.bid[offer],
            "collateral": self.round.collateral[offer],
            "success_probability": self.round.p[offer],
        }
        for name, expected in facts.items():
            if getattr(given, name) != expected:
                self.wrong(f"{where}.{name}", getattr(given, name), expected)
        reward = self.round.reward[offer]
        if given.price != given.bid and not given.bid <= given.price <= reward:
            self.wrong(f"{where}.price", given.price, f"from the bid {given.bid:g} to the reward {reward:g}")
        slashing = self.round.slashing[offer] * (1.0 - self.round.p[offer])
        self.check_sum(
            f"{where}.expected_net_reward",
            given.expected_net_reward,
            self.round.net_terms(offer, given.price),
        )
        self.check_sum(f"{where}.expected_slashing", given.expected_slashing, [slashing])
        if not self.round.eligible[offer]:
            self.wrong(where, f"offer {given.offer}, which cannot be chosen", "an eligible offer")

    def check_ineligible_count(self) -> None:
        offers = range(len(self.instance.offers))
        given = self.plan.ineligible_offers
        below = sum(map(self.round.below_minimum, offers))
        late = sum(map(self.round.too_late, offers))
        if given.minimum_collateral != below:
            self.wrong("ineligible_offers.minimum_collateral", given.minimum_collateral, below)
        if given.deadline != late:
            self.wrong("ineligible_offers.deadline", given.deadline, late)

    # limits

    def check_tasks(self) -> None:
        executors = Counter(self.round.task[offer] for offer in self.chosen)
        for task, name in enumerate(self.instance.tasks.ids):
            if executors[task] > 1:
                self.wrong(f"task {name}", f"{executors[task]} executors", "at most 1")
            required = self.instance.tasks.required[task] and task not in self.round.committed
            if required and not executors[task]:
                self.wrong(f"task {name}", "no executor", "one: the task is required")

    def check_limits(self, accounts: dict[str, Account]) -> None:
        for name, account in accounts.items():
            if account.excess() > account.tolerance():
                self.wrong(name, math.fsum(account.terms), f"at most {account.bound:.12g}")

    # sums

    def check_objective(self) -> None:
        done = {self.round.task[offer] for offer in self.chosen} | self.round.committed
        price = {id_: each.price for id_, each in zip(self.chosen, self.plan.assignments, strict=False)}
        terms = [term for offer in self.chosen for term in self.round.net_terms(offer, price[offer])]
        cost: list[float] = self.instance.tasks.unassigned_cost.tolist()
        terms += [-each for task, each in enumerate(cost) if task not in done]
        self.objective = math.fsum(terms)
        self.check_sum("objective", self.plan.objective, terms)

    def check_operators(self) -> None:
        ids = self.instance.operators.ids
        if [each.id for each in self.plan.operators] != list(ids):
            self.wrong("operators", [each.id for each in self.plan.operators], "every operator of the round")
            return
        benefit: list[list[float]] = [[] for _ in ids]
        slashing: list[list[float]] = [[] for _ in ids]
        for offer in self.chosen:
            v, p = self.round.operator[offer], self.round.p[offer]
            lost = self.round.slashing[offer] * (1.0 - p)
            slashing[v].append(lost)
            benefit[v] += [self.round.reward[offer] * p, -lost]
        for v, given in enumerate(self.plan.operators):
            self.check_sum(f"expected_benefit of {given.id}", given.expected_benefit, benefit[v])
            self.check_sum(f"expected_slashing of {given.id}", given.expected_slashing, slashing[v])

    def check_risk(self) -> None:
        expected = [
            (limit, name)
            for limit in self.instance.risk
            for name in self.round.members(limit.scope, limit.member)
            if self.plan.solution != "none"
        ]
        if [(r.measure, r.of) for r in self.plan.risk] != [(limit.measure, name) for limit, name in expected]:
            self.wrong("risk", f"{len(self.plan.risk)} values", f"the {len(expected)} limits of the round")
            return
        for given, (limit, name) in zip(self.plan.risk, expected, strict=True):
            budget = limit.probability if limit.measure == "solvency" else limit.budget
            if given.budget != budget:
                self.wrong(f"{given.measure} budget of {name}", given.budget, budget)
            if limit.measure != "expected":
                continue
            account = self.round.loss_account(name, self.chosen, limit.budget)
            self.check_sum(f"expected loss of {name}", given.in_sample, account.terms)
            if given.holds != (account.excess() <= account.tolerance()):
                self.wrong(f"holds of expected loss of {name}", given.holds, not given.holds)

    # reasons and prices

    def check_unassigned(self, accounts: dict[str, Account]) -> None:
        done = {self.round.task[offer] for offer in self.chosen} | self.round.committed
        left = {name: task for task, name in enumerate(self.instance.tasks.ids) if task not in done}
        given = Counter(each.task for each in self.plan.unassigned)
        if given != Counter(list(left)):
            self.wrong("unassigned", f"{len(self.plan.unassigned)} tasks", f"the {len(left)} tasks left")
            return
        offers_of: dict[int, list[int]] = {task: [] for task in left.values()}
        for offer, task in enumerate(self.round.task):
            if task in offers_of and self.round.eligible[offer]:
                offers_of[task].append(offer)
        for each in self.plan.unassigned:
            self.check_reason(each, offers_of[left[each.task]], accounts)

    def check_reason(self, given: Unassigned, offers: list[int], accounts: dict[str, Account]) -> None:
        what = f"reason of {given.task}"
        worth: list[int] = []
        doubtful = False
        for offer in offers:
            terms = self.round.net_terms(offer, self.round.bid[offer])
            terms.append(float(self.instance.tasks.unassigned_cost[self.round.task[offer]]))
            noise = SUM_TOLERANCE * math.fsum(map(abs, terms))
            doubtful |= abs(math.fsum(terms)) <= noise
            if math.fsum(terms) > noise:
                worth.append(offer)
        reason = "no_room" if worth else "not_worth_it" if offers else "no_eligible_offer"
        if given.reason != reason and not (doubtful and offers and given.reason != "no_eligible_offer"):
            self.wrong(what, given.reason, reason)
        if given.reason != "no_room":
            if given.limits:
                self.wrong(f"limits of {given.task}", given.limits, "none for this reason")
            return
        surely, perhaps = set[str](), set[str]()
        for offer in worth or offers:
            blocks = self.blocking(offer, accounts)
            surely |= blocks[0]
            perhaps |= blocks[1]
            if not blocks[1]:
                self.wrong(what, given.reason, f"an assignment: offer {self.instance.offers.ids[offer]} fits")
        named = set(given.limits)
        if not surely <= named <= perhaps:
            self.wrong(f"limits of {given.task}", sorted(named), sorted(surely))

    def blocking(self, offer: int, accounts: dict[str, Account]) -> tuple[set[str], set[str]]:
        """Return limits that surely leave no room for an offer, and those that do so within rounding."""
        surely, perhaps = set[str](), set[str]()
        for name, amount in self.round.uses(offer):
            account = accounts.get(name)
            if account is None or amount <= 0.0:
                continue
            over = account.excess() + amount
            margin = LIMIT_TOLERANCE * max(abs(account.bound), amount)
            if over > -margin:
                perhaps.add(name)
            if over > margin:
                surely.add(name)
        return surely, perhaps

    def check_prices(self, accounts: dict[str, Account]) -> None:
        names = set(accounts) | {f"task {name}" for name in self.instance.tasks.ids}
        for each in self.plan.prices:
            if each.limit not in names:
                self.wrong("prices", each.limit, "a limit of the round")
            elif each.price is not None and each.price < 0.0 and not each.limit.startswith("task "):
                self.wrong(f"price of {each.limit}", each.price, "a price >= 0")
        if (self.plan.prices_from is None) and self.plan.prices:
            self.wrong("prices_from", None, "where the prices come from")

    # what the plan says about itself

    def check_status(self) -> None:
        plan = self.plan
        if plan.solution == "none":
            told = {
                "objective": plan.objective,
                "gap": plan.gap,
                "assignments": plan.assignments or None,
                "unassigned": plan.unassigned or None,
                "operators": plan.operators or None,
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
        plan = self.plan
        if plan.bound is None:
            if plan.gap is not None or plan.solution == "optimal":
                self.wrong("bound", None, "a number beside a gap or an optimal solution")
            return
        if plan.bound < objective:
            self.wrong("bound", plan.bound, f"at least the objective, {objective:.12g}")
        size = max(abs(plan.bound), abs(objective))
        expected = (plan.bound - objective) / size if size else 0.0
        if plan.gap is None or abs(plan.gap - expected) > SUM_TOLERANCE:
            self.wrong("gap", plan.gap, expected)
        asked = plan.provenance.options.get("mip_rel_gap") or 0.0
        # a solver measures its gap by the objective alone; and where rewards and costs nearly cancel, by the
        # size of the amounts
        allowed = 2.0 * float(asked) * size + LIMIT_TOLERANCE * max(size, self.largest_amount())
        if plan.solution == "optimal" and plan.bound - objective > allowed:
            self.wrong(
                "solution", f"optimal at a gap of {expected:g}", f"feasible, or a gap of at most {asked:g}"
            )

    def largest_amount(self) -> float:
        return max((*self.round.reward, *self.round.slashing, *self.round.bid), default=0.0)

    def check_verdict(self) -> None:
        # said last, and only of a plan that is otherwise right: one with faults may honestly say so
        if self.violations:
            return
        if self.plan.status == "locally_infeasible" and self.plan.solution != "none":
            self.wrong("status", "locally_infeasible", "another status: every limit holds")
        if not self.plan.verified:
            self.wrong("verified", "false", "true: nothing is wrong with this plan")
        if self.plan.violations:
            self.wrong("violations", f"{len(self.plan.violations)} violations", "none")
