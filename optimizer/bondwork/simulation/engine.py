"""One replication, period by period: the rule book. Whoever decides, everything else happens here.

A period: qualities wander, people leave and enter; tasks, offers and potential outcomes are drawn; the policy
decides; outcomes are settled in whole units; load incentives are paid; collateral and stake are put back; and
the network learns from what it saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.market.adaptive_curve import AdaptiveIncentive
from bondwork.market.load_curve import LoadIncentive
from bondwork.reputation.models import make_reputation
from bondwork.reputation.score_driven import make_model
from bondwork.simulation.drawing import Purpose, draw_period, streams
from bondwork.simulation.kernels import settle
from bondwork.simulation.market import open_market
from bondwork.simulation.policies import make_policy
from bondwork.simulation.records import LOAD_BINS, TOTALS, Records
from bondwork.simulation.rules import UNITS
from bondwork.simulation.second_chance import remaining_market
from bondwork.simulation.state import State, first_state, move_on

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.simulation.drawing import Draws
    from bondwork.simulation.market import Market
    from bondwork.simulation.rules import Rules


class Simulation:
    """One replication of a network under a policy.

    Parameters
    ----------
    rules
        The network.
    replication
        Number of the replication, from 0: what is random differs from one to the next, and nothing else.
    detail
        Whether everybody's periods are kept.

    Examples
    --------
    >>> from bondwork.simulation.rules import Operators, Rules, Tasks
    >>> rules = Rules(periods=3, operators=Operators(number=5), tasks=Tasks(per_period=20))
    >>> simulation = Simulation(rules)
    >>> while not simulation.is_over:
    ...     simulation.step()
    >>> simulation.records.total("demand").tolist(), simulation.state.imbalance()
    ([20, 20, 20], 0)
    """

    def __init__(self, rules: Rules, replication: int = 0, *, detail: bool = False) -> None:
        self.rules = rules
        self.replication = replication
        self.reputation = make_reputation(rules.reputation.model, rules.reputation.parameters)
        self.incentive = LoadIncentive(**rules.load_curve.parameters)
        self.curves = _curves(rules, self.incentive)
        self.policy = make_policy(rules)
        self.state = first_state(rules, replication, self.reputation, self.curves)
        self.records = Records.empty(rules, detail=detail)

    @property
    def is_over(self) -> bool:
        """Whether all periods are done."""
        return int(self.state.period) >= self.rules.periods

    def step(self) -> None:
        """Simulate one period."""
        rules, state = self.rules, self.state
        at = int(state.period)
        move_on(state, rules, self.replication, self.reputation, self.curves)
        draws = draw_period(rules, self.replication, at)
        market = open_market(rules, state, draws, self.reputation)
        seed = streams(rules, self.replication).seed(Purpose.POLICY, at)
        columns, prices = self.policy.decide(market, seed)
        if rules.tasks.second_chance:
            rest, places = remaining_market(market, columns)
            again, more = self.policy.decide(rest, seed)
            columns, prices = np.concatenate([columns, places[again]]), np.concatenate([prices, more])
        order = np.argsort(columns, kind="stable")
        self._settle(at, market, columns[order], np.rint(prices[order] * UNITS).astype(np.int64), draws)
        state.period += 1

    def _settle(self, at: int, market: Market, columns: IntArray, price: IntArray, draws: Draws) -> None:
        rules, state = self.rules, self.state
        v, c = rules.operator_slots, rules.coprocessor_slots
        task, executor = market.task[columns], market.executor[columns]
        is_self = market.is_self[columns]
        failed, wrong = market.fails[columns], market.wrong[columns]
        op_flow, cp_flow = np.zeros((v, 6), dtype=np.int64), np.zeros((c, 5), dtype=np.int64)
        money, counted = np.zeros(3, dtype=np.int64), np.zeros(6, dtype=np.int64)
        balance_before = state.balance.copy()
        shares = rules.collateral
        settle(
            task,
            market.owner[columns],
            executor,
            is_self,
            failed,
            wrong,
            price,
            market.reward_units[task],
            market.slashing_units[task],
            market.collateral_units[columns],
            rules.tasks.quorum,
            rules.collateral.bid_paid == "always",
            rules.tasks.second_chance,
            np.rint(
                np.array([shares.burned, shares.operator, shares.rescuer, shares.treasury]) * UNITS
            ).astype(np.int64),
            state.stake,
            state.balance,
            state.cp_collateral,
            state.cp_balance,
            money,
            op_flow,
            cp_flow,
            counted,
        )
        state.burned += money[0]
        state.treasury += money[1]
        state.outside += money[2]
        used = np.bincount(executor[~is_self], market.work[columns][~is_self], c)
        load: FloatArray = np.divide(used, state.cp_capacity, out=np.zeros(c), where=state.cp_capacity > 0.0)
        amplitude = self._amplitude()
        cp_flow[:, 4] = self._pay_for_load(load)
        self._put_back(state.balance - balance_before)
        self._learn(op_flow, cp_flow, load)
        cost = np.concatenate([state.cp_cost, state.cost])[executor] * market.work[columns]
        delivered = ~is_self & ~draws.outage[np.minimum(executor, c - 1)]
        checks = rules.validators.share * rules.validators.cost * market.reward[columns][delivered].sum()
        self._record(
            at,
            {
                "demand": market.demand,
                "tasks": int((market.operator >= 0).sum()),
                "done": counted[0],
                "failed": counted[1],
                "wrong": counted[2],
                "pieces": int((~is_self).sum()),
                "own": int(is_self.sum()),
                "reward": op_flow[:, 0].sum(),
                "paid": op_flow[:, 1].sum(),
                "slashed": op_flow[:, 2].sum(),
                "forfeited": cp_flow[:, 1].sum(),
                "returned": op_flow[:, 3].sum(),
                "incentive": cp_flow[:, 4].sum(),
                "cost": round(float(cost.sum()) * UNITS),
                "checks": round(float(checks) * UNITS),
                "harm": round(rules.validators.harm * int(counted[4])),
                "shortfall": counted[3],
                "operators": int(state.active.sum()),
                "coprocessors": int(state.cp_active.sum()),
                "rescued": counted[5],
            },
            op_flow,
            cp_flow,
            load,
            amplitude,
        )
        delegated = ~is_self
        np.add.at(self.records.trade, (market.owner[columns][delegated], executor[delegated]), 1)

    def _pay_for_load(self, load: FloatArray) -> IntArray:
        """Pay what the load curve says, from outside; who owes pays what its balance holds."""
        state = self.state
        f = self.incentive(load) if self.curves is None else self.curves(state.cp_curve, load)
        earned: IntArray = np.rint(self.rules.load_curve.scale * UNITS * f).astype(np.int64)
        earned[~state.cp_active] = 0
        earned = np.maximum(earned, -state.cp_balance)
        state.cp_balance += earned
        state.outside -= earned.sum()
        return earned

    def _amplitude(self) -> FloatArray:
        if self.curves is None:
            return np.full(len(self.state.cp_active), self.incentive.A)
        return self.curves.parameters(self.state.cp_curve)["A"]

    def _put_back(self, gain: IntArray) -> None:
        """Move gains into stake, and balances into collateral that was forfeited."""
        rules, state = self.rules, self.state
        share = round(rules.operators.restake * UNITS)
        moved = np.minimum(np.maximum(gain, 0) * share // UNITS, state.balance)
        state.stake += moved
        state.balance -= moved
        missing = np.where(
            state.cp_active, round(rules.coprocessors.collateral * UNITS) - state.cp_collateral, 0
        )
        wanted = np.maximum(missing, 0) * round(rules.coprocessors.top_up * UNITS) // UNITS
        filled = np.minimum(wanted, state.cp_balance)
        state.cp_collateral += filled
        state.cp_balance -= filled

    def _learn(self, op_flow: IntArray, cp_flow: IntArray, load: FloatArray) -> None:
        state = self.state
        self.reputation.update(
            state.cp_reputation, cp_flow[:, 3].astype(np.float64), cp_flow[:, 2].astype(np.float64)
        )
        self.reputation.update(
            state.reputation, op_flow[:, 5].astype(np.float64), op_flow[:, 4].astype(np.float64)
        )
        if self.curves is not None:
            self.curves.update(state.cp_curve, np.where(state.cp_active, load, np.nan))

    def _record(
        self,
        at: int,
        totals: dict[str, int],
        op_flow: IntArray,
        cp_flow: IntArray,
        load: FloatArray,
        amplitude: FloatArray,
    ) -> None:
        records, state = self.records, self.state
        records.totals[at] = [totals[name] for name in TOTALS]
        records.op_total += op_flow
        records.op_periods += state.active
        first = (records.op_left == self.rules.periods) & ~(state.active & (state.generation == 1))
        records.op_left[first] = at
        trust = self.reputation.forecast(state.reputation).mean
        records.op_reputation[state.active] = trust[state.active]
        records.op_reputation_mean[state.active] += trust[state.active]
        records.cp_total += cp_flow
        there = state.cp_active & (state.cp_capacity > 0.0)
        number = np.minimum((load[there] * LOAD_BINS).astype(np.int64), LOAD_BINS - 1)
        income = cp_flow[there, 0] / UNITS
        for place, weights in enumerate((None, income, income * income)):
            records.load_bins[:, place] += np.bincount(number, weights, LOAD_BINS)
        if records.has_detail:
            records.reward[at] = op_flow[:, 0]
            records.net[at] = op_flow[:, 0] - op_flow[:, 1] - op_flow[:, 2] + op_flow[:, 3]
            records.stake[at] = state.stake
            records.reputation[at] = trust
            records.active[at] = state.active
            records.load[at] = load
            records.income[at] = cp_flow[:, 0]
            records.pieces[at] = cp_flow[:, 2]
            records.incentive[at] = cp_flow[:, 4]
            records.amplitude[at] = amplitude


def _curves(rules: Rules, incentive: LoadIncentive) -> AdaptiveIncentive | None:
    adaptive = rules.load_curve.adaptive
    if adaptive is None:
        return None
    model = make_model("gaussian_mean", adaptive.omega, adaptive.beta, adaptive.alpha, [adaptive.variance])
    return AdaptiveIncentive(incentive, model, {str(name): by for name, by in adaptive.loadings.items()})


def resume(simulation: Simulation, state: State, records: Records) -> Simulation:
    """Let a fresh simulation go on from a state and records that were stored."""
    simulation.state = state
    simulation.records = records
    return simulation
