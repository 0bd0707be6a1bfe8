"""A plan as orders to lock: which, when, in which sequence to prove them, and what each should earn.

The cluster proves one order after the other, the most urgent first. An order is locked at the time that the
import chose; where waiting for it would make one behind it late, all are locked before their turn instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bondwork.exporters.matching import check_plan
from bondwork.importers.boundless import price_at
from bondwork.problem.reading import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.importers.boundless_orders import Order
    from bondwork.plan.plan import Assignment, Plan

#: A second of slack for durations that are no whole numbers.
_SLACK = 1e-6


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OrderLock(_Record):
    """One order to lock. Prices and profits in ETH, collateral in ZKC, times in Unix seconds."""

    sequence: int = Field(ge=1, description="Its turn on its prover.")
    order: str
    prover: str
    lock_at: float = Field(description="When to lock it, if it is still open then.")
    price: float | None = Field(description="Price then; null where it was moved and no orders were given.")
    collateral: float
    prove_from: float
    done_by: float
    deadline: float | None = Field(description="Less what the broker keeps free before it.")
    success_probability: float
    expected_profit: float | None = Field(description="Costs, failures and lost races taken off.")
    expected_slashing: float
    is_moved: bool = Field(description="Locked earlier than planned, so that what is behind it is in time.")


class LockList(_Record):
    """Orders to lock, in the sequence in which they are proved."""

    format: Literal["bondwork.locks/1"]
    now: float
    locks: list[OrderLock]
    expected_profit: float | None
    expected_slashing: float
    collateral: float

    def to_json(self) -> str:
        """Write the list as one JSON document."""
        return self.model_dump_json(indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class _Job:
    """An assignment with its times."""

    assignment: Assignment
    order: str
    reward: float
    lock_at: float
    duration: float
    deadline: float | None


def list_locks(document: Mapping[str, Any], plan: Plan, orders: Sequence[Order] = ()) -> LockList:
    """List the orders that a plan locks.

    Parameters
    ----------
    document
        The round, from `bondwork.importers.boundless.make_round` or a planner's ``prepare``.
    plan
        Its plan.
    orders
        To price orders that have to be locked earlier than planned.

    Raises
    ------
    InvalidInput
        The plan is not this round's, or breaks its limits.
    Refusal
        The plan holds nothing.
    """
    instance = read_document(dict(document))
    check_plan(instance, plan)
    offers = {each.get("id"): each for each in document.get("offers", [])}
    tasks = {each["id"]: each for each in document["tasks"]}
    free_at = {
        name: max(float(at), instance.now)
        for name, at in zip(instance.coprocessors.ids, instance.coprocessors.free_at, strict=True)
    }
    by_prover: dict[str, list[_Job]] = {}
    for each in plan.assignments:
        task = tasks[each.task]
        duration = float(offers.get(each.offer, {}).get("duration", 0.0))
        at = _lock_time(each, instance.now)
        job = _Job(each, each.task, _reward(task, each.operator), at, duration, task.get("deadline"))
        by_prover.setdefault(each.executor, []).append(job)
    known = {each.id: each for each in orders}
    locks: list[OrderLock] = []
    for prover, jobs in by_prover.items():
        locks += _sequence(jobs, free_at.get(prover, instance.now), known)
    profits = [each.expected_profit for each in locks]
    return LockList(
        format="bondwork.locks/1",
        now=instance.now,
        locks=locks,
        expected_profit=None if None in profits else sum(each for each in profits if each is not None),
        expected_slashing=sum(each.expected_slashing for each in locks),
        collateral=sum(each.collateral for each in locks),
    )


def _lock_time(each: Assignment, now: float) -> float:
    """The time that an imported offer has in its id; now for other offers."""
    order, mark, at = each.offer.rpartition("@")
    return max(float(at), now) if mark and order == each.task and at.isdecimal() else now


def _sequence(jobs: list[_Job], free_at: float, known: Mapping[str, Order]) -> list[OrderLock]:
    """Order the jobs of one prover, the most urgent first, and move locks where waiting would be too long."""
    jobs = sorted(jobs, key=lambda job: (job.deadline is None, job.deadline or 0.0, job.lock_at, job.order))
    starts = _starts(jobs, free_at, [job.lock_at for job in jobs])
    locks = [job.lock_at for job in jobs]
    if any(
        job.deadline is not None and start + job.duration > job.deadline + _SLACK
        for job, start in zip(jobs, starts, strict=True)
    ):
        # without waiting the plan's own deadlines hold, so no order may be locked after its turn comes
        turns = _starts(jobs, free_at, [free_at] * len(jobs))
        locks = [min(lock, turn) for lock, turn in zip(locks, turns, strict=True)]
        starts = _starts(jobs, free_at, locks)
    return [
        _lock(number, job, lock, start, known.get(job.order))
        for number, (job, lock, start) in enumerate(zip(jobs, locks, starts, strict=True), start=1)
    ]


def _starts(jobs: list[_Job], free_at: float, locks: list[float]) -> list[float]:
    starts, free = [], free_at
    for job, lock in zip(jobs, locks, strict=True):
        starts.append(max(free, lock))
        free = starts[-1] + job.duration
    return starts


def _lock(number: int, job: _Job, at: float, start: float, order: Order | None) -> OrderLock:
    each = job.assignment
    is_moved = at < job.lock_at
    price: float | None = job.reward
    profit: float | None = each.expected_net_reward
    if is_moved and order is None:
        price = profit = None
    elif is_moved and order is not None:
        # at least so much: what is locked earlier is also less likely to be gone
        price = float(Decimal(price_at(order.offer, int(at))).scaleb(-18))
        profit = each.expected_net_reward - each.success_probability * (job.reward - price)
    return OrderLock(
        sequence=number,
        order=job.order,
        prover=each.executor,
        lock_at=at,
        price=price,
        collateral=each.collateral,
        prove_from=start,
        done_by=start + job.duration,
        deadline=job.deadline,
        success_probability=each.success_probability,
        expected_profit=profit,
        expected_slashing=each.expected_slashing,
        is_moved=is_moved,
    )


def _reward(task: Mapping[str, Any], operator: str) -> float:
    """What the task pays: the price of the order at the time that was planned."""
    claims = task.get("claims")
    claim = task if claims is None else next(each for each in claims if each["operator"] == operator)
    return float(claim.get("reward") or 0.0)
