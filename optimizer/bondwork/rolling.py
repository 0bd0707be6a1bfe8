"""Rolling horizon: carry out what is decided now, see what happens, plan again (MODEL 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bondwork.market.settlement import smallest_units, split
from bondwork.problem.advance import Due, advance, decisive, due
from bondwork.problem.faults import Refusal
from bondwork.problem.horizon_support import unsupported_horizon
from bondwork.problem.instance import NOBODY
from bondwork.repairing import VerificationFailure
from bondwork.rolling_report import Rolled, RollStep, Settlement
from bondwork.solving import solve
from bondwork.uncertainty.dependence import Dependence
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.seeds import child, seed_sequence, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, IntArray
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance

_PERIOD, _AMOUNTS, _OUTCOMES = 0, 1, 2

#: What the first step is called.
THIS_ROUND = "this round"

#: Where what the last period leaves is settled.
END = "end"


class Nature(Protocol):
    """Says what happens. Ours draws it; yours may look it up."""

    def next_period(self, instance: Instance, periods: Sequence[int]) -> int:
        """Choose which of the periods that may follow does."""
        ...

    def amounts(self, instance: Instance, period: int) -> Sequence[float]:
        """Give the random amounts of a period, in the order of its ``laws``."""
        ...

    def outcomes(self, instance: Instance, released: Due, law: OutcomeLaw) -> BoolArray:
        """Say which of the released offers, then of the released commitments, succeeded.

        ``law`` is their joint law.
        """
        ...


class Drawn:
    """Draws what happens by its law, from a seed.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({"format": "bondwork.round/1", "tasks": [], "periods": [
    ...     {"id": "calm", "at": 60, "probability": 0.9}, {"id": "busy", "at": 60, "probability": 0.1}]})
    >>> nature = Drawn(seed=0)
    >>> [instance.periods[nature.next_period(instance, [0, 1])].id for _ in range(5)]
    ['busy', 'calm', 'calm', 'busy', 'calm']
    """

    def __init__(self, seed: int) -> None:
        self._root = seed_sequence(seed)
        self._step = 0

    def next_period(self, instance: Instance, periods: Sequence[int]) -> int:
        """Draw one by its probability."""
        self._step += 1
        chance = np.array([instance.periods[n].probability for n in periods])
        rng = stream(self._root, self._step, _PERIOD)
        return int(rng.choice(np.asarray(periods), p=chance / chance.sum()))

    def amounts(self, instance: Instance, period: int) -> list[float]:
        """Draw each by its law."""
        rng = stream(self._root, self._step, _AMOUNTS)
        return [float(each.law.ppf(rng.uniform())) for each in instance.periods[period].laws]

    def outcomes(self, instance: Instance, released: Due, law: OutcomeLaw) -> BoolArray:
        """Draw them jointly."""
        from bondwork.uncertainty.sampling import sample_outcomes

        seed = child(self._root, self._step, _OUTCOMES, len(released))
        succeeded: BoolArray = ~sample_outcomes(law, 1, seed=seed, method="monte_carlo").dense()[0]
        return succeeded


@dataclass(frozen=True, slots=True)
class _Deal:
    """What the ledger must remember of something that is held: its names then, and what was agreed."""

    offer: str
    task: str
    decided_in: str | None
    bid: float


def roll(
    instance: Instance, *, seed: int | None = None, nature: Nature | None = None, **options: Any
) -> Rolled:
    """Carry a round through its periods: decide, see what happens, decide again.

    At every step the round is planned to the end of its horizon and only what is decided for now is carried
    out. Then the next period comes, with its random amounts; what it releases has succeeded or failed.

    Parameters
    ----------
    instance
        The round, with periods; without any it is one step.
    seed
        Of what happens, and of the trees that are planned with; the round's own where left out.
    nature
        Says what happens instead.
    options
        For `bondwork.solve`, such as ``strategy``, ``formulation``, ``time_limit`` and ``mip_rel_gap``.

    Returns
    -------
    Rolled
        Every step with what was carried out, and the ledger. It ends early where a step finds no plan, finds
        one that does not verify (``other_error``), or is interrupted: what was decided then is not carried
        out.

    Raises
    ------
    Refusal
        As `bondwork.solve`; and the round asks for what no plan over a tree honours.

    Notes
    -----
    A serial coprocessor finishes what it was given with deadlines before it begins what a later step gives
    it, although a plan over the tree may count on putting it off.

    Examples
    --------
    >>> import bondwork
    >>> offer = {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75}
    >>> task = {"id": "t", "operator": "op", "reward": 4}
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp", "free_collateral": 3}], "tasks": [task], "offers": [offer],
    ...     "periods": [{"id": "next", "at": 60, "tasks": [task], "offers": [offer]}]})
    >>> rolled = bondwork.roll(instance, seed=1)
    >>> [(step.period, len(step.assignments)) for step in rolled.steps], rolled.net_reward
    ([('this round', 1), ('next', 1)], 8.0)
    """
    if reasons := unsupported_horizon(instance):
        raise Refusal(f"rolling cannot honour {reason}" for reason in reasons)
    seed = instance.uncertainty.seed if seed is None else seed
    happens = Drawn(seed) if nature is None else nature
    book = _Book(instance)
    steps: list[RollStep] = []
    current, complete = instance, False
    while True:
        name = THIS_ROUND if not steps else current.name
        try:
            plan = solve(current, seed=seed, **options)
        except VerificationFailure as failure:
            # a step like any other, and the last: what was found does not verify, and is not carried out
            plan = failure.plan.model_copy(update={"status": "other_error"})
        steps.append(_step(name, current, plan))
        if not plan.verified or not plan.is_usable() or plan.status == "interrupted":
            break
        chosen = chosen_offers(current, plan)
        book.agree(current, plan, name, chosen)
        following = [n for n, each in enumerate(current.periods) if each.above == NOBODY]
        following = [n for n in following if current.periods[n].probability > 0.0]
        if not following:
            released = due(current, chosen, None)
            book.settle(current, released, _outcomes(happens, current, released), END, None)
            complete = True
            break
        period = happens.next_period(current, following)
        amounts = happens.amounts(current, period)
        released = due(current, chosen, period)
        succeeded = _outcomes(happens, current, released)
        after = advance(current, released, succeeded, period, amounts)
        book.settle(current, released, succeeded, after.name, after)
        current = after
    return Rolled(
        name=instance.name,
        currency=instance.currency,
        decimals=instance.decimals,
        seed=seed if nature is None else None,
        input_sha256=instance.sha256,
        steps=steps,
        ledger=book.entries,
        complete=complete,
        net_reward=math.fsum(book.income),
    )


def chosen_offers(instance: Instance, plan: Plan) -> IntArray:
    """Offers that a plan's assignments are, in the order of the round."""
    offers = instance.offers
    number = {
        (name, operator, coprocessor == NOBODY): o
        for o, (name, operator, coprocessor) in enumerate(
            zip(offers.ids, offers.operator.tolist(), offers.coprocessor.tolist(), strict=True)
        )
    }
    operators = {name: v for v, name in enumerate(instance.operators.ids)}
    found = [number[each.offer, operators[each.operator], each.kind == "self"] for each in plan.assignments]
    return np.array(sorted(found), dtype=np.int64)


def _step(name: str, instance: Instance, plan: Plan) -> RollStep:
    def limited(ids: tuple[str, ...], amounts: Sequence[float]) -> dict[str, float]:
        return {id_: each for id_, each in zip(ids, amounts, strict=True) if math.isfinite(each)}

    return RollStep(
        period=name,
        at=instance.now,
        status=plan.status,
        strategy=plan.strategy,
        objective=plan.objective,
        bound=plan.bound,
        assignments=plan.assignments,
        free_collateral=limited(instance.coprocessors.ids, instance.coprocessors.free_collateral.tolist()),
        stake=limited(instance.operators.ids, instance.operators.stake.tolist()),
        timing=plan.timing,
    )


def _outcomes(nature: Nature, instance: Instance, released: Due) -> BoolArray:
    """Ask for the outcomes of what is released; nothing is asked where nothing is."""
    if not len(released):
        return np.zeros(0, dtype=bool)
    law = law_of(instance, released)
    succeeded = np.asarray(nature.outcomes(instance, released, law), dtype=bool)
    if succeeded.shape != (len(released),):
        raise ValueError(f"outcomes have shape {succeeded.shape}, expected ({len(released)},)")
    return succeeded


def law_of(instance: Instance, released: Due) -> OutcomeLaw:
    """Joint law of what is released together: offers, then commitments."""
    offers, held, uncertainty = instance.offers, instance.commitments, instance.uncertainty
    o, k = released.offers, released.commitments
    coprocessor = np.concatenate([offers.coprocessor[o], held.coprocessor[k]])
    operator = np.concatenate([offers.operator[o], held.operator[k]])
    outage = instance.coprocessors.outage_probability
    return OutcomeLaw(
        np.where(coprocessor == NOBODY, len(outage) + operator, coprocessor),
        np.concatenate([offers.success_probability[o], held.success_probability[k]]),
        np.concatenate([offers.concentration[o], np.full(len(k), np.inf)]),
        np.concatenate([outage, np.zeros(len(instance.operators))]),
        Dependence(uncertainty.common, uncertainty.coprocessor),
    )


class _Book:
    """The ledger while it is written."""

    def __init__(self, instance: Instance) -> None:
        self.terms = instance.terms
        self.decimals = instance.decimals
        self.entries: list[Settlement] = []
        self.income: list[float] = []
        held = instance.commitments
        self.deals = [
            _Deal(id_, instance.tasks.ids[task], None, 0.0)
            for id_, task in zip(held.ids, held.task.tolist(), strict=True)
        ]
        self.agreed: dict[int, _Deal] = {}

    def agree(self, instance: Instance, plan: Plan, period: str, chosen: IntArray) -> None:
        """Note what is chosen, and what the tasks left behind cost."""
        price = {(each.offer, each.operator, each.kind == "self"): each.price for each in plan.assignments}
        offers = instance.offers
        self.agreed = {}
        for o in chosen.tolist():
            is_own = bool(offers.coprocessor[o] == NOBODY)
            key = (offers.ids[o], instance.operators.ids[offers.operator[o]], is_own)
            task = instance.tasks.ids[offers.task[o]]
            self.agreed[o] = _Deal(offers.ids[o], task, period, price[key])
        left = np.ones(len(instance.tasks), dtype=bool)
        left[offers.task[chosen]] = False
        left[instance.commitments.task] = False
        self.income += (-instance.tasks.unassigned_cost[left]).tolist()

    def settle(
        self, instance: Instance, released: Due, succeeded: BoolArray, period: str, after: Instance | None
    ) -> None:
        """Write down what is released; ``after`` is the round that holds the rest."""
        offers, held = instance.offers, instance.commitments
        good = succeeded.tolist()
        decides = decisive(instance, released, succeeded).tolist()
        outcomes = list(zip(good, decides, strict=True))
        for o, how in zip(released.offers.tolist(), outcomes, strict=False):
            who = (int(offers.operator[o]), int(offers.coprocessor[o]))
            collateral = float(offers.collateral[o])
            self._enter(instance, self.agreed[o], who, int(offers.claim[o]), collateral, how, period)
        for k, how in zip(released.commitments.tolist(), outcomes[len(released.offers) :], strict=True):
            who = (int(held.operator[k]), int(held.coprocessor[k]))
            collateral = float(held.collateral[k])
            self._enter(instance, self.deals[k], who, int(held.claim[k]), collateral, how, period)
        if after is not None:  # held offers come before held commitments there
            deals = [self.agreed[o] for o in released.held_offers.tolist()]
            self.deals = deals + [self.deals[k] for k in released.held_commitments.tolist()]

    def _enter(
        self,
        instance: Instance,
        deal: _Deal,
        who: tuple[int, int],
        claim: int,
        collateral: float,
        how: tuple[bool, bool],
        period: str,
    ) -> None:
        """Enter one executor: whether it succeeded, and whether that decided its claim."""
        terms, (operator, coprocessor) = self.terms, who
        succeeded, decides = how
        reward = float(instance.claims.reward[claim]) if succeeded and decides else 0.0
        slashed = float(instance.claims.slashing[claim]) if decides and not succeeded else 0.0
        on_success = terms.bid_paid == "on_success" and coprocessor != NOBODY
        bid = deal.bid if succeeded or not on_success else 0.0
        posted = self._units(collateral)
        lost = 0 if succeeded else posted
        burned, to_operator, to_rescuer, to_treasury = split(
            lost, (terms.burned, terms.operator, terms.rescuer, terms.treasury)
        )
        self.income += [reward, -bid, -slashed]
        if not succeeded:
            self.income.append(terms.operator * terms.collateral_rate * collateral)
        self.entries.append(
            Settlement(
                offer=deal.offer,
                task=deal.task,
                operator=instance.operators.ids[operator],
                executor=instance.executor_id(operator, coprocessor),
                decided_in=deal.decided_in,
                settled_in=period,
                succeeded=succeeded,
                reward=self._units(reward),
                bid=self._units(bid),
                slashed=self._units(slashed),
                returned=posted - lost,
                burned=burned,
                to_operator=to_operator,
                to_rescuer=to_rescuer,
                to_treasury=to_treasury,
            )
        )

    def _units(self, amount: float) -> int:
        return smallest_units(amount, self.decimals)
