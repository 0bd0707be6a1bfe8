"""The network between two periods: who is there, what each has, and what the network thinks of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.simulation.drawing import Purpose, lognormal_factor, streams
from bondwork.simulation.rules import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.market.adaptive_curve import AdaptiveIncentive
    from bondwork.reputation.models import Reputation
    from bondwork.simulation.rules import Rules


@dataclass(slots=True, eq=False)
class State:
    """All that a period changes. Accounts are in millionths of the currency.

    Attributes
    ----------
    period
        Shape (). The next period, from 0.
    active, stake, balance, capacity, cost, quality, generation
        Shape (V,). Of operator slots; ``generation`` counts who has had the slot, ``quality`` is a
        probability.
    reputation
        Shape (V, k). States of the reputation model.
    cp_active, cp_collateral, cp_balance, cp_capacity, cp_cost, cp_mean_logit, cp_logit, cp_bad, cp_generation
        Shape (C,). Of coprocessor slots; ``cp_bad`` misbehaves.
    cp_reputation, cp_curve
        Shapes (C, k), (C, 1).
    burned, treasury, outside
        Shape (). Where money that nobody here has came from or went to.
    """

    period: IntArray
    active: BoolArray
    stake: IntArray
    balance: IntArray
    capacity: FloatArray
    cost: FloatArray
    quality: FloatArray
    generation: IntArray
    reputation: FloatArray
    cp_active: BoolArray
    cp_collateral: IntArray
    cp_balance: IntArray
    cp_capacity: FloatArray
    cp_cost: FloatArray
    cp_mean_logit: FloatArray
    cp_logit: FloatArray
    cp_bad: BoolArray
    cp_generation: IntArray
    cp_reputation: FloatArray
    cp_curve: FloatArray
    burned: IntArray
    treasury: IntArray
    outside: IntArray

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, to be stored."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> State:
        """Take a stored state up again."""
        return cls(**{each.name: np.array(arrays[each.name]) for each in dataclasses.fields(cls)})

    def imbalance(self) -> int:
        """Sum over all accounts, burned and outside: 0, always."""
        parts = (self.stake, self.balance, self.cp_collateral, self.cp_balance)
        return (
            sum(int(each.sum()) for each in parts) + int(self.burned) + int(self.treasury) + int(self.outside)
        )


def first_state(
    rules: Rules, replication: int, reputation: Reputation, curves: AdaptiveIncentive | None
) -> State:
    """The network before its first period."""
    v, c = rules.operator_slots, rules.coprocessor_slots
    state = State(
        period=np.array(0),
        active=np.zeros(v, dtype=bool),
        stake=np.zeros(v, dtype=np.int64),
        balance=np.zeros(v, dtype=np.int64),
        capacity=np.zeros(v),
        cost=np.zeros(v),
        quality=np.full(v, 0.5),
        generation=np.zeros(v, dtype=np.int64),
        reputation=reputation.start(v),
        cp_active=np.zeros(c, dtype=bool),
        cp_collateral=np.zeros(c, dtype=np.int64),
        cp_balance=np.zeros(c, dtype=np.int64),
        cp_capacity=np.zeros(c),
        cp_cost=np.zeros(c),
        cp_mean_logit=np.zeros(c),
        cp_logit=np.zeros(c),
        cp_bad=np.zeros(c, dtype=bool),
        cp_generation=np.zeros(c, dtype=np.int64),
        cp_reputation=reputation.start(c),
        cp_curve=np.zeros((c, 1)) if curves is None else curves.start(c),
        burned=np.array(0),
        treasury=np.array(0),
        outside=np.array(0),
    )
    rng = streams(rules, replication).of(Purpose.POPULATION)
    enter_operators(state, rules, np.arange(v) < rules.operators.number, rng)
    enter_coprocessors(state, rules, np.arange(c) < rules.coprocessors.number, rng)
    return state


def enter_operators(state: State, rules: Rules, who: BoolArray, rng: np.random.Generator) -> None:
    """Let newcomers take slots. Draws for every slot, so that who enters changes nobody else's numbers."""
    group = rules.operators
    capacity, cost, quality = rng.standard_normal((3, len(who)))
    state.active[who] = True
    state.generation[who] += 1
    state.capacity[who] = group.capacity * lognormal_factor(capacity, group.capacity_spread)[who]
    state.cost[who] = group.cost * lognormal_factor(cost, group.cost_spread)[who]
    logit = _logit(group.quality) + group.quality_spread * quality[who]
    state.quality[who] = 1.0 / (1.0 + np.exp(-logit))
    stake = round(group.stake * UNITS)
    state.stake[who] = stake
    state.outside -= stake * int(who.sum())


def enter_coprocessors(state: State, rules: Rules, who: BoolArray, rng: np.random.Generator) -> None:
    """See `enter_operators`."""
    group = rules.coprocessors
    capacity, cost, quality = rng.standard_normal((3, len(who)))
    bad = rng.random(len(who)) < group.misbehaving
    state.cp_active[who] = True
    state.cp_generation[who] += 1
    state.cp_bad[who] = bad[who]
    state.cp_capacity[who] = group.capacity * lognormal_factor(capacity, group.capacity_spread)[who]
    factor = lognormal_factor(cost, group.cost_spread) * np.where(bad, 1.0 - group.discount, 1.0)
    state.cp_cost[who] = group.cost * factor[who]
    state.cp_mean_logit[who] = _logit(group.quality) + group.quality_spread * quality[who]
    state.cp_logit[who] = state.cp_mean_logit[who]
    collateral = round(group.collateral * UNITS)
    state.cp_collateral[who] = collateral
    state.outside -= collateral * int(who.sum())


def leave(state: State, reputation: Reputation, who: BoolArray) -> None:
    """Let operators go, with all that they have; the network forgets them."""
    state.outside += int(state.stake[who].sum()) + int(state.balance[who].sum())
    state.stake[who] = 0
    state.balance[who] = 0
    state.active[who] = False
    state.reputation[who] = reputation.start(1)


def leave_coprocessors(
    state: State, reputation: Reputation, curves: AdaptiveIncentive | None, who: BoolArray
) -> None:
    """See `leave`."""
    state.outside += int(state.cp_collateral[who].sum()) + int(state.cp_balance[who].sum())
    state.cp_collateral[who] = 0
    state.cp_balance[who] = 0
    state.cp_active[who] = False
    state.cp_reputation[who] = reputation.start(1)
    if curves is not None:
        state.cp_curve[who] = curves.start(1)


def move_on(
    state: State, rules: Rules, replication: int, reputation: Reputation, curves: AdaptiveIncentive | None
) -> None:
    """Let happen what happens between periods, whatever was decided: qualities wander, people come and go.

    Uses random numbers of the period that begins.
    """
    here = streams(rules, replication)
    at = int(state.period)
    group = rules.coprocessors
    if at > 0 and (group.quality_drift > 0.0 or group.quality_persistence < 1.0):
        normal = here.of(Purpose.DRIFT, at).standard_normal(len(state.cp_logit))
        away = state.cp_logit - state.cp_mean_logit
        state.cp_logit = state.cp_mean_logit + group.quality_persistence * away + group.quality_drift * normal
    leaving = state.active & (state.stake < round(rules.operators.least_stake * UNITS))
    if at > 0 and (rules.operators.exit > 0.0 or group.exit > 0.0):
        rng = here.of(Purpose.EXIT, at)
        leaving |= state.active & (rng.random(len(leaving)) < rules.operators.exit)
        going = state.cp_active & (rng.random(len(state.cp_active)) < group.exit)
        leave_coprocessors(state, reputation, curves, going)
    leave(state, reputation, leaving)
    if at > 0 and (rules.operators.entry > 0.0 or group.entry > 0.0):
        rng = here.of(Purpose.ENTRY, at)
        numbers = rng.poisson([rules.operators.entry, group.entry])
        enter_operators(state, rules, _first_free(state.active, int(numbers[0])), rng)
        enter_coprocessors(state, rules, _first_free(state.cp_active, int(numbers[1])), rng)


def _first_free(active: BoolArray, number: int) -> BoolArray:
    who = np.zeros(len(active), dtype=bool)
    who[np.flatnonzero(~active)[:number]] = True
    return who


def _logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
