"""Rounds made directly as arrays: random ones with all that the model knows, and one to do by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from bondwork.problem.instance import (
    NOBODY,
    Claims,
    Commitments,
    Coprocessors,
    Instance,
    Offers,
    Operators,
    RiskLimit,
    Tasks,
    Terms,
)

#: Values that are likely to be special: nothing, one, several times the same, and not dyadic.
AMOUNTS = np.array([0.0, 0.25, 1.0, 1.0, 2.0, 3.5, 0.1, 7.3])
PROBABILITIES = np.array([0.0, 0.3, 0.5, 0.75, 0.9, 0.999, 1.0])
DEADLINES = np.array([10.0, 20.0, 20.5, 30.0, 1.7e9, np.inf])


def indices(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def random_round(
    seed: int,
    *,
    operators: int,
    coprocessors: int,
    tasks: int,
    resources: int,
    density: float = 0.5,
    money: float = 1.0,
    unit: float = 1.0,
) -> Instance:
    """Draw a round; ``money`` and ``unit`` multiply every amount of currency and of collateral and work."""
    rng = np.random.default_rng(seed)

    def amounts(*shape: int) -> np.ndarray:
        return rng.choice(AMOUNTS, shape) * rng.uniform(0.5, 1.5, shape)

    def limits(*shape: int) -> np.ndarray:
        return np.where(rng.random(shape) < 0.3, np.inf, 4 * amounts(*shape))

    pairs = np.argwhere(rng.random((tasks, operators)) < max(density, 0.3))
    claim_task, claim_operator = pairs[:, 0], pairs[:, 1]
    claims = Claims(claim_task, claim_operator, money * amounts(len(pairs)), money * amounts(len(pairs)))

    # One place more than there are coprocessors: the operator itself.
    chosen = np.argwhere(rng.random((len(pairs), coprocessors + 1)) < density)
    rng.shuffle(chosen)
    claim = chosen[:, 0]
    coprocessor = np.where(chosen[:, 1] == coprocessors, NOBODY, chosen[:, 1])
    is_self = coprocessor == NOBODY
    size = len(chosen)
    offers = Offers(
        ids=tuple(f"o-{i}" for i in range(size)),
        task=claim_task[claim],
        operator=claim_operator[claim],
        claim=claim,
        coprocessor=coprocessor,
        stage=rng.choice([1, 1, 1, 1, 2], size),
        bid=money * amounts(size),
        collateral=np.where(is_self, 0.0, unit * amounts(size)),
        success_probability=rng.choice(PROBABILITIES, size),
        concentration=np.full(size, np.inf),
        duration=amounts(size),
        work=unit * amounts(size, resources),
    )
    held = np.flatnonzero(rng.random(len(pairs)) < 0.1)
    held = held[np.unique(claim_task[held], return_index=True)[1]]
    who = rng.integers(NOBODY, coprocessors, len(held))
    commitments = Commitments(
        ids=tuple(f"k-{i}" for i in range(len(held))),
        task=claim_task[held],
        operator=claim_operator[held],
        claim=held,
        coprocessor=who,
        collateral=unit * amounts(len(held)),
        work=unit * amounts(len(held), resources),
        success_probability=rng.choice(PROBABILITIES, len(held)),
        release_at=np.full(len(held), 60.0),
    )
    risk = [
        RiskLimit("expected", "network", budget=money * 20.0),
        RiskLimit("cvar", "network", budget=money, level=0.9),
        RiskLimit("expected", "operator", budget=money * 5.0),
        RiskLimit("expected", "coprocessor", budget=money * 3.0),
        RiskLimit("expected", "network"),
        RiskLimit("expected", "operator", member=int(rng.integers(operators)), budget=money * 2.0),
    ]
    if coprocessors:
        member = int(rng.integers(coprocessors))
        risk.append(RiskLimit("expected", "coprocessor", member=member, budget=money * 2.0))
    return Instance(
        name=f"random {seed}",
        currency="unit",
        decimals=18,
        now=5.0,
        resources=tuple(f"r-{k}" for k in range(resources)),
        operators=Operators(
            ids=tuple(f"op-{v}" for v in range(operators)),
            stake=money * limits(operators),
            capacity=unit * limits(operators, resources),
        ),
        coprocessors=Coprocessors(
            ids=tuple(f"cp-{c}" for c in range(coprocessors)),
            capacity=unit * limits(coprocessors, resources),
            free_collateral=unit * limits(coprocessors),
            outage_probability=np.zeros(coprocessors),
            serial=rng.random(coprocessors) < 0.6,
            free_at=rng.choice([0.0, 7.0, 15.0], coprocessors),
            load_curve=(None,) * coprocessors,
        ),
        tasks=Tasks(
            ids=tuple(f"t-{a}" for a in range(tasks)),
            minimum_collateral=unit * rng.choice([0.0, 0.0, 1.0], tasks),
            deadline=rng.choice(DEADLINES, tasks),
            required=rng.random(tasks) < 0.2,
            unassigned_cost=money * amounts(tasks),
            replicas=np.ones(tasks, dtype=np.int64),
            quorum=np.ones(tasks, dtype=np.int64),
        ),
        claims=claims,
        offers=offers,
        commitments=commitments,
        terms=Terms(
            bid_paid="on_success" if rng.random() < 0.5 else "always",
            burned=0.5,
            operator=0.25,
            treasury=0.25,
            collateral_rate=2.0,
        ),
        risk=tuple(risk[i] for i in rng.permutation(len(risk))),
    )


@st.composite
def rounds(draw: st.DrawFn) -> Instance:
    """Small rounds of every shape, some with hardly any offers, some with amounts in wei or tiny."""
    return random_round(
        draw(st.integers(0, 2**32 - 1)),
        operators=draw(st.integers(1, 3)),
        coprocessors=draw(st.integers(0, 4)),
        tasks=draw(st.integers(0, 8)),
        resources=draw(st.integers(0, 3)),
        density=draw(st.sampled_from([0.0, 0.1, 0.5, 0.9])),
        money=draw(st.sampled_from([1.0, 1e18, 1e-9])),
        unit=draw(st.sampled_from([1.0, 1e18, 1e-9])),
    )


def small_round() -> Instance:
    """Two operators, two coprocessors and four tasks: small enough to write the matrix down by hand.

    Coprocessor 1 works serially and is free at 100, the clock stands at 40. Task 2 is held by a commitment,
    task 3 has no offer that can be chosen; offer 5 is for rescue only and offer 6 posts too little.
    """
    return Instance(
        name="small",
        currency="unit",
        decimals=18,
        now=40.0,
        resources=("compute", "memory"),
        operators=Operators(
            ids=("op-0", "op-1"),
            stake=numbers(50.0, np.inf),
            capacity=np.array([[3.0, np.inf], [np.inf, np.inf]]),
        ),
        coprocessors=Coprocessors(
            ids=("cp-0", "cp-1"),
            capacity=np.array([[10.0, 8.0], [np.inf, 4.0]]),
            free_collateral=numbers(np.inf, 30.0),
            outage_probability=numbers(0.0, 0.0),
            serial=np.array([False, True]),
            free_at=numbers(0.0, 100.0),
            load_curve=(None, None),
        ),
        tasks=Tasks(
            ids=("t-0", "t-1", "t-2", "t-3"),
            minimum_collateral=numbers(5.0, 0.0, 0.0, 0.0),
            deadline=numbers(400.0, 200.0, 1000.0, np.inf),
            required=np.array([False, True, True, False]),
            unassigned_cost=numbers(2.0, 0.0, 64.0, 0.5),
            replicas=indices(1, 1, 1, 1),
            quorum=indices(1, 1, 1, 1),
        ),
        claims=Claims(
            task=indices(0, 0, 1, 2),
            operator=indices(0, 1, 0, 0),
            reward=numbers(16.0, 20.0, 8.0, 10.0),
            slashing=numbers(32.0, 24.0, 12.0, 20.0),
        ),
        offers=Offers(
            ids=("o-0", "o-1", "o-2", "o-3", "o-4", "o-5", "o-6"),
            task=indices(0, 0, 0, 1, 1, 1, 0),
            operator=indices(0, 1, 0, 0, 0, 0, 1),
            claim=indices(0, 1, 0, 2, 2, 2, 1),
            coprocessor=indices(0, 1, NOBODY, 1, NOBODY, 0, 0),
            stage=indices(1, 1, 1, 1, 1, 2, 1),
            bid=numbers(4.0, 6.0, 3.0, 2.0, 1.0, 2.0, 1.0),
            collateral=numbers(8.0, 16.0, 0.0, 4.0, 0.0, 4.0, 4.0),
            success_probability=numbers(0.75, 0.5, 1.0, 0.875, 0.25, 1.0, 1.0),
            concentration=np.full(7, np.inf),
            duration=numbers(60.0, 90.0, 30.0, 50.0, 20.0, 1.0, 1.0),
            work=np.array(
                [[2.0, 1.0], [4.0, 0.0], [2.5, 3.0], [1.5, 2.0], [1.0, 1.0], [9.0, 9.0], [9.0, 9.0]]
            ),
        ),
        commitments=Commitments(
            ids=("k-0",),
            task=indices(2),
            operator=indices(0),
            claim=indices(3),
            coprocessor=indices(0),
            collateral=numbers(5.0),
            work=np.array([[1.0, 2.0]]),
            success_probability=numbers(0.75),
            release_at=numbers(500.0),
        ),
        terms=Terms(bid_paid="on_success", burned=0.5, operator=0.5, collateral_rate=0.25),
        risk=(
            RiskLimit("expected", "operator", member=0, budget=15.0),
            RiskLimit("expected", "network", budget=30.0),
            RiskLimit("expected", "coprocessor", budget=9.0),
        ),
    )
