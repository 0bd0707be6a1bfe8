"""A plan's objective and risk: what each limit on losses measures. Part of `bondwork.plan.verify`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bondwork.base.tolerances import ROW
from bondwork.plan.recount import SUM_TOLERANCE
from bondwork.plan.recount_commitments import (
    committed_accounts,
    doubtful_overcommitments,
    stated_overcommitments,
)
from bondwork.plan.verify_shares import ShareCheck
from bondwork.risk.assessment import STANDARD_ERRORS

if TYPE_CHECKING:
    from bondwork.plan.plan import RiskValue
    from bondwork.problem.instance import RiskLimit


class RiskCheck(ShareCheck):
    """Checks the sums of a plan and its limits on losses."""

    @property
    def is_one_stage(self) -> bool:
        """Whether nothing is decided after something was seen."""
        return not self.is_staged

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
        terms = [term for team in teams for term in self.round.value_terms(team, price)]
        cost: list[float] = self.instance.tasks.unassigned_cost.tolist()
        terms += [-each for task, each in enumerate(cost) if task not in done]
        terms += self.loads.worths()
        if weight > 0.0:
            terms = [(1.0 - weight) * term for term in terms]
            terms.append(-weight * self.tails.network_cvar(level))
        self.objective = math.fsum(terms)
        self.check_sum("objective", ("objective",), self.plan.objective, terms)

    def check_worth_taken(self) -> None:
        """Check what the room is worth that the plan takes; earlier versions told nothing."""
        given, terms = self.plan.worth_taken, list[float]()
        if given is None:
            return
        if not self.round.room.is_stated or self.plan.solution == "none":
            self.wrong("worth_taken", given, None, (("worth_taken",), None))
            return
        if self.is_staged:
            terms = self.later.room_terms()
        else:
            terms = [
                -each for team in self.round.teams.group(self.chosen) for each in self.round.room.terms(team)
            ]
        self.check_sum("worth_taken", ("worth_taken",), given, terms)

    def check_objective_error(self) -> None:
        """Check the objective's standard error; earlier versions told none."""
        given, expected = self.plan.objective_standard_error, None
        if given is None:
            return
        if self.is_one_stage and self.instance.objective.risk_weight == 0.0:
            expected = self.resampled.objective()
        if not _agree(given, expected, abs(self.objective or 0.0)):
            place = ("objective_standard_error",)
            self.wrong("objective_standard_error", given, expected, (place, expected))


def unmeasured(limit: RiskLimit, name: str) -> dict[str, object]:
    """The entry of a limit among a plan's risks, before anything is measured."""
    unknown: dict[str, object] = {"out_of_sample": None, "standard_error": None, "holds": True}
    return {"measure": limit.measure, "of": name, "budget": 0.0, "in_sample": 0.0} | unknown


def _agree(found: float | None, fact: float | None, size: float = 0.0) -> bool:
    """Whether a stated number is the recomputed one, but for sums of ``size``; both may be absent."""
    if found is None or fact is None:
        return found is fact
    return abs(found - fact) <= SUM_TOLERANCE * max(abs(found), abs(fact), size, 1e-300)
