"""The limits of a round: which rows the model has, what each means, and what its bounds are.

Every formulation builds exactly these rows; names of limits in plans, prices and conflicts come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields, sum_by_owner
from bondwork.base.money import all_in_units, amount_of, as_counted, in_units
from bondwork.problem.instance import NOBODY
from bondwork.problem.teams import held_teams, member_slashing, team_slashing
from bondwork.problem.values import is_committed, is_eligible

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance, RiskLimit


#: What is left of a limit after the commitments is nothing where it is less than this share of the limit:
#: decimals that add up exactly on paper need not do so in binary.
ROUNDING = 1e-12


class LimitKind(IntEnum):
    """What a row of the model limits; ``owner`` and ``detail`` of a limit are read by its kind."""

    TASK = 0  #: at most one team of executors (exactly one where required); owner: task
    CAPACITY = 1  #: work of a coprocessor; owner: coprocessor, detail: resource
    OPERATOR_CAPACITY = 2  #: work an operator executes itself; owner: operator, detail: resource
    COLLATERAL = 3  #: collateral posted; owner: coprocessor
    STAKE = 4  #: slashing an operator exposes itself to; owner: operator
    DEADLINE = 5  #: durations of a serial coprocessor; owner: coprocessor, ``deadline`` holds the time
    EXPECTED_LOSS_NETWORK = 6  #: expected slashing of all; owner: NOBODY, detail: risk limit
    EXPECTED_LOSS_OPERATOR = 7  #: expected slashing of one operator; owner: operator, detail: risk limit
    EXPECTED_LOSS_COPROCESSOR = 8  #: expected slashing of what one coprocessor does; likewise


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """The M limits of a round, in the order of the rows.

    Attributes
    ----------
    kind, owner, detail
        Shape (M,), int. See `LimitKind`.
    deadline
        Shape (M,). Clock time for `LimitKind.DEADLINE`, else ``nan``.
    budget, committed
        Shape (M,). The limit as the round states it, and what the commitments alone take of it. Collateral
        that they hold is off ``free_collateral`` already, and so is the time of serial coprocessors.
    lower, upper
        Shape (M,). Bounds of the row, what commitments hold already taken off: nothing is left, and no less,
        where they exceed the limit. Money as a ledger counts it.
    """

    instance: Instance
    kind: IntArray
    owner: IntArray
    detail: IntArray
    deadline: FloatArray
    budget: FloatArray
    committed: FloatArray
    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "kind", "owner", "detail", "deadline", "budget", "committed", "lower", "upper")

    def __len__(self) -> int:
        return len(self.kind)

    def exceeded(self) -> IntArray:
        """Rows whose limit the commitments alone exceed, ascending; money as a ledger counts it."""
        over = exceeds(self.committed, self.budget)
        instance, taken = self.instance, _units_at_stake(self.instance)
        for row in self.of_kind(LimitKind.STAKE).tolist():
            if int(self.owner[row]) in taken:
                stake = in_units(float(self.budget[row]), instance.decimals)
                over[row] = taken[int(self.owner[row])] > stake
        for row in self.of_kind(LimitKind.COLLATERAL).tolist():
            over[row] = self.budget[row] < 0.0 and in_units(float(self.budget[row]), instance.decimals) < 0
        return np.flatnonzero(over)

    def of_kind(self, kind: LimitKind) -> IntArray:
        """Row numbers of one kind, ascending."""
        return np.flatnonzero(self.kind == kind)

    def label(self, row: int) -> str:
        """Name of a limit as plans show it, such as ``collateral of cp-2``."""
        kind, owner = LimitKind(self.kind[row]), int(self.owner[row])
        instance = self.instance
        match kind:
            case LimitKind.TASK:
                return f"task {instance.tasks.ids[owner]}"
            case LimitKind.CAPACITY:
                resource = instance.resources[self.detail[row]]
                return f"capacity {resource} of {instance.coprocessors.ids[owner]}"
            case LimitKind.OPERATOR_CAPACITY:
                resource = instance.resources[self.detail[row]]
                return f"capacity {resource} of {instance.operators.ids[owner]}"
            case LimitKind.COLLATERAL:
                return f"collateral of {instance.coprocessors.ids[owner]}"
            case LimitKind.STAKE:
                return f"stake of {instance.operators.ids[owner]}"
            case LimitKind.DEADLINE:
                return f"deadline {self.deadline[row]:.15g} of {instance.coprocessors.ids[owner]}"
            case LimitKind.EXPECTED_LOSS_NETWORK:
                return "expected loss of network"
            case LimitKind.EXPECTED_LOSS_OPERATOR:
                return f"expected loss of {instance.operators.ids[owner]}"
            case LimitKind.EXPECTED_LOSS_COPROCESSOR:
                return f"expected loss of {instance.coprocessors.ids[owner]}"


def enumerate_limits(instance: Instance) -> Limits:
    """List the limits of a round (MODEL 1; 2.2 to 2.4, 2.8 to 2.10; 5 ``expected``) in a fixed order.

    Tasks that a commitment already holds have no row: nothing about them is left to decide. What is not
    limited has no row either. Commitments that alone exceed a limit leave nothing of it: what takes some of
    it cannot be chosen, and everything else can.
    """
    parts = [
        _task_limits(instance),
        *_capacity_limits(instance),
        _collateral_limits(instance),
        _stake_limits(instance),
        _deadline_limits(instance),
        *(
            _expected_loss_limits(instance, i, r)
            for i, r in enumerate(instance.risk)
            if r.measure == "expected" and np.isfinite(r.budget)
        ),
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Limits(instance, *columns)


_Part = tuple[
    "IntArray", "IntArray", "IntArray", "FloatArray", "FloatArray", "FloatArray", "FloatArray", "FloatArray"
]


def _part(
    kind: LimitKind,
    owner: IntArray,
    budget: FloatArray,
    committed: FloatArray | float = 0.0,
    *,
    detail: IntArray | int = NOBODY,
    deadline: FloatArray | float = np.nan,
    lower: FloatArray | float = -np.inf,
    upper: FloatArray | None = None,
) -> _Part:
    size = len(owner)
    budget = np.asarray(budget, dtype=np.float64)
    committed = np.broadcast_to(np.asarray(committed, dtype=np.float64), size)
    return (
        np.full(size, int(kind), dtype=np.int64),
        np.asarray(owner, dtype=np.int64),
        np.broadcast_to(np.asarray(detail, dtype=np.int64), size),
        np.broadcast_to(np.asarray(deadline, dtype=np.float64), size),
        budget,
        committed,
        np.broadcast_to(np.asarray(lower, dtype=np.float64), size),
        left_of(budget, committed) if upper is None else upper,
    )


def left_of(limit: FloatArray, held: FloatArray) -> FloatArray:
    """Return what commitments leave of limits: nothing where they exceed one, or reach it by rounding."""
    left = limit - held
    return np.where(left <= ROUNDING * np.abs(limit), 0.0, left)


def exceeds(held: FloatArray, limit: FloatArray) -> BoolArray:
    """Whether what commitments alone take is above limits, and not by rounding."""
    above: BoolArray = held - limit > ROUNDING * np.abs(limit)
    return above


def _task_limits(instance: Instance) -> _Part:
    tasks = np.flatnonzero(~is_committed(instance))
    lower = np.where(instance.tasks.required[tasks], 1.0, -np.inf)
    return _part(LimitKind.TASK, tasks, np.ones(len(tasks)), lower=lower)


def _capacity_limits(instance: Instance) -> tuple[_Part, _Part]:
    commitments = instance.commitments
    delegated = commitments.coprocessor != NOBODY
    parts = []
    for kind, owners, mine, whose in (
        (LimitKind.CAPACITY, instance.coprocessors, delegated, commitments.coprocessor),
        (LimitKind.OPERATOR_CAPACITY, instance.operators, ~delegated, commitments.operator),
    ):
        held = np.zeros_like(owners.capacity)
        np.add.at(held, whose[mine], commitments.work[mine])
        owner, resource = np.nonzero(np.isfinite(owners.capacity))
        parts.append(
            _part(kind, owner, owners.capacity[owner, resource], held[owner, resource], detail=resource)
        )
    return parts[0], parts[1]


def _collateral_limits(instance: Instance) -> _Part:
    limited = np.isfinite(instance.coprocessors.free_collateral)
    for limit in instance.risk:
        if limit.measure == "solvency":  # it replaces the collateral budget (MODEL 5)
            limited[slice(None) if limit.member is None else limit.member] = False
    owner = np.flatnonzero(limited)
    free = instance.coprocessors.free_collateral[owner]
    left = np.maximum(as_counted(free, instance.decimals), 0.0)
    return _part(LimitKind.COLLATERAL, owner, free, upper=left)


def _stake_limits(instance: Instance) -> _Part:
    claims, held = instance.claims, np.unique(instance.commitments.claim)  # a task is slashed once
    exposed = sum_by_owner(claims.operator[held], claims.slashing[held], len(instance.operators))
    owner = np.flatnonzero(np.isfinite(instance.operators.stake))
    stake, decimals, taken = instance.operators.stake[owner], instance.decimals, _units_at_stake(instance)
    left = as_counted(stake, decimals)
    for place in np.flatnonzero(np.isin(owner, list(taken))).tolist():
        units = in_units(float(stake[place]), decimals) - taken[int(owner[place])]
        left[place] = amount_of(max(units, 0), decimals)
    return _part(LimitKind.STAKE, owner, stake, exposed[owner], upper=left)


def _units_at_stake(instance: Instance) -> dict[int, int]:
    """What commitments expose, by operator, in the ledger's units; of a task once."""
    claims, held = instance.claims, np.unique(instance.commitments.claim)
    units = all_in_units(claims.slashing[held], instance.decimals)
    taken: dict[int, int] = {}
    for operator, amount in zip(claims.operator[held].tolist(), units, strict=True):
        taken[operator] = taken.get(operator, 0) + amount
    return taken


def _deadline_limits(instance: Instance) -> _Part:
    offers, coprocessors = instance.offers, instance.coprocessors
    deadline = instance.tasks.deadline[offers.task]
    timed = is_eligible(instance) & ~offers.is_self & np.isfinite(deadline)
    timed[timed] = coprocessors.serial[offers.coprocessor[timed]]
    pairs = np.unique(np.column_stack([offers.coprocessor[timed], deadline[timed]]), axis=0)
    owner = pairs[:, 0].astype(np.int64)
    free_from = np.maximum(coprocessors.free_at[owner], instance.now)
    return _part(LimitKind.DEADLINE, owner, pairs[:, 1] - free_from, deadline=pairs[:, 1])


def _expected_loss_limits(instance: Instance, index: int, limit: RiskLimit) -> _Part:
    teams = held_teams(instance)
    held = team_slashing(instance, teams)
    if limit.scope == "network":
        already = np.array([held.sum()])
        return _part(
            LimitKind.EXPECTED_LOSS_NETWORK,
            np.array([NOBODY]),
            np.array([limit.budget]),
            already,
            detail=index,
        )
    if limit.scope == "operator":
        kind, whose = LimitKind.EXPECTED_LOSS_OPERATOR, instance.claims.operator[teams.claim]
        size = len(instance.operators)
    else:
        kind, whose = LimitKind.EXPECTED_LOSS_COPROCESSOR, instance.commitments.coprocessor[teams.member]
        held, size = member_slashing(instance, teams), len(instance.coprocessors)
    members = np.arange(size) if limit.member is None else np.array([limit.member])
    already = sum_by_owner(whose, held, size)[members]
    return _part(kind, members, np.full(len(members), limit.budget), already, detail=index)
