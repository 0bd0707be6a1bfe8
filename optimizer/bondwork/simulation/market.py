"""A period's market: state and draws put together into offers and their potential outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.simulation.kernels import choose_distinct, choose_operators
from bondwork.simulation.rules import UNITS

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.reputation.models import Reputation
    from bondwork.simulation.drawing import Draws
    from bondwork.simulation.rules import Rules
    from bondwork.simulation.state import State


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """N tasks and n offers (columns) in the order of their tasks, self-execution last of each task.

    What policies see: everything but ``fails`` and ``wrong``.

    Attributes
    ----------
    operator, reward_units, slashing_units
        Shape (N,). Of the tasks; ``operator`` is -1 for tasks that are lost.
    task, executor, is_self, owner
        Shape (n,). Executors are coprocessors, then operators (C + operator); ``owner`` is the operator.
    bid, work, probability, collateral
        Shape (n,). Bid or own cost, in currency; work; the success probability that the network believes in;
        collateral in currency.
    reward, slashing
        Shape (n,). Of the column's task, in currency.
    collateral_units
        Shape (n,).
    capacity
        Shape (C + V,). Of executors.
    free
        Shape (C,). Collateral, in currency.
    stake
        Shape (V,). What limits slashing: ``inf`` where nothing does.
    fails, wrong
        Shape (n,). Potential outcomes: no result or one found wrong; a wrong one that nobody caught.
    demand
        Shape (). Tasks that were asked for, lost ones included.
    """

    operator: IntArray
    reward_units: IntArray
    slashing_units: IntArray
    task: IntArray
    executor: IntArray
    is_self: BoolArray
    owner: IntArray
    bid: FloatArray
    work: FloatArray
    probability: FloatArray
    collateral: FloatArray
    reward: FloatArray
    slashing: FloatArray
    collateral_units: IntArray
    capacity: FloatArray
    free: FloatArray
    stake: FloatArray
    fails: BoolArray
    wrong: BoolArray
    demand: int


def open_market(rules: Rules, state: State, draws: Draws, reputation: Reputation) -> Market:
    """Put the offers of a period together."""
    c_slots, k = rules.coprocessor_slots, rules.tasks.offers
    believed = reputation.forecast(state.cp_reputation).mean
    operator = choose_operators(draws.choice, _attraction(rules, state, reputation))
    alive = operator >= 0
    alive[alive] = state.active[operator[alive]]
    slashing_units = np.zeros(len(operator), dtype=np.int64)
    slashing_units[alive] = _slashing(rules, state, draws.reward[alive], operator[alive])

    chosen = choose_distinct(draws.place, c_slots)
    executor = np.concatenate([chosen, (c_slots + operator)[:, None]], axis=1)
    there = np.zeros(executor.shape, dtype=bool)
    there[:, :k] = state.cp_active[chosen] & alive[:, None]
    there[alive, k] = state.capacity[operator[alive]] > 0.0
    task, place = np.nonzero(there)
    executor = executor[task, place]
    is_self, owner, work = place == k, operator[task], draws.work[task]
    cost = np.concatenate([state.cp_cost, state.cost])[executor] * work
    factor = np.ones(len(task))
    factor[~is_self] = draws.bid_factor[task[~is_self], place[~is_self]]
    collateral_units = np.where(
        is_self, 0, np.rint(rules.collateral.multiple * draws.reward[task]).astype(np.int64)
    )
    gain = cost - rules.validators.share * rules.validators.catch * collateral_units / UNITS
    tempted = gain > 0.0 if rules.coprocessors.rational else np.ones(len(task), dtype=bool)
    fails, wrong = _outcomes(rules, state, draws, (task, place, executor, is_self), tempted)
    stake = np.where(state.active, state.stake / UNITS, 0.0)
    return Market(
        operator=np.where(alive, operator, -1),
        reward_units=draws.reward,
        slashing_units=slashing_units,
        task=task,
        executor=executor,
        is_self=is_self,
        owner=owner,
        bid=cost * factor,
        work=work,
        probability=np.concatenate([believed, state.quality])[executor],
        collateral=collateral_units / UNITS,
        reward=draws.reward[task] / UNITS,
        slashing=slashing_units[task] / UNITS,
        collateral_units=collateral_units,
        capacity=np.concatenate([state.cp_capacity, state.capacity]),
        free=state.cp_collateral / UNITS,
        stake=stake if rules.operators.stake_limit else np.full(len(stake), np.inf),
        fails=fails,
        wrong=wrong,
        demand=len(operator),
    )


def _attraction(rules: Rules, state: State, reputation: Reputation) -> FloatArray:
    """How clients weigh operators. Where tasks belong to operators, the gone keep theirs, and lose them."""
    trust = reputation.forecast(state.reputation).mean
    weight: FloatArray = np.exp(rules.tasks.reputation_exponent * np.log(np.maximum(trust, 1e-12)))
    if rules.tasks.follow == "network":
        return np.where(state.active, weight, 0.0)
    return np.where(state.generation > 0, weight, 0.0)


def _slashing(rules: Rules, state: State, reward: IntArray, operator: IntArray) -> IntArray:
    base = state.stake[operator] if rules.slashing.of == "stake" else reward
    wanted: IntArray = np.rint(rules.slashing.factor * base).astype(np.int64)
    return wanted


def _outcomes(
    rules: Rules,
    state: State,
    draws: Draws,
    columns: tuple[IntArray, IntArray, IntArray, BoolArray],
    tempted: BoolArray,
) -> tuple[BoolArray, BoolArray]:
    """Potential outcomes of all columns (MODEL 3): factors, outages, and results that are wrong."""
    from scipy.special import ndtri

    task, place, executor, is_self = columns
    share = rules.dependence
    own_share = 1.0 - share.common - share.coprocessor
    z = (
        np.sqrt(share.common) * draws.common
        + np.sqrt(share.coprocessor) * draws.own[executor]
        + np.sqrt(max(own_share, 0.0)) * draws.latent[task, place]
    )
    quality = np.concatenate([1.0 / (1.0 + np.exp(-state.cp_logit)), state.quality])
    fails = z > ndtri(quality)[executor]
    c_slots = len(state.cp_logit)
    given = np.minimum(executor, c_slots - 1)
    fails |= ~is_self & draws.outage[given]
    cheat, check = rules.coprocessors.cheat, rules.validators
    uniform = draws.wrong[task, place]
    cheats = ~is_self & state.cp_bad[given] & (uniform < cheat) & tempted
    caught = uniform < cheat * check.share * check.catch
    fails |= cheats & caught
    return fails, cheats & ~fails
