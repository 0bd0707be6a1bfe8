"""Rounds of any size, drawn from a seed: hard assignment problems with two knapsacks a coprocessor."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.schema import ROUND_FORMAT

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray

#: Decimals of every number of a generated round.
_DECIMALS = 6

#: Scenarios of a round with second-stage offers: each distinct one is a node of its program.
RESCUE_SCENARIOS = 128

#: Mean of a task's work: the difficulty is uniform on this interval.
_EASIEST, _HARDEST = 0.5, 2.0


def generate_round(
    tasks: int,
    coprocessors: int,
    offers: int,
    seed: int,
    *,
    tightness: float = 0.8,
    risk_level: float = 0.95,
    risk_budget: float | None = None,
    rescue: int = 0,
) -> dict[str, Any]:
    """Draw a round; the same arguments give the same round.

    Rewards are lognormal(3, 0.5), slashing is 1 to 4 times the reward. Difficulty is uniform from 0.5 to 2,
    skill Beta(20, 1.5); success probability is skill ** difficulty, kept within 0.3 and 0.999. Bids take 30
    to 80% of the reward, collateral is 1 to 1.2 times the slashing, work 0.8 to 1.2 times the difficulty.
    Each task has offers of ``offers`` coprocessors, drawn without replacement. There are as many operators as
    coprocessors; they claim the tasks in turn.

    Parameters
    ----------
    tasks, coprocessors
        How many of each, at least 1.
    offers
        Offers a task has, from 1 to ``coprocessors``.
    seed
        Of numpy's default generator; not negative.
    tightness
        Capacity and free collateral each suffice for about this share of all tasks, spread unevenly.
    risk_level, risk_budget
        Level and budget of a CVaR limit on the network's loss; no limit without a budget.
    rescue
        Second-stage offers a task has, from 0 to ``coprocessors``, of coprocessors drawn without replacement.
        Their bids take 40 to 90% of the reward; the rest is as for the first stage. Scenarios are then 128.

    Returns
    -------
    dict
        A JSON document of a ``bondwork.round/1``.

    Raises
    ------
    ValueError
        An argument is out of its range; the message names it, its value and the range.

    Examples
    --------
    >>> document = generate_round(tasks=4, coprocessors=3, offers=2, seed=0)
    >>> len(document["tasks"]), len(document["offers"])
    (4, 8)
    """
    _check_size(tasks, coprocessors, offers, seed)
    _check_limits(tightness, risk_level, risk_budget)
    if not 0 <= operator.index(rescue) <= coprocessors:
        raise ValueError(f"rescue is {rescue}, expected a whole number from 0 to {coprocessors}")
    rng = np.random.default_rng(seed)

    # the order of the draws is part of the family: another order gives other rounds for the same seed
    reward = rng.lognormal(3.0, 0.5, tasks)
    slashing = reward * rng.uniform(1.0, 4.0, tasks)
    difficulty = rng.uniform(_EASIEST, _HARDEST, tasks)
    skill = rng.beta(20.0, 1.5, coprocessors)
    who = np.sort([rng.choice(coprocessors, offers, replace=False) for _ in range(tasks)]).ravel()
    task = np.repeat(np.arange(tasks), offers)
    size = tasks * offers
    bid = reward[task] * rng.uniform(0.3, 0.8, size)
    collateral = slashing[task] * rng.uniform(1.0, 1.2, size)
    work = difficulty[task] * rng.uniform(0.8, 1.2, size)
    enough = tasks * (_EASIEST + _HARDEST) / 2.0 * tightness / coprocessors
    capacity = enough * rng.uniform(0.5, 1.5, coprocessors)
    asked = np.bincount(who, collateral, coprocessors) / offers * tightness
    free_collateral = asked * rng.uniform(0.5, 1.5, coprocessors)
    success = np.clip(skill[who] ** difficulty[task], 0.3, 0.999)

    document: dict[str, Any] = {
        "format": ROUND_FORMAT,
        "name": f"generated {tasks}x{coprocessors}x{offers} seed {seed} tightness {tightness}",
        "currency": "unit",
        "operators": [{"id": f"op-{v}"} for v in range(coprocessors)],
        "coprocessors": _coprocessors(capacity, free_collateral),
        "tasks": _tasks(reward, slashing, difficulty, coprocessors),
        "offers": _offers(task, who, bid, collateral, success, work),
        "uncertainty": {
            "dependence": {"copula": "gaussian", "common": 0.05, "coprocessor": 0.3},
            "sampling": "sobol",
            "scenarios": 1024,
            "seed": operator.index(seed),
        },
    }
    if rescue:
        # drawn last: the round without them is that of the same seed
        saviour = np.sort([rng.choice(coprocessors, rescue, replace=False) for _ in range(tasks)]).ravel()
        late = np.repeat(np.arange(tasks), rescue)
        more = tasks * rescue
        offered = _offers(
            late,
            saviour,
            reward[late] * rng.uniform(0.4, 0.9, more),
            slashing[late] * rng.uniform(1.0, 1.2, more),
            np.clip(skill[saviour] ** difficulty[late], 0.3, 0.999),
            difficulty[late] * rng.uniform(0.8, 1.2, more),
        )
        document["offers"] += [
            {"id": f"{each['task']}/{each['coprocessor']}/rescue", "stage": 2} | each for each in offered
        ]
        document["uncertainty"]["scenarios"] = RESCUE_SCENARIOS
    if risk_budget is not None:
        document["risk"] = [{"measure": "cvar", "level": risk_level, "budget": risk_budget, "of": "network"}]
    return document


def _check_size(tasks: int, coprocessors: int, offers: int, seed: int) -> None:
    for name, value, least in (
        ("tasks", tasks, 1),
        ("coprocessors", coprocessors, 1),
        ("offers", offers, 1),
        ("seed", seed, 0),
    ):
        try:
            whole = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} is {value!r}, expected a whole number") from None
        if whole < least:
            raise ValueError(f"{name} is {value}, expected a whole number >= {least}")
    if offers > coprocessors:
        raise ValueError(
            f"offers is {offers}, expected at most {coprocessors}: a task has one offer of a coprocessor"
        )


def _check_limits(tightness: float, risk_level: float, risk_budget: float | None) -> None:
    if not 0.0 < tightness < np.inf:
        raise ValueError(f"tightness is {tightness}, expected a finite number > 0")
    if not 0.0 <= risk_level < 1.0:
        raise ValueError(f"risk_level is {risk_level}, expected a number >= 0 and < 1")
    if risk_budget is not None and not 0.0 <= risk_budget < np.inf:
        raise ValueError(f"risk_budget is {risk_budget}, expected a finite number >= 0")


def _rounded(values: FloatArray) -> list[float]:
    # np.round scales, rounds and scales back, which now and then lands on another neighbour
    return [round(value, _DECIMALS) for value in values.tolist()]


def _coprocessors(capacity: FloatArray, free_collateral: FloatArray) -> list[dict[str, Any]]:
    columns = zip(_rounded(capacity), _rounded(free_collateral), strict=True)
    return [
        {"id": f"cp-{c}", "capacity": {"compute": room}, "free_collateral": free}
        for c, (room, free) in enumerate(columns)
    ]


def _tasks(
    reward: FloatArray, slashing: FloatArray, difficulty: FloatArray, operators: int
) -> list[dict[str, Any]]:
    columns = zip(_rounded(reward), _rounded(slashing), _rounded(difficulty), strict=True)
    return [
        {
            "id": f"t-{t}",
            "operator": f"op-{t % operators}",
            "reward": r,
            "slashing": s,
            "work": {"compute": w},
        }
        for t, (r, s, w) in enumerate(columns)
    ]


def _offers(task: IntArray, who: IntArray, *terms: FloatArray) -> list[dict[str, Any]]:
    columns = zip(task.tolist(), who.tolist(), *map(_rounded, terms), strict=True)
    return [
        {
            "task": f"t-{t}",
            "coprocessor": f"cp-{c}",
            "bid": b,
            "collateral": held,
            "success_probability": p,
            "work": {"compute": w},
        }
        for t, c, b, held, p, w in columns
    ]
