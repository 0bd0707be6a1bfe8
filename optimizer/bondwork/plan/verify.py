"""An independent check of a plan against its round: no solver, no code shared with who made the plan.

What the round says is recomputed by `bondwork.plan.recount`; nothing is believed that the plan says about
itself.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bondwork.plan.plan import Assignment, Plan, Violation, load_plan
from bondwork.plan.recount import LIMIT_TOLERANCE, SUM_TOLERANCE, Account, Key, Recount, label
from bondwork.plan.recount_horizon import HorizonRecount
from bondwork.plan.recount_loads import LoadRecount, incentive
from bondwork.plan.recount_risk import TailRecount
from bondwork.plan.verify_reasons import ReasonCheck
from bondwork.problem.faults import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bondwork.plan.plan import RiskValue
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.uncertainty.history import OutcomeHistory


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
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    if history is not None:
        from bondwork.uncertainty.bootstrap import with_history

        instance = with_history(instance, history)
    check = _check_of(instance, plan)
    check.needs_history()
    check.run()
    return Verification(tuple(check.violations), check.objective)


def _check_of(instance: Instance, plan: Plan) -> _Check:
    """The check for the stages that a round has."""
    check = _Check(instance, plan)
    if 2 not in instance.offers.stage or check.is_staged:
        return check
    from bondwork.plan.recount_rescues import RescueRecount
    from bondwork.plan.verify_two_stages import TwoStageCheck

    rescues = RescueRecount(check.round, plan.provenance.seed)
    return TwoStageCheck(instance, plan, rescues) if rescues else check


class _Check:
    """Checks a plan of one stage, or the first stage of one with later periods."""

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.instance = instance
        self.plan = plan
        self.round = Recount(instance, plan.provenance.seed)
        self.violations: list[Violation] = []
        self.objective: float | None = None
        self.chosen: list[int] = []

    def run(self) -> None:
        plan = self.plan
        if plan.provenance.input_sha256 != self.instance.sha256:
            self.wrong("provenance.input_sha256", plan.provenance.input_sha256, self.instance.sha256)
        past = self.instance.uncertainty.history
        if plan.provenance.history_sha256 != (past.sha256 if past else None):
            expected = "none: no history is given" if past is None else past.sha256
            self.wrong("provenance.history_sha256", plan.provenance.history_sha256, expected)
        if not self.is_staged:
            self.check_one_stage()
        if plan.conflict is not None and plan.status != "infeasible":
            self.wrong("conflict", "a value", f"none beside status {plan.status}")
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
        if len(self.chosen) == len(plan.assignments):
            self.check_shares()
        accounts = self.round.accounts(self.chosen)
        self.check_stages()
        if self.is_staged:
            self.later.check()
            self.violations += self.later.violations
        if plan.solution != "none":
            self.check_tasks()
            self.check_limits(accounts)
            self.check_objective()
            self.check_loads()
            self.check_operators()
            self.check_replica_values()
            self.check_reasons(accounts)
        self.check_load_error()
        self.check_risk()
        self.check_prices(accounts)
        self.check_status()
        self.check_verdict()

    def needs_history(self) -> None:
        """Refuse a check for which a history is needed that is not there."""
        made_with = self.plan.provenance.history_sha256
        bootstrap = self.instance.uncertainty.sampling == "bootstrap" and self.has_tails
        if self.instance.uncertainty.history is None and (made_with or bootstrap):
            which = f" (sha256 {made_with})" if made_with else ""
            raise Refusal(
                [f"checking this plan needs the history that its outcomes were resampled from{which}"]
            )

    def check_stages(self) -> None:
        """Check what is done once outcomes are seen; nothing here."""

    def check_one_stage(self) -> None:
        """Check that a plan of one stage says nothing about others."""
        plan = self.plan
        if plan.recourse:
            self.wrong("recourse", f"{len(plan.recourse)} nodes", "none: the round has one stage")
        if plan.provenance.tree_sha256 is not None:
            self.wrong("provenance.tree_sha256", plan.provenance.tree_sha256, "none: nothing was sampled")
        for name in ("stochastic", "evaluation"):
            if getattr(plan, name) is not None:
                self.wrong(name, "a value", "none: the round has one stage")

    @cached_property
    def is_staged(self) -> bool:
        """Whether later periods were planned with."""
        return any(
            len(period.offers) or period.tasks.required.any() or period.tasks.unassigned_cost.any()
            for period in self.instance.periods
        )

    @cached_property
    def later(self) -> HorizonRecount:
        """What the plan does in later periods."""
        return HorizonRecount(self.instance, self.plan, self.chosen)

    @property
    def has_tails(self) -> bool:
        """Whether anything about the round needs scenarios."""
        tail = any(limit.measure != "expected" for limit in self.instance.risk)
        return tail or self.instance.objective.risk_weight > 0.0

    @cached_property
    def tails(self) -> TailRecount:
        """Losses by scenario, drawn when first asked for."""
        return TailRecount(self.round, self.chosen)

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
        if not self.round.eligible[offer]:
            self.wrong(where, f"offer {given.offer}, which cannot be chosen", "an eligible offer")

    def check_shares(self) -> None:
        """Check what each assignment is worth: its own terms, and an equal share of what its task brings."""
        teams = self.round.teams.group(self.chosen)
        team_of = {offer: team for team in teams for offer in team}
        for number, (given, offer) in enumerate(zip(self.plan.assignments, self.chosen, strict=True)):
            team = team_of[offer]
            benefit = [term / len(team) for term in self.round.benefit_terms(team)]
            where = f"assignments[{number}]"
            terms = benefit + self.round.paid_terms(offer, given.price)
            self.check_sum(f"{where}.expected_net_reward", given.expected_net_reward, terms)
            self.check_sum(f"{where}.expected_slashing", given.expected_slashing, [-benefit[1]])

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
        offers_of: dict[int, list[int]] = {}
        for offer in self.chosen:
            offers_of.setdefault(self.round.task[offer], []).append(offer)
        tasks = self.instance.tasks
        for task, name in enumerate(tasks.ids):
            chosen = offers_of.get(task, [])
            least, most = int(tasks.quorum[task]), int(tasks.replicas[task])
            if chosen and not least <= len(chosen) <= most:
                allowed = f"at most {most}" if len(chosen) > most else f"at least {least}: its quorum"
                self.wrong(f"task {name}", f"{len(chosen)} executors", allowed)
            if len({self.round.executor_id(offer) for offer in chosen}) < len(chosen) <= most:
                self.wrong(f"task {name}", "an executor twice", "different executors")
            if len({self.round.operator[offer] for offer in chosen}) > 1 and len(chosen) <= most:
                self.wrong(f"task {name}", "executors for several operators", "one operator")
            required = tasks.required[task] and task not in self.round.committed
            if required and not chosen:
                self.wrong(f"task {name}", "no executor", "one: the task is required")

    def check_limits(self, accounts: dict[Key, Account]) -> None:
        for key, account in accounts.items():
            if account.excess() > account.tolerance():
                self.wrong(label(key), math.fsum(account.terms), f"at most {account.bound:.12g}")

    # sums

    def check_objective(self) -> None:
        if self.is_staged:
            terms = self.later.terms()
            self.objective = math.fsum(terms)
            self.check_sum("objective", self.plan.objective, terms)
            return
        done = {self.round.task[offer] for offer in self.chosen} | self.round.committed
        price = {id_: each.price for id_, each in zip(self.chosen, self.plan.assignments, strict=False)}
        teams = self.round.teams.group(self.chosen)
        terms = [term for team in teams for term in self.round.net_terms(team, price)]
        cost: list[float] = self.instance.tasks.unassigned_cost.tolist()
        terms += [-each for task, each in enumerate(cost) if task not in done]
        terms += self.loads.worths()
        weight, level = self.instance.objective.risk_weight, self.instance.objective.risk_level
        if weight > 0.0:
            terms = [(1.0 - weight) * term for term in terms]
            terms.append(-weight * self.tails.network_cvar(level))
        self.objective = math.fsum(terms)
        self.check_sum("objective", self.plan.objective, terms)

    @cached_property
    def loads(self) -> LoadRecount:
        """Loads of what the plan chooses."""
        return LoadRecount(self.round, self.chosen)

    def check_loads(self) -> None:
        instance, accounts = self.instance, self.loads.accounts
        names = [(instance.coprocessors.ids[a.coprocessor], instance.resources[a.resource]) for a in accounts]
        if [(each.coprocessor, each.resource) for each in self.plan.loads] != names:
            self.wrong("loads", f"{len(self.plan.loads)} loads", f"the {len(names)} that have a curve")
            return
        for given, account in zip(self.plan.loads, accounts, strict=True):
            load = account.load()
            self.check_sum(f"load of {given.coprocessor}", given.load, [load])
            # of the stated load: where a curve jumps, a rounding of the load would be another incentive
            worth = account.scale * incentive(account.parameters, given.load)
            self.check_sum(f"incentive of {given.coprocessor}", given.incentive, [worth])

    def check_load_error(self) -> None:
        permitted = (1.0 - self.instance.objective.risk_weight) * self.loads.permitted_error()
        if self.plan.load_error > permitted:
            self.wrong("load_error", self.plan.load_error, f"at most {permitted:.12g}")

    def check_operators(self) -> None:
        ids = self.instance.operators.ids
        if [each.id for each in self.plan.operators] != list(ids):
            self.wrong("operators", [each.id for each in self.plan.operators], "every operator of the round")
            return
        benefit: list[list[float]] = [[] for _ in ids]
        slashing: list[list[float]] = [[] for _ in ids]
        for team in self.round.teams.group(self.chosen):
            v, terms = self.round.operator[team[0]], self.round.benefit_terms(team)
            slashing[v].append(-terms[1])
            benefit[v] += terms
        for v, given in enumerate(self.plan.operators):
            self.check_sum(f"expected_benefit of {given.id}", given.expected_benefit, benefit[v])
            self.check_sum(f"expected_slashing of {given.id}", given.expected_slashing, slashing[v])

    def check_replica_values(self) -> None:
        """Check what the best further executor of each task with replicas would add."""
        best: dict[str, dict[str, list[float]]] = {}
        size = {}
        for team in self.round.teams.group(self.chosen):
            task = self.round.task[team[0]]
            if self.instance.tasks.replicas[task] > 1:
                name = self.instance.tasks.ids[task]
                size[name] = len(team)
                for offer in self.round.newcomers(team):
                    id_ = self.instance.offers.ids[offer]
                    best.setdefault(name, {})[id_] = self.round.newcomer_terms(team, offer)
        given = [each.task for each in self.plan.replica_values]
        if given != [name for name in self.instance.tasks.ids if name in best]:
            self.wrong("replica_values", given, "the assigned tasks with replicas and another executor")
            return
        for each in self.plan.replica_values:
            what, worth = f"replica value of {each.task}", best[each.task]
            if each.offer not in worth or each.executors != size[each.task]:
                self.wrong(
                    what, f"{each.offer} beside {each.executors}", f"one more beside {size[each.task]}"
                )
                continue
            terms = worth[each.offer]
            self.check_sum(what, each.value_of_one_more, terms)
            most = max(map(math.fsum, worth.values()))
            if math.fsum(terms) < most - SUM_TOLERANCE * math.fsum(map(abs, terms)):
                self.wrong(what, each.offer, f"the offer that adds most, {most:.12g}")

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
            what = f"{given.measure} of {name}"
            facts: tuple[float, float | None, float | None, bool]
            if limit.measure == "expected":
                account = self.round.loss_account(name, self.chosen, limit.budget)
                self.check_sum(what, given.in_sample, account.terms)
                if given.calibrated is not None:
                    self.wrong(f"calibrated of {what}", given.calibrated, "none: the value is exact")
                holds = account.excess() <= account.tolerance()
                facts = (limit.budget, None, None, holds)
            else:
                facts = self.check_tail(what, given, limit, name)
            stated = (given.budget, given.out_of_sample, given.standard_error, given.holds)
            for word, found, fact in zip(
                ("budget", "out_of_sample", "standard_error", "holds"), stated, facts, strict=True
            ):
                if not _agree(found, fact):
                    self.wrong(f"{word} of {what}", found, fact)

    def check_tail(
        self, what: str, given: RiskValue, limit: RiskLimit, name: str
    ) -> tuple[float, float | None, float | None, bool]:
        """Measure a tail limit again; return what the plan should state."""
        reading = self.tails.read(limit, name)
        if not _agree(given.in_sample, reading.in_sample):
            self.wrong(f"in_sample of {what}", given.in_sample, reading.in_sample)
        if reading.in_sample > reading.ceiling + LIMIT_TOLERANCE * max(abs(reading.ceiling), 1e-3):
            self.wrong(what, reading.in_sample, f"at most {reading.ceiling:.12g}")
        if given.calibrated is not None and not (limit.calibrate and given.calibrated <= reading.ceiling):
            self.wrong(f"calibrated of {what}", given.calibrated, "none, or a tighter budget")
        if given.calibrated is not None and reading.in_sample > given.calibrated + LIMIT_TOLERANCE * max(
            abs(given.calibrated), 1e-3
        ):
            self.wrong(f"calibrated of {what}", given.calibrated, f"at least {reading.in_sample:.12g}")
        error = reading.standard_error if math.isfinite(reading.standard_error) else None
        return reading.ceiling, reading.out_of_sample, error, reading.holds()

    # reasons and prices

    def check_reasons(self, accounts: dict[Key, Account]) -> None:
        tails = self.tails if self.has_tails else None
        check = ReasonCheck(self.plan, self.round, self.chosen, accounts, tails, later=self.is_staged)
        for finding in check.findings():
            self.wrong(*finding)

    def check_prices(self, accounts: dict[Key, Account]) -> None:
        measured = Counter(map(label, accounts))
        measured.update(
            f"expected loss of {member}" if limit.measure == "expected" else f"{limit.measure} of {member}"
            for limit in self.instance.risk
            for member in self.round.members(limit.scope, limit.member)
        )
        names = {*measured, *(f"task {name}" for name in self.instance.tasks.ids)}
        for each in self.plan.prices:
            if each.limit not in names:
                self.wrong("prices", each.limit, "a limit of the round")
            elif each.price is not None and each.price < 0.0 and not each.limit.startswith("task "):
                self.wrong(f"price of {each.limit}", each.price, "a price >= 0")
        named = Counter(each.limit for each in self.plan.prices)
        for name, count in named.items():
            most = max(measured[name], 1)  # a risk may be limited twice
            if count > most:
                self.wrong(f"price of {name}", f"{count} prices", f"at most {most}")
        if (self.plan.prices_from is None) and self.plan.prices:
            self.wrong("prices_from", None, "where the prices come from")

    # what the plan says about itself

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
        accounts = self.round.accounts([])
        exceeded = any(each.excess() > 0.0 for each in accounts.values())
        if not (needed or exceeded or self.has_tails):
            self.wrong("status", "infeasible", "a plan: doing nothing keeps every limit")
        known = {*map(label, accounts), *(f"task {name} required" for name in self.instance.tasks.ids)}
        known |= {
            f"{limit.measure} of {member}"
            for limit in self.instance.risk
            for member in self.round.members(limit.scope, limit.member)
        }
        known |= {
            f"task {name} required in {period.id}"
            for period in self.instance.periods
            for name in period.tasks.ids
        }
        for name in [] if plan.conflict is None else plan.conflict.limits:
            if name not in known:
                self.wrong("conflict", name, "limits of the round")

    def check_status(self) -> None:
        plan = self.plan
        self.check_infeasible()
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
        allowed += self.plan.load_error
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


def _agree(found: float | None, fact: float | None) -> bool:
    """Whether a stated number is the recomputed one; both may be absent."""
    if found is None or fact is None:
        return found is fact
    return abs(found - fact) <= SUM_TOLERANCE * max(abs(found), abs(fact), 1e-300)
