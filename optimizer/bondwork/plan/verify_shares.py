"""What a plan says of assignments, operators, loads and replicas. Part of `bondwork.plan.verify`."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from bondwork.plan.recount import SUM_TOLERANCE
from bondwork.plan.recount_history import HistoryRecount
from bondwork.plan.recount_horizon import HorizonRecount
from bondwork.plan.recount_loads import LoadRecount, incentive
from bondwork.plan.recount_path_tails import PathTails
from bondwork.plan.recount_risk import TailRecount
from bondwork.plan.verify_status import StatusCheck

if TYPE_CHECKING:
    from bondwork.plan.findings import Place


class ShareCheck(StatusCheck):
    """Checks who gets what of a plan, and holds what is worked out again for all checks."""

    @cached_property
    def is_staged(self) -> bool:
        """Whether later periods were planned with."""
        charged = self.round.room.is_stated and bool(self.instance.periods)
        return charged or any(
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

    @cached_property
    def resampled(self) -> HistoryRecount:
        """How far averages over the rounds of a history may be off."""
        return HistoryRecount(self.round, self.chosen)

    @cached_property
    def loads(self) -> LoadRecount:
        """Loads of what the plan chooses."""
        return LoadRecount(self.round, self.chosen)

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
