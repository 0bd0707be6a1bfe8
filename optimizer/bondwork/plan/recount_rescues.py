"""The second stage once more, for `verify`: who may rescue what, what it takes, what it is worth (MODEL 4).

Written from the model again, in plain Python; shares the sampling layer with those who made the plan, and
nothing else of theirs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from bondwork.base.tolerances import WORTH_NOISE
from bondwork.plan.recount import Account
from bondwork.uncertainty.first_stage import draw_first_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.recount import Key, Recount
    from bondwork.uncertainty.first_stage import FirstStage

#: What was seen: tasks whose executor failed, and commitments that did.
Seen = tuple[frozenset[int], frozenset[int]]


@dataclass(slots=True)
class Outcome:
    """One thing that may be seen, and what the plan does then.

    Attributes
    ----------
    probability
        Of seeing it.
    over, up
        Second-stage offers that take over failed tasks, and that take up tasks that were left.
    """

    probability: float
    over: list[int] = field(default_factory=list)
    up: list[int] = field(default_factory=list)


class RescueRecount:
    """Second-stage offers of a round, and what may be seen before they are used.

    Parameters
    ----------
    recount
        The round.
    seed
        Seed of the plan's scenarios.
    """

    def __init__(self, recount: Recount, seed: int) -> None:
        self.round = recount
        self.seed = seed
        instance = recount.instance
        self.stage: list[int] = instance.offers.stage.tolist()
        self.quorum: list[int] = instance.tasks.quorum.tolist()
        self.cost: list[float] = instance.tasks.unassigned_cost.tolist()
        self.required: list[bool] = instance.tasks.required.tolist()
        self.measures = {limit.measure for limit in instance.risk if math.isfinite(limit.budget)}
        self.priced = instance.objective.risk_weight > 0.0
        self.measured = self.priced or bool(self.measures)
        self.tails = self.priced or any(limit.measure != "expected" for limit in instance.risk)
        by_claim: dict[tuple[int, int], list[int]] = defaultdict(list)
        for offer, able in enumerate(recount.eligible):
            if able and recount.p[offer] < 1.0:
                by_claim[self._claim(offer)].append(offer)
        #: First-stage offers that each rescue may follow, where it is to be considered for that.
        self.follows: dict[int, set[int]] = {}
        self.takes_up: set[int] = set()
        for offer in filter(self._able, range(len(self.stage))):
            others = {
                early
                for early in by_claim[self._claim(offer)]
                if recount.coprocessor[early] != recount.coprocessor[offer]
            }
            if others and (self.measured or _pays(self.terms(offer, failed=True))):
                self.follows[offer] = others
            left = _pays(self.terms(offer, failed=False))
            if left and not self.required[recount.task[offer]]:
                self.takes_up.add(offer)

    def __bool__(self) -> bool:
        """Whether the second stage could change anything."""
        return bool(self.follows or self.takes_up)

    def _claim(self, offer: int) -> tuple[int, int]:
        return self.round.task[offer], self.round.operator[offer]

    def _able(self, offer: int) -> bool:
        recount = self.round
        return (
            self.stage[offer] == 2
            and recount.coprocessor[offer] >= 0
            and recount.task[offer] not in recount.committed
            and not recount.below_minimum(offer)
            and not recount.too_late(offer)
            and self.quorum[recount.task[offer]] <= 1
            and recount.p[offer] > 0.0
        )

    def terms(self, offer: int, *, failed: bool) -> list[float]:
        """What a rescue is expected to add, of a failed task or of one that was left."""
        recount, split = self.round, self.round.instance.terms
        p, r, s = recount.p[offer], recount.reward[offer], recount.slashing[offer]
        paid = recount.bid[offer] * (p if split.bid_paid == "on_success" else 1.0)
        back = split.operator * recount.collateral[offer] * split.collateral_rate * (1.0 - p)
        if failed:
            return [p * r, p * s, -paid, back]
        return [p * r, -(1.0 - p) * s, -paid, back, self.cost[recount.task[offer]]]

    @cached_property
    def outcomes(self) -> FirstStage:
        """What the plan's second stage was decided on, drawn again."""
        import numpy as np

        late = sorted(self.follows.keys() | self.takes_up)
        if self.measured:
            early = [offer for offer, able in enumerate(self.round.eligible) if able]
        else:
            early = sorted(set().union(*self.follows.values()))
        return draw_first_stage(
            self.round.instance,
            np.array(early, dtype=np.int64),
            np.array(late, dtype=np.int64),
            seed=self.seed,
            commitments=self.measured,
            leaves=self.tails,
        )

    @property
    def is_exact(self) -> bool:
        """Whether outcomes, and what rescues come to behind them, are all there are."""
        return self.outcomes.scenarios == 0 and not (self.tails and self.outcomes.leaf_scenarios)

    def what_is_seen(self, chosen: list[int]) -> dict[Seen, float]:
        """Probability of everything that can be seen of a choice."""
        outcomes, mine = self.outcomes, set(chosen)
        places = [(k, self.round.task[o]) for k, o in enumerate(outcomes.offers.tolist()) if o in mine]
        chances: dict[Seen, list[float]] = defaultdict(list)
        lost: list[list[bool]] = outcomes.lost.tolist()
        for number, chance in enumerate(outcomes.probability.tolist()):
            failed = outcomes.failed[number]
            tasks = frozenset(task for k, task in places if failed[k])
            gone = frozenset(i for i, each in enumerate(lost[number]) if each)
            chances[tasks, gone].append(chance)
        return {seen: math.fsum(parts) for seen, parts in chances.items()}

    def accounts(self, chosen: list[int], before: dict[Key, Account], outcome: Outcome) -> dict[Key, Account]:
        """Limits of which the rescues of one outcome take something, with what the first stage took.

        Parameters
        ----------
        before
            Accounts of the first stage.
        """
        found: dict[Key, Account] = {}
        for offer in (*outcome.over, *outcome.up):
            for key, amount in self.round.uses((offer,)):
                if key[0] in ("expected loss", "deadline") or key not in before:
                    continue
                if key[0] == "stake" and offer in outcome.over:
                    continue  # at stake since the first stage
                if key not in found:
                    old = before[key]
                    found[key] = Account(old.bound, list(old.terms), old.held, old.decimals)
                found[key].terms.append(amount)
        found.update(self._deadlines(chosen, outcome))
        return found

    def _deadlines(self, chosen: list[int], outcome: Outcome) -> Iterator[tuple[Key, Account]]:
        recount = self.round
        late = [*outcome.over, *outcome.up]
        for c in {recount.coprocessor[offer] for offer in late}:
            if recount.free_from[c] == -math.inf:
                continue
            jobs = [
                (recount.deadline[recount.task[offer]], recount.duration[offer])
                for offer in (*chosen, *late)
                if recount.coprocessor[offer] == c
            ]
            for end in {due for due, _ in jobs if math.isfinite(due)}:
                key: Key = ("deadline", end, recount.instance.coprocessors.ids[c])
                taken = [duration for due, duration in jobs if due <= end]
                yield key, Account(end - recount.free_from[c], taken)

    # losses

    def expected_terms(self, name: str, chosen: list[int], outcomes: list[Outcome]) -> list[float]:
        """Terms of the expected loss of one operator or of the network, after the rescues."""
        account = self.round.loss_account(name, chosen, 0.0)
        terms = [*account.terms, *account.held]
        slashing, p = self.round.slashing, self.round.p
        for outcome in outcomes:
            over = [o for o in outcome.over if self._counts(o, name)]
            up = [o for o in outcome.up if self._counts(o, name)]
            terms += [-outcome.probability * slashing[o] * p[o] for o in over]
            terms += [outcome.probability * slashing[o] * (1.0 - p[o]) for o in up]
        return terms

    def _counts(self, offer: int, name: str) -> bool:
        return name == "network" or self.round.operator_id(offer) == name

    def losses(
        self, name: str, chosen: list[int], outcomes: dict[Seen, Outcome]
    ) -> list[tuple[float, float]]:
        """Loss and probability of every leaf."""
        recount, held = self.round, self.round.instance.commitments
        held_by = [recount.instance.operators.ids[v] for v in held.operator.tolist()]
        at_stake: list[float] = recount.instance.claims.slashing[held.claim].tolist()
        holder = {recount.task[offer]: offer for offer in chosen}
        late = {offer: k for k, offer in enumerate(self.outcomes.rescues.tolist())}
        leaves = list(zip(self.outcomes.leaf_failed, self.outcomes.leaf_probability.tolist(), strict=True))
        found = []
        for (tasks, gone), outcome in outcomes.items():
            lost = [recount.slashing[holder[a]] for a in tasks if self._counts(holder[a], name)]
            lost += [at_stake[i] for i in gone if name in ("network", held_by[i])]
            over = [(late[o], recount.slashing[o]) for o in outcome.over if self._counts(o, name)]
            up = [(late[o], recount.slashing[o]) for o in outcome.up if self._counts(o, name)]
            for failed, chance in leaves:
                terms = [*lost, *(-s for k, s in over if not failed[k]), *(s for k, s in up if failed[k])]
                found.append((math.fsum(terms), outcome.probability * chance))
        return found


def tail_value(losses: list[tuple[float, float]], measure: str, level: float, budget: float) -> float:
    """What a measure makes of losses with their probabilities."""
    if measure == "worst_case":
        return max((loss for loss, chance in losses if chance > 0.0), default=0.0)
    if measure == "chance":
        edge = budget + 1e-9 * abs(budget)
        return math.fsum(chance for loss, chance in losses if loss > edge)
    left, terms = 1.0 - level, []
    for loss, chance in sorted(losses, reverse=True):
        part = min(chance, left)
        terms.append(part * loss)
        left -= part
        if left <= 0.0:
            break
    return math.fsum(terms) / (1.0 - level)


def _pays(terms: list[float]) -> bool:
    """Whether terms come to something that is not worth nothing."""
    return math.fsum(terms) > WORTH_NOISE * math.fsum(map(abs, terms))
