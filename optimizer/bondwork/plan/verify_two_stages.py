"""The check of a plan whose failed tasks are given away again: both stages against the round."""

from __future__ import annotations

import math
import sys
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from bondwork.base.tolerances import PROGRAM_ROW, ROW, WORTH_NOISE
from bondwork.plan.recount import SUM_TOLERANCE, label
from bondwork.plan.recount_contingency import FreshRescues
from bondwork.plan.recount_rescue_bound import RescueBound
from bondwork.plan.recount_rescues import Outcome, RescueRecount, tail_value
from bondwork.plan.verify_certificate import ceilings_of_plan
from bondwork.plan.verify_feasible import WithoutRescues
from bondwork.plan.verify_plan import PlanCheck
from bondwork.plan.verify_reasons import LimitsInTheWay, Worth, all_unexplained, unexplained
from bondwork.plan.verify_risk import unmeasured
from bondwork.plan.verify_status import asked_gap
from bondwork.risk.assessment import FRESH_SCENARIOS

if TYPE_CHECKING:
    from bondwork.plan.findings import Place
    from bondwork.plan.plan import Assignment, Evaluation, NodeDecision, Plan, RiskValue
    from bondwork.plan.recount import Account, Key
    from bondwork.plan.recount_bound import BoundProof
    from bondwork.plan.recount_rescues import Seen
    from bondwork.plan.verify_feasible import FeasibleSearch
    from bondwork.problem.instance import Instance, RiskLimit

#: Fresh scenarios beyond which nobody has drawn any.
MOST_FRESH = 10**9

#: Standard errors beyond which an average on fresh scenarios is none.
FAR = 10.0

_FRESH_FIELDS = ("out_of_sample", "standard_error", "scenarios")


class TwoStageCheck(PlanCheck, LimitsInTheWay):
    """Checks what a plan does at once as in a round of one stage, and what it does when failures are seen.

    Parameters
    ----------
    rescues
        The second stage of the round.
    """

    def __init__(self, instance: Instance, plan: Plan, rescues: RescueRecount) -> None:
        super().__init__(instance, plan)
        self.rescues = rescues
        self.outcomes: dict[Seen, Outcome] = {}
        self.before: dict[Key, Account] = {}

    @cached_property
    def fresh(self) -> FreshRescues:
        """What a follower of the plan does in fresh scenarios."""
        return FreshRescues(self.rescues, self.chosen, self.outcomes, self.before)

    def check_one_stage(self) -> None:
        """Check nothing: the plan has two stages."""

    def proof(self) -> BoundProof:
        """See `PlanCheck.proof`."""
        return RescueBound(self.rescues, ceilings_of_plan(self))

    def feasible_search(self) -> FeasibleSearch:
        """See `PlanCheck.feasible_search`."""
        return WithoutRescues(self.rescues)

    def check_stages(self) -> None:
        """Check that the outcomes are those that were planned for, and what is done in each."""
        tree = self.rescues.outcomes.tree(self.instance.offers.ids).sha256
        if self.plan.provenance.tree_sha256 != tree:
            right = (("provenance", "tree_sha256"), tree)
            self.wrong("provenance.tree_sha256", self.plan.provenance.tree_sha256, tree, right)
        if self.plan.solution == "none":
            for name in ("recourse", "evaluation"):
                if getattr(self.plan, name):
                    self.wrong(name, "a value", "none, as solution is none")
            return
        expected = self.rescues.what_is_seen(self.chosen)
        before = self.before = self.round.accounts(self.chosen)
        for place, given in enumerate(self.plan.recourse):
            self.check_node(place, given, expected, before)
        missing = [seen for seen in expected if seen not in self.outcomes]
        complete = [each.model_dump() for each in self.plan.recourse]
        complete += [self.idle_node(seen, expected[seen]) for seen in missing]
        for seen in missing:
            what = f"what is done when {self._names(seen)}"
            self.wrong("recourse", "nothing", what, (("recourse",), complete))

    def idle_node(self, seen: Seen, chance: float) -> dict[str, object]:
        """The entry of an outcome in which nothing is done."""
        tasks, held = self.instance.tasks.ids, self.instance.commitments.ids
        failed = {
            "failed": [tasks[a] for a in sorted(seen[0])],
            "failed_commitments": [held[i] for i in sorted(seen[1])],
        }
        return {"node": self._names(seen), "stage": 1, "probability": min(chance, 1.0)} | failed

    def check_node(
        self, place: int, given: NodeDecision, expected: dict[Seen, float], before: dict[Key, Account]
    ) -> None:
        """Check what is done in one outcome."""
        where = f"recourse[{place}]"
        tasks = {name: a for a, name in enumerate(self.instance.tasks.ids)}
        held = {name: i for i, name in enumerate(self.instance.commitments.ids)}
        seen: Seen = (
            frozenset(tasks.get(name, -1) for name in given.failed),
            frozenset(held.get(name, -1) for name in given.failed_commitments),
        )
        chance = expected.get(seen)
        twice = any(len(set(each)) < len(each) for each in (given.failed, given.failed_commitments))
        odd = twice or given.stage != 1 or given.period is not None
        if chance is None or seen in self.outcomes or odd:
            self.wrong(where, self._names(seen), "each outcome that can be seen, once")
            return
        if given.node != self._names(seen):
            name = self._names(seen)
            self.doubt(f"{where}.node", given.node, name, (("recourse", place, "node"), name))
        if abs(given.probability - chance) > SUM_TOLERANCE:
            right = (("recourse", place, "probability"), chance)
            self.wrong(f"{where}.probability", given.probability, chance, right)
        outcome = self.outcomes[seen] = Outcome(chance)
        holder = {self.round.task[offer]: offer for offer in self.chosen}
        for number, each in enumerate(given.assignments):
            self.check_rescue(("recourse", place, "assignments", number), each, seen, holder, outcome)
        rescued = Counter(self.round.task[offer] for offer in (*outcome.over, *outcome.up))
        for task, times in rescued.items():
            if times > 1:
                self.wrong(where, f"{times} rescues of {self.instance.tasks.ids[task]}", "one at most")
        for key, account in self.rescues.accounts(self.chosen, before, outcome).items():
            if account.excess() > account.tolerance():
                self.wrong(f"{label(key)} in {where}", account.total(), f"at most {account.permitted():.12g}")

    def check_rescue(
        self, at: Place, given: Assignment, seen: Seen, holder: dict[int, int], outcome: Outcome
    ) -> None:
        """Check one rescue: whether it may be done, and what it is said to be worth."""
        where = f"recourse[{at[1]}].assignments[{at[3]}]"
        operators = {name: v for v, name in enumerate(self.instance.operators.ids)}
        key = (given.offer, operators.get(given.operator, -1))
        offer = self._late_offers().get(key)
        if offer is None or given.kind != "delegated":
            self.wrong(f"{where}.offer", f"{given.offer} of {given.operator}", "an offer of the second stage")
            return
        task = self.round.task[offer]
        failed = task in seen[0]
        allowed = self.rescues.follows.get(offer, set())
        if failed and holder.get(task) not in allowed:
            self.wrong(where, given.offer, "one that may follow the executor that failed")
            return
        if not failed and (task in holder or offer not in self.rescues.takes_up):
            self.wrong(where, f"a rescue of {given.task}", "of a task that failed or was left")
            return
        (outcome.over if failed else outcome.up).append(offer)
        facts = {
            "task": self.instance.tasks.ids[task],
            "executor": self.round.executor_id(offer),
            "bid": self.round.bid[offer],
            "price": self.round.bid[offer],
            "collateral": self.round.collateral[offer],
            "success_probability": self.round.p[offer],
        }
        for name, fact in facts.items():
            if getattr(given, name) != fact:
                self.wrong(f"{where}.{name}", getattr(given, name), fact, ((*at, name), fact))
        left = self.round.slashing[offer] * (1.0 - self.round.p[offer])
        for name, terms in (
            ("expected_net_reward", self.rescues.terms(offer, failed=failed)),
            ("expected_slashing", [left]),
        ):
            self.check_sum(f"{where}.{name}", (*at, name), getattr(given, name), terms)

    def _late_offers(self) -> dict[tuple[str, int], int]:
        ids = self.instance.offers.ids
        able = self.rescues.follows.keys() | self.rescues.takes_up
        return {(ids[offer], self.round.operator[offer]): offer for offer in able}

    def _names(self, seen: Seen) -> str:
        tasks, held = self.instance.tasks.ids, self.instance.commitments.ids
        names = [f"{tasks[a]} failed" if a >= 0 else "an unknown task failed" for a in sorted(seen[0])]
        names += [f"{held[i]} lost" if i >= 0 else "an unknown commitment lost" for i in sorted(seen[1])]
        return ", ".join(names) or "nothing failed"

    def check_limits(self, accounts: dict[Key, Account]) -> None:
        """Check the limits of the first stage; those on losses hold after the rescues."""
        super().check_limits({key: each for key, each in accounts.items() if key[0] != "expected loss"})

    def check_objective(self) -> None:
        """Check the objective: both stages, or mean-risk of them."""
        done = {self.round.task[offer] for offer in self.chosen} | self.round.committed
        price = {offer: each.price for offer, each in zip(self.chosen, self.plan.assignments, strict=False)}
        terms = [
            term for team in self.round.teams.group(self.chosen) for term in self.round.net_terms(team, price)
        ]
        terms += [-each for task, each in enumerate(self.rescues.cost) if task not in done]
        first_stage = list(terms)
        for outcome in self.outcomes.values():
            for rescued, failed in ((outcome.over, True), (outcome.up, False)):
                for offer in rescued:
                    worth = self.rescues.terms(offer, failed=failed)
                    terms += [outcome.probability * term for term in worth]
        weight, level = self.instance.objective.risk_weight, self.instance.objective.risk_level
        if weight > 0.0:
            losses = self.rescues.losses("network", self.chosen, self.outcomes)
            risk = tail_value(losses, "cvar", level, math.inf)
            terms = [*((1.0 - weight) * term for term in terms), -weight * risk]
        self.objective = math.fsum(terms)
        self.check_sum("objective", ("objective",), self.plan.objective, terms)
        self.check_evaluation(first_stage)

    def check_evaluation(self, first_stage: list[float]) -> None:
        """Check what the plan is said to be worth on fresh scenarios."""
        given = self.plan.evaluation
        if given is None:
            self.unchecked.append("evaluation")
            return
        if given.in_sample != self.plan.objective:
            right = (("evaluation", "in_sample"), self.objective)
            self.doubt("evaluation.in_sample", given.in_sample, self.plan.objective, right)
        if not self.is_complete():
            self.unchecked.append("evaluation: the plan does not say what is done in every outcome")
        elif self.rescues.measured:
            fresh = self.fresh.objective(first_stage)
            facts = (fresh.value, fresh.standard_error, FRESH_SCENARIOS)
            stated = (given.out_of_sample, given.standard_error, given.scenarios)
            # what cancels has the rounding of its terms
            rescues = (math.fsum(map(abs, self._gain_terms(each))) for each in self.outcomes.values())
            size = max(abs(fresh.value), math.fsum(map(abs, first_stage)) + max(rescues, default=0.0))
            for name, one, other in zip(_FRESH_FIELDS, stated, facts, strict=True):
                if not _near(one, other, size):
                    self.doubt(f"evaluation.{name}", one, other, (("evaluation", name), other))
        else:
            self.check_anew(given)

    def check_anew(self, given: Evaluation) -> None:
        """Check a value that a solver found on fresh scenarios, as far as that goes without one.

        Where the outcomes of the plan are all there are, it is an average of what rescues bring in each.
        """
        none = (("evaluation",), None)
        value, error, count = given.out_of_sample, given.standard_error, given.scenarios
        if (value is None) != (error is None) or (error is not None and error < 0.0):
            self.doubt("evaluation.standard_error", error, "one >= 0 beside a value, none else", none)
            return
        if count > MOST_FRESH:
            self.doubt("evaluation.scenarios", f"{count:.6g}" if count < 2**60 else "more", "fewer", none)
            return
        if value is None or error is None:
            return
        fields = "out_of_sample, standard_error, scenarios"
        self.unchecked.append(f"evaluation.{fields}: decided anew on fresh scenarios")
        if not self.rescues.is_exact or self.objective is None:
            return
        terms = [(outcome.probability, self._gain_terms(outcome)) for outcome in self.outcomes.values()]
        gains = [(chance, math.fsum(each)) for chance, each in terms]
        mean = math.fsum(chance * gain for chance, gain in gains)
        spread = math.sqrt(math.fsum(chance * (gain - mean) ** 2 for chance, gain in gains) / count)
        size = math.fsum(chance * math.fsum(map(abs, each)) for chance, each in terms)
        near = (asked_gap(self.plan) + PROGRAM_ROW) * (abs(self.objective) + size)
        if abs(value - self.objective) > FAR * spread + near:
            expected = f"within {FAR:g} standard errors of {self.objective:.12g}"
            self.doubt("evaluation.out_of_sample", value, expected, none)
        elif error > FAR * spread + near:
            self.doubt("evaluation.standard_error", error, f"about {spread:.6g}", none)

    def _gain_terms(self, outcome: Outcome) -> list[float]:
        """What the rescues of one outcome are expected to add."""
        pairs = [(offer, True) for offer in outcome.over] + [(offer, False) for offer in outcome.up]
        return [term for offer, failed in pairs for term in self.rescues.terms(offer, failed=failed)]

    def is_complete(self) -> bool:
        """Whether the plan says what is done in every outcome: without that, nobody can follow it."""
        return set(self.rescues.what_is_seen(self.chosen)) == self.outcomes.keys()

    def check_reasons(self, accounts: dict[Key, Account]) -> None:
        """Check why tasks have no executor in the first stage, limits on losses left aside."""
        done = {self.round.task[offer] for offer in self.chosen} | self.round.committed
        left = {name: a for a, name in enumerate(self.instance.tasks.ids) if a not in done}
        if Counter(each.task for each in self.plan.unassigned) != Counter(list(left)):
            found, expected = f"{len(self.plan.unassigned)} tasks", f"the {len(left)} that are left"
            self.doubt("unassigned", found, expected, all_unexplained(left))
            return
        offers: dict[int, list[int]] = {}
        for offer, able in enumerate(self.round.eligible):
            if able:
                offers.setdefault(self.round.task[offer], []).append(offer)
        for number, given in enumerate(self.plan.unassigned):
            if given.reason == "unexplained":
                self.unchecked.append(f"reason of {given.task}")
                continue
            mine = offers.get(left[given.task], [])
            reasons = self._reasons(mine, accounts)
            if given.reason not in reasons:
                what, expected = f"reason of {given.task}", " or ".join(sorted(reasons))
                self.doubt(what, given.reason, expected, *unexplained(number))
            elif given.reason == "no_room":
                self.check_named(number, given, *self._in_the_way(mine, accounts))
            elif given.limits:
                what = f"limits of {given.task}"
                self.doubt(what, given.limits, "none for this reason", *unexplained(number))

    def _reasons(self, offers: list[int], accounts: dict[Key, Account]) -> set[str]:
        """Reasons that may be given for a task; several where rounding decides."""
        if not offers:
            return {"no_eligible_offer"}
        found: set[str] = set()
        surely = False
        for offer in offers:
            worth = self._worth(offer)
            if worth.costs:
                found.add("not_worth_it")
                continue
            surely |= worth.surely_something
            blocking, perhaps = self._blocking(offer, accounts)
            found |= {"no_room"} if blocking else {"kept_for_later"} | ({"no_room"} if perhaps else set())
            if not worth.surely_something:
                # to say that nothing is worth it is true as well
                found |= {"worth_nothing", "not_worth_it"}
        return found - {"not_worth_it", "worth_nothing"} if surely else found

    def _worth(self, offer: int) -> Worth:
        terms = self.round.net_terms((offer,), {offer: self.round.bid[offer]})
        terms.append(self.rescues.cost[self.round.task[offer]])
        return Worth(math.fsum(terms), WORTH_NOISE * math.fsum(map(abs, terms)))

    def _in_the_way(self, offers: list[int], accounts: dict[Key, Account]) -> tuple[set[str], set[str]]:
        """Limits that surely leave no room for offers that pay, and those that do so within rounding."""
        worth = {offer: self._worth(offer) for offer in offers}
        even = [offer for offer in offers if not worth[offer].costs]
        paying = [offer for offer in even if worth[offer].surely_something] or even
        surely = set[str]().union(*(self._blocking(offer, accounts)[0] for offer in paying))
        return surely, set[str]().union(*(self._blocking(offer, accounts)[1] for offer in even))

    def _blocking(self, offer: int, accounts: dict[Key, Account]) -> tuple[set[str], set[str]]:
        surely, perhaps = set[str](), set[str]()
        for key, amount in self.round.uses((offer,)):
            if key not in accounts or key[0] == "expected loss" or amount <= 0.0:
                continue
            account = accounts[key]
            over, margin = account.excess(amount), account.tolerance(amount)
            if over > -margin:
                perhaps.add(label(key))
            if over > margin:
                surely.add(label(key))
        return surely, perhaps

    def check_risk(self) -> None:
        """Check every limit on losses, after the rescues."""
        if self.plan.solution == "none":
            if self.plan.risk:
                self.wrong("risk", f"{len(self.plan.risk)} values", "none, as solution is none")
            return
        expected = [
            (limit, name)
            for limit in self.instance.risk
            for name in self.round.members(limit.scope, limit.member)
        ]
        if [(r.measure, r.of) for r in self.plan.risk] != [(limit.measure, name) for limit, name in expected]:
            of_round = f"the {len(expected)} limits of the round"
            empty = (("risk",), [unmeasured(limit, name) for limit, name in expected])
            self.wrong("risk", f"{len(self.plan.risk)} values", of_round, empty)
            return
        for number, (given, (limit, name)) in enumerate(zip(self.plan.risk, expected, strict=True)):
            what = f"{given.measure} of {name}"
            value = self._value(limit, name)
            ceiling = limit.probability if limit.measure == "chance" else limit.budget
            slack = ROW * max(abs(ceiling), abs(value), self.largest_loss(limit))
            if abs(given.in_sample - value) > slack:
                right = (("risk", number, "in_sample"), value)
                self.wrong(f"in_sample of {what}", given.in_sample, value, right)
            if given.budget != ceiling:
                self.wrong(f"budget of {what}", given.budget, ceiling, (("risk", number, "budget"), ceiling))
            if self.rescues.is_exact or not self.is_complete():
                facts: tuple[float | None, float | None, bool] = (None, None, value <= ceiling + slack)
                surely = False
            else:
                reading = self.fresh.read(limit, name)
                facts = reading.value, reading.standard_error, reading.holds(ceiling)
                surely = reading.value <= ceiling + slack
            # a limit may be above the budget in the sample where its value outside is not, without allowance
            moved = (
                given.calibrated if limit.calibrate and surely and given.calibrated is not None else ceiling
            )
            most = max(ceiling, moved, self.committed(limit, name))
            if value > most + slack:
                self.wrong(what, value, f"at most {most:.12g}")
            self.check_calibrated(number, given, limit, value, moved)
            for word, fact in zip(("out_of_sample", "standard_error", "holds"), facts, strict=True):
                if not _near(getattr(given, word), fact, max(abs(ceiling), abs(value))):
                    place = ("risk", number, word)
                    self.wrong(f"{word} of {what}", getattr(given, word), fact, (place, fact))

    def largest_loss(self, limit: RiskLimit) -> float:
        """The largest term of what a limit measures: of a probability 1."""
        return 1.0 if limit.measure == "chance" else max(self.round.slashing, default=0.0)

    def check_calibrated(
        self, number: int, given: RiskValue, limit: RiskLimit, value: float, largest: float
    ) -> None:
        """Check that a moved budget is one that may be, at most ``largest``, and that the plan keeps it."""
        tight, what = given.calibrated, f"{given.measure} of {given.of}"
        none = (("risk", number, "calibrated"), None)
        if tight is None:
            return
        if not limit.calibrate or tight > largest:
            right = "none, or a tighter budget, or a limit that holds outside the sample"
            self.wrong(f"calibrated of {what}", tight, right, none)
        most = max(tight, self.committed(limit, given.of))
        if value > most + ROW * max(abs(most), self.largest_loss(limit)):
            self.wrong(f"calibrated of {what}", tight, f"at least {value:.12g}", none)

    def committed(self, limit: RiskLimit, name: str) -> float:
        """What a limit measures of the commitments alone."""
        if limit.measure == "expected":
            return self.round.loss_account(name, [], 0.0).committed()
        return self.committed_tail(limit, name)

    @property
    def is_one_stage(self) -> bool:
        """No: outcomes are seen, and then it is decided again."""
        return False

    def committed_tail(self, limit: RiskLimit, name: str) -> float:
        """What a tail limit measures of the commitments alone, on the outcomes of the solve."""
        alone = {seen: Outcome(chance) for seen, chance in self.rescues.what_is_seen([]).items()}
        losses = self.rescues.losses(name, [], alone)
        return tail_value(losses, limit.measure, limit.level, limit.budget)

    def _value(self, limit: RiskLimit, name: str) -> float:
        if limit.measure == "expected":
            outcomes = list(self.outcomes.values())
            return math.fsum(self.rescues.expected_terms(name, self.chosen, outcomes))
        losses = self.rescues.losses(name, self.chosen, self.outcomes)
        return tail_value(losses, limit.measure, limit.level, limit.budget)


def _near(found: float | None, fact: float | None, size: float) -> bool:
    """Whether a stated number is the recounted one, but for sums of numbers of about ``size``."""
    if found is None or fact is None:
        return found is fact
    if max(found, -found) > sys.float_info.max:  # a whole number of more digits than a double has
        return False
    return abs(found - fact) <= SUM_TOLERANCE * max(abs(found), abs(fact), size)
