"""A period's market as a round, made straight from its arrays: what is simulated needs no check."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import (
    NOBODY,
    Claims,
    Commitments,
    Coprocessors,
    Instance,
    Offers,
    Operators,
    Tasks,
    Terms,
)

if TYPE_CHECKING:
    from bondwork.simulation.market import Market
    from bondwork.simulation.rules import Rules


def make_round(rules: Rules, market: Market) -> Instance:
    """Make the round whose decision is a period's; offers are called by their columns.

    Only tasks of operators that are there stand in it, called by their places in the period.
    """
    c, v = len(market.free), len(market.stake)
    alive = np.flatnonzero(market.operator >= 0)
    number = np.full(len(market.operator), NOBODY)
    number[alive] = np.arange(len(alive))
    a, o = len(alive), len(market.task)
    task = number[market.task]
    tasks = rules.tasks
    columns = (market.task, market.executor, market.bid, market.work, market.probability, market.collateral)
    digest = sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in columns))
    for each in (market.reward_units, market.slashing_units, market.capacity, market.free, market.stake):
        digest.update(each.tobytes())
    return Instance(
        name="period",
        currency="",
        decimals=6,
        now=0.0,
        resources=("work",),
        operators=Operators(_names("op-", v), market.stake, market.capacity[c:, None]),
        coprocessors=Coprocessors(
            ids=_names("cp-", c),
            capacity=market.capacity[:c, None],
            free_collateral=market.free,
            outage_probability=np.zeros(c),
            serial=np.zeros(c, dtype=bool),
            free_at=np.zeros(c),
            load_curve=(None,) * c,
        ),
        tasks=Tasks(
            ids=tuple(map(_names("t-", len(market.operator)).__getitem__, alive.tolist())),
            minimum_collateral=np.zeros(a),
            deadline=np.full(a, np.inf),
            required=np.zeros(a, dtype=bool),
            unassigned_cost=np.zeros(a),
            replicas=np.full(a, tasks.replicas),
            quorum=np.full(a, tasks.quorum),
        ),
        claims=Claims(
            task=np.arange(a),
            operator=market.operator[alive],
            reward=market.reward_units[alive] / 1_000_000,
            slashing=market.slashing_units[alive] / 1_000_000,
        ),
        offers=Offers(
            ids=_names("", o),
            task=task,
            operator=market.owner,
            claim=task,
            coprocessor=np.where(market.is_self, NOBODY, market.executor),
            stage=np.ones(o, dtype=np.int64),
            bid=market.bid,
            collateral=market.collateral,
            success_probability=market.probability,
            concentration=np.full(o, np.inf),
            duration=np.zeros(o),
            work=market.work[:, None],
        ),
        commitments=_NO_COMMITMENTS,
        terms=Terms(
            rules.collateral.bid_paid,
            rules.collateral.burned,
            rules.collateral.operator,
            rules.collateral.rescuer,
            rules.collateral.treasury,
        ),
        sha256=digest.hexdigest(),
    )


_NO_COMMITMENTS = Commitments(
    ids=(),
    task=np.zeros(0, dtype=np.int64),
    operator=np.zeros(0, dtype=np.int64),
    claim=np.zeros(0, dtype=np.int64),
    coprocessor=np.zeros(0, dtype=np.int64),
    collateral=np.zeros(0),
    work=np.zeros((0, 1)),
    success_probability=np.zeros(0),
    release_at=np.zeros(0),
)


@cache
def _every_name(prefix: str, size: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in range(size))


def _names(prefix: str, size: int) -> tuple[str, ...]:
    """The first names of a kind; made in powers of two, so that few lists are kept."""
    return _every_name(prefix, 1 << max(size - 1, 0).bit_length())[:size]
