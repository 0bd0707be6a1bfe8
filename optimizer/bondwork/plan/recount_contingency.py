"""Fresh scenarios of a plan with rescues once more, for `verify`: what its follower does, loses and earns.

The rule is that of docs/recourse.md, written again: the rescues of the listed outcome that differs the least
as far as they apply, then those that pay, the largest slashing first. Shares the sampling layer with those
who made the plan, and nothing else of theirs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.recount import counted
from bondwork.plan.recount_rescues import Outcome
from bondwork.plan.recount_risk import beyond, error_of_mean, error_of_share, mean_of_worst
from bondwork.risk.assessment import FRESH_SCENARIOS, STANDARD_ERRORS, fresh_seed
from bondwork.uncertainty.first_stage import draw_fresh_outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.plan.recount import Account, Key
    from bondwork.plan.recount_rescues import RescueRecount, Seen
    from bondwork.problem.instance import RiskLimit

#: What fits may be too large by this share of the limit, or of itself: sums are not exact.
_FITS = 1e-9

#: Comparisons of outcomes that are made at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class FreshReading:
    """A limit on fresh scenarios; ``standard_error`` is ``None`` where a value has none."""

    value: float
    standard_error: float | None

    def holds(self, ceiling: float) -> bool:
        """Whether the value is within two standard errors of the limit."""
        return self.value <= ceiling + STANDARD_ERRORS * (self.standard_error or 0.0) + 1e-9 * abs(ceiling)


class FreshRescues:
    """What a follower of a plan does in every fresh scenario.

    Parameters
    ----------
    rescues
        The second stage of the round.
    chosen
        Offers of the plan's first stage.
    outcomes
        What the plan does in the outcomes that it lists, in its order.
    before
        Accounts of the first stage.
    """

    def __init__(
        self,
        rescues: RescueRecount,
        chosen: list[int],
        outcomes: Mapping[Seen, Outcome],
        before: Mapping[Key, Account],
    ) -> None:
        self.rescues, self.round = rescues, rescues.round
        self.chosen = sorted(chosen)
        self.listed = outcomes
        self.late = sorted(rescues.follows.keys() | rescues.takes_up)
        self.fresh = draw_fresh_outcomes(
            self.round.instance,
            np.array(self.chosen, dtype=np.int64),
            np.array(self.late, dtype=np.int64),
            seed=fresh_seed(rescues.seed),
            scenarios=FRESH_SCENARIOS,
            commitments=rescues.measured,
            leaves=rescues.tails,
        )
        self.bound: dict[Key, float] = {}
        self.room: dict[Key, float] = {}
        for key, account in before.items():
            if key[0] in ("capacity", "collateral", "stake"):
                self.bound[key] = 0.0 if account.overcommitment()[0] else account.bound
                self.room[key] = -account.excess()
        self._open_deadlines()
        self.needs = {offer: self._needs(offer) for offer in self.late}
        self.spare = self._candidates()
        self.groups = self._groups()

    def _open(self, key: Key, bound: float, terms: list[float]) -> None:
        self.bound[key] = bound
        self.room[key] = bound - math.fsum(terms)

    def _open_deadlines(self) -> None:
        """Serial coprocessors: what they have left by each deadline of theirs, rescues included."""
        recount = self.round
        for c in {recount.coprocessor[offer] for offer in self.late}:
            if recount.free_from[c] == -math.inf:
                continue
            mine = [offer for offer in self.chosen if recount.coprocessor[offer] == c]
            ends = {recount.deadline[recount.task[o]] for o in self.late if recount.coprocessor[o] == c}
            ends |= {recount.deadline[recount.task[offer]] for offer in mine}
            name = recount.instance.coprocessors.ids[c]
            for end in filter(math.isfinite, ends):
                due = [recount.duration[o] for o in mine if recount.deadline[recount.task[o]] <= end]
                self._open(("deadline", end, name), end - recount.free_from[c], due)

    def _needs(self, offer: int) -> list[tuple[Key, float]]:
        """What taking a failed task over takes of which limits."""
        recount = self.round
        name = recount.executor_id(offer)
        due = recount.deadline[recount.task[offer]]
        needs = [
            (key, self._counted(amount) if key[0] == "collateral" else amount)
            for key, amount in recount.uses((offer,))
            if key[0] in ("capacity", "collateral") and key in self.room
        ]
        ends = [key for key in self.room if key[0] == "deadline" and key[2] == name]
        needs += [(key, recount.duration[offer]) for key in ends if due <= float(key[1])]
        return needs

    def _candidates(self) -> dict[int, list[int]]:
        """By task, the rescues that pay and may follow who was chosen; in the order of the rule."""
        recount, found = self.round, defaultdict(list)
        holder = {recount.task[offer]: offer for offer in self.chosen}
        for offer in self.late:
            task = recount.task[offer]
            may = holder.get(task) in self.rescues.follows.get(offer, set())
            if may and math.fsum(self.rescues.terms(offer, failed=True)) > 0.0:
                found[task].append(offer)
        return found

    def _first(self, offer: int) -> tuple[float, float, float, int]:
        recount = self.round
        return -recount.slashing[offer], -recount.p[offer], recount.bid[offer], offer

    def _groups(self) -> list[tuple[Seen, Outcome, IntArray]]:
        """What is seen, what is done then, and in which scenarios."""
        table = np.concatenate([self.fresh.failed, self.fresh.lost], axis=1)
        members: dict[bytes, list[int]] = defaultdict(list)
        for number, line in enumerate(table):
            members[line.tobytes()].append(number)
        scenarios = [np.array(each) for each in members.values()]
        lines = table[[each[0] for each in scenarios]]
        tasks = [self.round.task[offer] for offer in self.chosen]
        width, known = len(tasks), list(self.listed)
        listed = np.zeros((len(known), table.shape[1]), dtype=bool)
        for row, (failed, gone) in enumerate(known):
            listed[row, :width] = [task in failed for task in tasks]
            listed[row, [width + i for i in gone]] = True
        nearest = self._nearest(listed, lines)
        found = []
        for line, close, where in zip(lines, nearest, scenarios, strict=True):
            failed = frozenset(task for task, fell in zip(tasks, line[:width].tolist(), strict=True) if fell)
            seen = failed, frozenset(np.flatnonzero(line[width:]).tolist())
            found.append((seen, self._done(seen, known[close]), where))
        return found

    @staticmethod
    def _nearest(listed: BoolArray, lines: BoolArray) -> list[int]:
        """Position of the listed outcome that differs from each line in the fewest places."""
        found: list[int] = []
        step = max(1, _AT_ONCE // max(len(listed), 1))
        signs = np.where(listed, 1.0, -1.0)
        for start in range(0, len(lines), step):
            alike = np.where(lines[start : start + step], 1.0, -1.0) @ signs.T
            found += np.argmax(alike, axis=1).tolist()
        return found

    def _done(self, seen: Seen, like: Seen) -> Outcome:
        listed = self.listed[like]
        if seen == like:
            return listed
        outcome = Outcome(0.0, [o for o in listed.over if self.round.task[o] in seen[0]], list(listed.up))
        taken: dict[Key, float] = defaultdict(float)
        for offer in (*outcome.over, *outcome.up):
            self._take(offer, taken, stake=offer in outcome.up)
        waiting = seen[0] - {self.round.task[offer] for offer in outcome.over}
        for offer in sorted((o for task in waiting for o in self.spare.get(task, ())), key=self._first):
            if self.round.task[offer] in waiting and self._fits(offer, taken):
                self._take(offer, taken, stake=False)
                outcome.over.append(offer)
                waiting = waiting - {self.round.task[offer]}
        return outcome

    def _take(self, offer: int, taken: dict[Key, float], *, stake: bool) -> None:
        for key, amount in self.needs[offer]:
            taken[key] += amount
        if stake:
            at_stake = self._counted(self.round.slashing[offer])
            taken["stake", "", self.round.operator_id(offer)] += at_stake

    def _counted(self, amount: float) -> float:
        return counted(amount, self.round.instance.decimals)

    def _fits(self, offer: int, taken: Mapping[Key, float]) -> bool:
        return all(
            taken.get(key, 0.0) + amount <= self.room[key] + _FITS * max(abs(self.bound[key]), amount)
            for key, amount in self.needs[offer]
        )

    # what it comes to

    def read(self, limit: RiskLimit, name: str) -> FreshReading:
        """Measure a limit for one operator or the network."""
        if limit.measure == "expected":
            return self._expected(name)
        losses = self._losses(name)
        if limit.measure == "worst_case":
            return FreshReading(float(losses.max(initial=0.0)), None)
        if limit.measure == "chance":
            share = float(np.mean(losses > limit.budget + 1e-9 * abs(limit.budget)))
            return FreshReading(share, error_of_share(share, len(losses)))
        error = error_of_mean(beyond(losses, limit.level), 0.0) / (1.0 - limit.level)
        return FreshReading(mean_of_worst(losses, 1.0 - limit.level), error)

    def objective(self, terms: list[float]) -> FreshReading:
        """Objective on fresh scenarios; ``terms`` are what the first stage adds to it."""
        gains = np.zeros(len(self.fresh))
        for _, outcome, where in self.groups:
            worth = [t for o in outcome.over for t in self.rescues.terms(o, failed=True)]
            worth += [t for o in outcome.up for t in self.rescues.terms(o, failed=False)]
            gains[where] = math.fsum(worth)
        aim = self.round.instance.objective
        value = math.fsum([*terms, float(gains.mean())])
        part = (1.0 - aim.risk_weight) * gains
        if aim.risk_weight > 0.0:
            losses = self._losses("network")
            share = 1.0 - aim.risk_level
            value = (1.0 - aim.risk_weight) * value - aim.risk_weight * mean_of_worst(losses, share)
            part = part - aim.risk_weight * beyond(losses, aim.risk_level) / share
        return FreshReading(value, error_of_mean(part, 0.0))

    def _expected(self, name: str) -> FreshReading:
        base = math.fsum(self.rescues.expected_terms(name, self.chosen, []))
        p, effects = self.round.p, np.zeros(len(self.fresh))
        for _, outcome, where in self.groups:
            saved = [-self._amount(o, name) * p[o] for o in outcome.over]
            risked = [self._amount(o, name) * (1.0 - p[o]) for o in outcome.up]
            effects[where] = math.fsum(saved + risked)
        error = error_of_mean(effects, 0.0)
        return FreshReading(base + float(effects.mean()), error)

    def _amount(self, offer: int, name: str) -> float:
        """Slashing of an offer's task, where it is a loss of this name."""
        counts = name == "network" or self.round.operator_id(offer) == name
        return self.round.slashing[offer] if counts else 0.0

    def _losses(self, name: str) -> FloatArray:
        recount, held = self.round, self.round.instance.commitments
        owner = [recount.instance.operators.ids[v] for v in held.operator.tolist()]
        at_stake: list[float] = recount.instance.claims.slashing[held.claim].tolist()
        holder = {recount.task[offer]: offer for offer in self.chosen}
        column = {offer: k for k, offer in enumerate(self.late)}

        losses = np.zeros(len(self.fresh))
        for (failed, gone), outcome, where in self.groups:
            still = failed - {recount.task[offer] for offer in outcome.over}
            lost = [self._amount(holder[task], name) for task in still]
            lost += [at_stake[i] for i in gone if name in ("network", owner[i])]
            losses[where] = math.fsum(lost)
            for offer in (*outcome.over, *outcome.up):
                there = where[self.fresh.late_failed[where, column[offer]]]
                losses[there] += self._amount(offer, name)
        return losses
