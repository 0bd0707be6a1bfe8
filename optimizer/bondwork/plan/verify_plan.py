"""The check of a plan of one stage, or of the first stage of one with later periods, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bondwork.plan.recount import Account, Key, label
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_horizon_bound import HorizonBound
from bondwork.plan.verify_certificate import check_certificate
from bondwork.plan.verify_conflict import check_conflict
from bondwork.plan.verify_explanations import ExplanationCheck
from bondwork.plan.verify_feasible import FeasibleSearch
from bondwork.plan.verify_prices import PriceCheck
from bondwork.plan.verify_provenance import check_options, unknown_names
from bondwork.plan.verify_reasons import ReasonCheck
from bondwork.plan.verify_risk import RiskCheck
from bondwork.plan.verify_stochastic import check_stochastic
from bondwork.problem.faults import Refusal

if TYPE_CHECKING:
    from bondwork.plan.plan import Assignment
    from bondwork.plan.recount_bound import BoundProof


class PlanCheck(RiskCheck):
    """Checks a plan of one stage, or the first stage of one with later periods."""

    def run(self) -> None:
        """Check everything; `violations` and `objective` hold what came of it."""
        plan = self.plan
        if plan.provenance.input_sha256 != self.instance.sha256:
            self.wrong("provenance.input_sha256", plan.provenance.input_sha256, self.instance.sha256)
        past = self.instance.uncertainty.history
        if plan.provenance.history_sha256 != (past.sha256 if past else None):
            expected = "none: no history is given" if past is None else past.sha256
            self.wrong("provenance.history_sha256", plan.provenance.history_sha256, expected)
        if not self.is_staged:
            self.check_one_stage()
        elif plan.evaluation is not None:
            self.doubt("evaluation", "a value", "none: of rescues", (("evaluation",), None))
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
            self.check_assignment(number, each, offer_of.get(key))
        if len(self.chosen) == len(plan.assignments):
            self.check_shares()
        accounts = self.round.accounts(self.chosen)
        self.check_stages()
        if self.is_staged:
            self.later.check()
            self.found += self.later.found
            self.unchecked += self.later.unchecked
        if plan.solution != "none":
            self.check_tasks()
            self.check_limits(accounts)
            self.check_objective()
            self.check_loads()
            self.check_operators()
            self.check_replica_values()
            self.check_reasons(accounts)
        self.check_objective_error()
        self.check_worth_taken()
        self.check_load_error()
        self.check_risk()
        self.check_overcommitted()
        one_stage = self.is_one_stage
        prices = PriceCheck(self, accounts)
        if prices.run(one_stage=one_stage):
            ExplanationCheck(self, accounts).run(prices.entries(), one_stage=one_stage)
        check_stochastic(self)
        check_options(self)
        self.list_what_nobody_knows()
        check_certificate(self)
        check_conflict(self, one_stage=one_stage)
        self.check_status()
        self.check_verdict()

    def list_what_nobody_knows(self) -> None:
        """List what a plan says of how it was asked for and made, and no round tells."""
        plan = self.plan
        if any(each.calibrated is not None for each in plan.risk):
            self.unchecked.append("risk: to where calibration moved budgets")
        if plan.constraints:
            self.unchecked.append("constraints: whether they were asked for")
        self.unchecked += unknown_names(plan.strategy, plan.formulation)

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
                self.doubt(name, "a value", "none: the round has one stage", ((name,), None))

    def proof(self) -> BoundProof:
        """What multipliers prove about the round.

        Raises
        ------
        Uncheckable
            That is not recomputed for a round like this one.
        """
        if self.is_staged and self.instance.objective.risk_weight > 0.0:
            raise Uncheckable("bounds of a mean-risk objective over later periods are not recomputed")
        if self.is_staged and any(each.weight and each.scale for each in self.loads.accounts):
            raise Uncheckable("bounds with load incentives over later periods are not recomputed")
        if self.is_staged:
            return HorizonBound(self.instance, self.later.tree, self.plan.provenance.seed)
        return self.bounds

    def feasible_search(self) -> FeasibleSearch | None:
        """What looks for a plan; ``None`` where what is required later would have to be looked for.

        Where nothing is, whoever does nothing later keeps every limit there that is kept now.
        """
        if any(period.tasks.required.any() for period in self.instance.periods):
            return None
        held = self.instance.commitments.claim.tolist()
        several = len(set(held)) < len(held) or bool((self.instance.tasks.replicas > 1).any())
        if self.is_staged and several and any(each.measure == "expected" for each in self.instance.risk):
            return None  # what is expected to be lost of a claim grows where some of its executors fail
        return FeasibleSearch(self.round)

    # assignments

    def check_assignment(self, number: int, given: Assignment, offer: int | None) -> None:
        """Check one assignment against the offer that it names."""
        where = f"assignments[{number}]"
        if offer is None:
            self.wrong(f"{where}.offer", f"{given.offer} of {given.operator}", "an offer of the round")
            return
        if offer in self.taken:
            self.wrong(f"{where}.offer", f"{given.offer} of {given.operator}", "each offer once")
            return
        self.taken.add(offer)
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
                place = ("assignments", number, name)
                self.wrong(f"{where}.{name}", getattr(given, name), expected, (place, expected))
        reward = self.round.reward[offer]
        if given.price != given.bid and not given.bid <= given.price <= reward:
            self.wrong(f"{where}.price", given.price, f"from the bid {given.bid:g} to the reward {reward:g}")
        if not self.round.eligible[offer]:
            found = f"offer {given.offer}, which cannot be chosen"
            self.wrong(where, found, "an eligible offer", together=[offer])

    # limits

    def check_tasks(self) -> None:
        """Check that every task has one operator, and as many executors as it may have."""
        offers_of: dict[int, list[int]] = {}
        for offer in self.chosen:
            offers_of.setdefault(self.round.task[offer], []).append(offer)
        tasks = self.instance.tasks
        for task, name in enumerate(tasks.ids):
            chosen = offers_of.get(task, [])
            least, most = int(tasks.quorum[task]), int(tasks.replicas[task])
            if chosen and not least <= len(chosen) <= most:
                allowed = f"at most {most}" if len(chosen) > most else f"at least {least}: its quorum"
                self.wrong(f"task {name}", f"{len(chosen)} executors", allowed, together=chosen)
            if len({self.round.executor_id(offer) for offer in chosen}) < len(chosen) <= most:
                self.wrong(f"task {name}", "an executor twice", "different executors", together=chosen)
            if len({self.round.operator[offer] for offer in chosen}) > 1 and len(chosen) <= most:
                found = "executors for several operators"
                self.wrong(f"task {name}", found, "one operator", together=chosen)
            required = tasks.required[task] and task not in self.round.committed
            if required and not chosen:
                self.wrong(f"task {name}", "no executor", "one: the task is required")

    def check_limits(self, accounts: dict[Key, Account]) -> None:
        """Check that no limit is exceeded."""
        for key, account in accounts.items():
            if account.excess() > account.tolerance():
                expected, users = f"at most {account.permitted():.12g}", self.users_of(key)
                self.wrong(label(key), account.total(), expected, together=users)

    def users_of(self, key: Key) -> list[int]:
        """Chosen offers that take something of a limit."""
        teams = self.round.teams.group(self.chosen)
        return [
            offer
            for team in teams
            for offer in team
            if any(each == key and amount > 0.0 for each, amount in self.round.uses(team))
        ]

    # reasons and prices

    def check_reasons(self, accounts: dict[Key, Account]) -> None:
        """Check why tasks were left, and the explanations of choices."""
        tails = self.tails if self.has_tails and not self.is_staged else None
        check = ReasonCheck(self.plan, self.round, self.chosen, accounts, tails, later=self.is_staged)
        check.run()
        self.found += check.found
        self.unchecked += check.unchecked
