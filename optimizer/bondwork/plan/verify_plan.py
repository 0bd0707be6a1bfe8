"""The check of a plan of one stage, or of the first stage of one with later periods, step by step."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bondwork.base.tolerances import ROW
from bondwork.plan.recount import SUM_TOLERANCE, Account, Key, label
from bondwork.plan.recount_bound import BoundProof, BoundRecount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_commitments import (
    committed_accounts,
    doubtful_overcommitments,
    stated_overcommitments,
)
from bondwork.plan.recount_history import HistoryRecount
from bondwork.plan.recount_horizon import HorizonRecount
from bondwork.plan.recount_horizon_bound import HorizonBound
from bondwork.plan.recount_loads import LoadRecount, incentive
from bondwork.plan.recount_path_tails import PathTails
from bondwork.plan.recount_risk import TailRecount
from bondwork.plan.verify_certificate import ceilings_of_plan, check_certificate
from bondwork.plan.verify_conflict import check_conflict
from bondwork.plan.verify_explanations import ExplanationCheck
from bondwork.plan.verify_feasible import FeasibleSearch
from bondwork.plan.verify_prices import PriceCheck
from bondwork.plan.verify_provenance import check_options, unknown_names
from bondwork.plan.verify_reasons import ReasonCheck
from bondwork.plan.verify_status import StatusCheck
from bondwork.plan.verify_stochastic import check_stochastic
from bondwork.problem.faults import Refusal
from bondwork.risk.assessment import STANDARD_ERRORS

if TYPE_CHECKING:
    from bondwork.plan.findings import Place
    from bondwork.plan.plan import Assignment, RiskValue
    from bondwork.problem.instance import RiskLimit


class PlanCheck(StatusCheck):
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
        self.check_load_error()
        self.check_risk()
        self.check_overcommitted()
        one_stage = not self.is_staged and type(self) is PlanCheck
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

    @cached_property
    def path_tails(self) -> PathTails:
        """Losses of whole paths, where later periods were planned with."""
        return PathTails(self.later)

    @cached_property
    def tails(self) -> TailRecount:
        """Losses by scenario, drawn when first asked for."""
        return TailRecount(self.round, self.chosen)

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
        return BoundRecount(self.round, ceilings_of_plan(self))

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

    def check_shares(self) -> None:
        """Check what each assignment is worth: its own terms, and an equal share of what its task brings."""
        teams = self.round.teams.group(self.chosen)
        team_of = {offer: team for team in teams for offer in team}
        for number, (given, offer) in enumerate(zip(self.plan.assignments, self.chosen, strict=True)):
            team = team_of[offer]
            benefit = [term / len(team) for term in self.round.benefit_terms(team)]
            for name, terms in (
                ("expected_net_reward", benefit + self.round.paid_terms(offer, given.price)),
                ("expected_slashing", [-term for term in benefit[1:]]),
            ):
                place = ("assignments", number, name)
                self.check_sum(f"assignments[{number}].{name}", place, getattr(given, name), terms)

    def check_ineligible_count(self) -> None:
        """Check how many offers could never be chosen."""
        offers = range(len(self.instance.offers))
        given = self.plan.ineligible_offers
        below = sum(map(self.round.below_minimum, offers))
        late = sum(map(self.round.too_late, offers))
        for name, count in (("minimum_collateral", below), ("deadline", late)):
            if getattr(given, name) != count:
                place = ("ineligible_offers", name)
                self.doubt(f"ineligible_offers.{name}", getattr(given, name), count, (place, count))

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

    # sums

    def check_objective(self) -> None:
        """Check the objective, recomputed from the assignments."""
        weight, level = self.instance.objective.risk_weight, self.instance.objective.risk_level
        if self.is_staged:
            terms = self.later.terms()
            if weight > 0.0:
                terms = [(1.0 - weight) * term for term in terms]
                terms.append(-weight * self.path_tails.network_cvar(level))
            self.objective = math.fsum(terms)
            self.check_sum("objective", ("objective",), self.plan.objective, terms)
            return
        done = {self.round.task[offer] for offer in self.chosen} | self.round.committed
        price = {id_: each.price for id_, each in zip(self.chosen, self.plan.assignments, strict=False)}
        teams = self.round.teams.group(self.chosen)
        terms = [term for team in teams for term in self.round.net_terms(team, price)]
        cost: list[float] = self.instance.tasks.unassigned_cost.tolist()
        terms += [-each for task, each in enumerate(cost) if task not in done]
        terms += self.loads.worths()
        if weight > 0.0:
            terms = [(1.0 - weight) * term for term in terms]
            terms.append(-weight * self.tails.network_cvar(level))
        self.objective = math.fsum(terms)
        self.check_sum("objective", ("objective",), self.plan.objective, terms)

    def check_objective_error(self) -> None:
        """Check the objective's standard error; earlier versions told none."""
        given, expected = self.plan.objective_standard_error, None
        if given is None:
            return
        one_stage = not self.is_staged and type(self) is PlanCheck
        if one_stage and self.instance.objective.risk_weight == 0.0:
            expected = self.resampled.objective()
        if not _agree(given, expected, abs(self.objective or 0.0)):
            place = ("objective_standard_error",)
            self.wrong("objective_standard_error", given, expected, (place, expected))

    @cached_property
    def resampled(self) -> HistoryRecount:
        """How far averages over the rounds of a history may be off."""
        return HistoryRecount(self.round, self.chosen)

    @cached_property
    def loads(self) -> LoadRecount:
        """Loads of what the plan chooses."""
        return LoadRecount(self.round, self.chosen)

    def check_loads(self) -> None:
        """Check the load incentives."""
        instance, accounts = self.instance, self.loads.accounts
        names = [(instance.coprocessors.ids[a.coprocessor], instance.resources[a.resource]) for a in accounts]
        if not self.plan.loads and names:
            self.unchecked.append("loads")
            return
        if [(each.coprocessor, each.resource) for each in self.plan.loads] != names:
            found, expected = f"{len(self.plan.loads)} loads", f"the {len(names)} that have a curve"
            self.doubt("loads", found, expected, (("loads",), []))
            return
        for number, (given, account) in enumerate(zip(self.plan.loads, accounts, strict=True)):
            load, who = account.load(), given.coprocessor
            self.check_told(f"load of {who}", ("loads", number, "load"), given.load, [load])
            # of the stated load: where a curve jumps, a rounding of the load would be another incentive
            worth = account.scale * incentive(account.parameters, given.load)
            self.check_told(f"incentive of {who}", ("loads", number, "incentive"), given.incentive, [worth])

    def check_load_error(self) -> None:
        """Check the stated error of the straight pieces."""
        errors = self.later.permitted_load_error() if self.is_staged else self.loads.permitted_error()
        permitted = (1.0 - self.instance.objective.risk_weight) * errors
        if self.plan.load_error > permitted:
            self.wrong("load_error", self.plan.load_error, f"at most {permitted:.12g}")

    def check_operators(self) -> None:
        """Check each operator's expected benefit and slashing."""
        ids = self.instance.operators.ids
        if not self.plan.operators and ids:
            self.unchecked.append("operators")
            return
        if [each.id for each in self.plan.operators] != list(ids):
            named = [each.id for each in self.plan.operators]
            self.doubt("operators", named, "every operator of the round", (("operators",), []))
            return
        benefit: list[list[float]] = [[] for _ in ids]
        slashing: list[list[float]] = [[] for _ in ids]
        for team in self.round.teams.group(self.chosen):
            v, terms = self.round.operator[team[0]], self.round.benefit_terms(team)
            slashing[v] += [-term for term in terms[1:]]
            benefit[v] += terms
        for v, given in enumerate(self.plan.operators):
            for name, terms in (("expected_benefit", benefit[v]), ("expected_slashing", slashing[v])):
                self.check_told(f"{name} of {given.id}", ("operators", v, name), getattr(given, name), terms)

    def check_replica_values(self) -> None:
        """Check what the best further executor of each task with replicas would add."""
        best: dict[str, dict[str, list[float]]] = {}
        size, who = {}, {}
        for team in self.round.teams.group(self.chosen):
            task = self.round.task[team[0]]
            if self.instance.tasks.replicas[task] > 1:
                name = self.instance.tasks.ids[task]
                size[name] = len(team)
                for offer in self.round.newcomers(team):
                    id_ = self.instance.offers.ids[offer]
                    best.setdefault(name, {})[id_] = self.round.newcomer_terms(team, offer)
                    who[name, id_] = self.round.executor_id(offer)
        given = [each.task for each in self.plan.replica_values]
        nothing: tuple[Place, object] = (("replica_values",), [])
        if not given and best:
            self.unchecked.append("replica_values")
            return
        if given != [name for name in self.instance.tasks.ids if name in best]:
            expected = "the assigned tasks with replicas and another executor"
            self.doubt("replica_values", given, expected, nothing)
            return
        for number, each in enumerate(self.plan.replica_values):
            what, worth = f"replica value of {each.task}", best[each.task]
            if each.offer not in worth or each.executors != size[each.task]:
                found = f"{each.offer} beside {each.executors}"
                self.doubt(what, found, f"one more beside {size[each.task]}", nothing)
                continue
            executor = who[each.task, each.offer]
            if each.executor != executor:
                place = ("replica_values", number, "executor")
                self.doubt(f"{what}: executor", each.executor, executor, (place, executor))
            terms = worth[each.offer]
            place = ("replica_values", number, "value_of_one_more")
            self.check_told(what, place, each.value_of_one_more, terms)
            most = max(map(math.fsum, worth.values()))
            if math.fsum(terms) < most - SUM_TOLERANCE * math.fsum(map(abs, terms)):
                self.doubt(what, each.offer, f"the offer that adds most, {most:.12g}", nothing)

    def check_risk(self) -> None:
        """Check what every risk limit measures, in the sample and on fresh scenarios."""
        expected = [
            (limit, name)
            for limit in self.instance.risk
            for name in self.round.members(limit.scope, limit.member)
            if self.plan.solution != "none"
        ]
        if [(r.measure, r.of) for r in self.plan.risk] != [(limit.measure, name) for limit, name in expected]:
            right = (("risk",), [unmeasured(limit, name) for limit, name in expected])
            of_round = f"the {len(expected)} limits of the round"
            self.wrong("risk", f"{len(self.plan.risk)} values", of_round, right)
            return
        for number, (given, (limit, name)) in enumerate(zip(self.plan.risk, expected, strict=True)):
            what = f"{given.measure} of {name}"
            facts: tuple[float, float | None, float | None, bool]
            if limit.measure == "expected":
                account = self.round.loss_account(name, self.chosen, limit.budget)
                terms = [*account.terms, *account.held]
                self.check_sum(what, ("risk", number, "in_sample"), given.in_sample, terms)
                if given.calibrated is not None:
                    none = (("risk", number, "calibrated"), None)
                    self.wrong(f"calibrated of {what}", given.calibrated, "none: the value is exact", none)
                # exact: no error, or one of 0; of what is averaged over a history's rounds earlier versions
                # told none
                error = given.standard_error
                if error is not None and self.instance.uncertainty.sampling == "bootstrap":
                    known = self.resampled.expected_loss(name)
                    error = error if _agree(error, known, account.total()) else known
                elif error is not None:
                    error = 0.0
                most = limit.budget + STANDARD_ERRORS * (error or 0.0)
                holds = account.total() <= most + ROW * max(limit.budget, account.total())
                facts = (limit.budget, None, error, holds)
            else:
                facts = self.check_tail(number, given, limit, name)
            stated = (given.budget, given.out_of_sample, given.standard_error, given.holds)
            for word, found, fact in zip(
                ("budget", "out_of_sample", "standard_error", "holds"), stated, facts, strict=True
            ):
                # errors are roots of differences: what cancels is measured by the value that they are about
                size = max(abs(given.in_sample), abs(facts[1] or 0.0)) if word == "standard_error" else 0.0
                if not _agree(found, fact, size):
                    self.wrong(f"{word} of {what}", found, fact, (("risk", number, word), fact))

    def check_tail(
        self, number: int, given: RiskValue, limit: RiskLimit, name: str
    ) -> tuple[float, float | None, float | None, bool]:
        """Measure a tail limit again; return what the plan should state."""
        if self.is_staged:
            return self.check_path_tail(number, given, limit, name)
        what, fresh = f"{given.measure} of {name}", (given.out_of_sample, given.standard_error)
        reading = self.tails.read(limit, name, fresh)
        if not _agree(given.in_sample, reading.in_sample):
            right = (("risk", number, "in_sample"), reading.in_sample)
            self.wrong(f"in_sample of {what}", given.in_sample, reading.in_sample, right)
        none = (("risk", number, "calibrated"), None)
        ceiling = reading.ceiling
        if given.calibrated is not None:
            # a limit may be above the budget in the sample where its value outside is not, without allowance
            if limit.calibrate and (given.calibrated <= ceiling or reading.surely_holds()):
                ceiling = given.calibrated
            else:
                may_be = "none, or a tighter budget, or a limit that holds outside the sample"
                self.wrong(f"calibrated of {what}", given.calibrated, may_be, none)
        most = reading.permitted(max(ceiling, reading.ceiling))
        if reading.in_sample > most + ROW * max(abs(most), 1e-3):
            self.wrong(what, reading.in_sample, f"at most {most:.12g}", together=self.chosen)
        tight = reading.permitted(ceiling)
        if given.calibrated is not None and reading.in_sample > tight + ROW * max(tight, 1e-3):
            self.wrong(f"calibrated of {what}", given.calibrated, f"at least {reading.in_sample:.12g}", none)
        error = reading.standard_error if math.isfinite(reading.standard_error) else None
        return reading.ceiling, reading.out_of_sample, error, reading.holds()

    def check_path_tail(
        self, number: int, given: RiskValue, limit: RiskLimit, name: str
    ) -> tuple[float, float | None, float | None, bool]:
        """Measure a limit on the tail of what whole paths lose; return what the plan should state."""
        what, reading = f"{given.measure} of {name}", self.path_tails.read(limit, name)
        if not _agree(given.in_sample, reading.value):
            right = (("risk", number, "in_sample"), reading.value)
            self.wrong(f"in_sample of {what}", given.in_sample, reading.value, right)
        if given.calibrated is not None:
            none = (("risk", number, "calibrated"), None)
            self.wrong(f"calibrated of {what}", given.calibrated, "none: not calibrated over periods", none)
        most = reading.permitted
        if reading.value > most + ROW * max(abs(most), 1e-3):
            self.wrong(what, reading.value, f"at most {most:.12g}", together=self.chosen)
        return reading.facts()

    def check_overcommitted(self) -> None:
        """Check which limits the commitments alone are said to exceed: all that do, and no others."""
        accounts = list(committed_accounts(self.round, self.committed_tail))
        right = ("overcommitted",), stated_overcommitments(accounts)
        for what, found, expected in doubtful_overcommitments(self.plan.overcommitted, accounts):
            self.doubt(what, found, expected, right)

    def committed_tail(self, limit: RiskLimit, name: str) -> float:
        """What a tail limit measures of the commitments alone, on the scenarios of the solve."""
        if self.is_staged:
            return self.path_tails.measured(limit, name, held_only=True)
        return self.tails.committed(limit, name)

    # reasons and prices

    def check_reasons(self, accounts: dict[Key, Account]) -> None:
        """Check why tasks were left, and the explanations of choices."""
        tails = self.tails if self.has_tails and not self.is_staged else None
        check = ReasonCheck(self.plan, self.round, self.chosen, accounts, tails, later=self.is_staged)
        check.run()
        self.found += check.found
        self.unchecked += check.unchecked


def unmeasured(limit: RiskLimit, name: str) -> dict[str, object]:
    """The entry of a limit among a plan's risks, before anything is measured."""
    unknown: dict[str, object] = {"out_of_sample": None, "standard_error": None, "holds": True}
    return {"measure": limit.measure, "of": name, "budget": 0.0, "in_sample": 0.0} | unknown


def _agree(found: float | None, fact: float | None, size: float = 0.0) -> bool:
    """Whether a stated number is the recomputed one, but for sums of ``size``; both may be absent."""
    if found is None or fact is None:
        return found is fact
    return abs(found - fact) <= SUM_TOLERANCE * max(abs(found), abs(fact), size, 1e-300)
