"""What a prover's broker does today: sort by one key, take what fits. A baseline, blind to failure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np

from bondwork.contracts import Observer, Options, Progress, Solution
from bondwork.market.priorities import MODES, Mode, commitment_order
from bondwork.problem.faults import Refusal
from bondwork.program.choice_bound import choice_bound
from bondwork.program.filling import Filling
from bondwork.settings import Setting, read_settings

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program


class Broker:
    """Take tasks in the order of one key while collateral, capacity and deadlines allow.

    Of the offers for a task that pay more than they cost, the quickest is taken, then the cheapest. Success
    probabilities and slashing play no part. Required tasks come first. See `bondwork.market.priorities`.

    When not to use it: to earn anything. It is the line that a policy has to beat.
    """

    summary = "A prover's broker of today: tasks by price, cycle price or expiry, blind to failure."
    #: A rule is what it is: plans near what it chooses are not looked for.
    by_rule = True
    settings = MappingProxyType(
        {"order": Setting("cycle_price", "In which order tasks are committed to.", MODES)}
    )

    def __init__(self) -> None:
        self._instance: Instance | None = None

    def at_round(self, instance: Instance) -> Broker:
        """Return the strategy with the round whose prices and deadlines it needs; the road calls this."""
        bound = type(self)()
        bound._instance = instance
        return bound

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`. The bound is that of the best choice for each task."""
        instance = self._instance
        if instance is None:
            raise TypeError("a broker needs the round: at_round(instance).solve(...)")
        if program.teams is not None and not program.teams.is_single:
            raise Refusal(["a broker gives every task once; tasks with replicas need another strategy"])
        mode = cast("Mode", read_settings(self, options.settings)["order"])
        columns = program.columns[: program.choices]
        filling = Filling(program)
        order = _order(instance, columns, mode, np.random.default_rng(options.random_seed))
        filling.add_all(order, needed=True)
        bound = choice_bound(program)
        value = program.value(filling.x)
        if not filling.is_complete():
            return Solution("locally_infeasible", None, bound, partial=filling.x)
        observer.report(Progress(0.0, value, bound, "broker"))
        return Solution("locally_solved", filling.x, max(bound, value))


def _order(instance: Instance, columns: IntArray, mode: Mode, rng: np.random.Generator) -> IntArray:
    """Columns in the order in which a broker tries them; what costs more than it pays only if required."""
    offers, tasks = instance.offers, instance.tasks
    task, seconds = offers.task[columns], offers.duration[columns]
    price = instance.claims.reward[offers.claim[columns]]
    work = offers.work[columns]
    cycles = work[:, 0] if work.shape[1] else seconds
    best = np.lexsort((offers.bid[columns], seconds, task))  # a task's quickest, then cheapest offer first
    _, first = np.unique(task[best], return_index=True)
    lead = best[first]
    sorted_tasks = commitment_order(
        mode,
        price=price[lead],
        cycles=cycles[lead],
        expiry=tasks.deadline[task[lead]],
        seconds=seconds[lead],
        rng=rng,
    )
    rank = np.empty(len(tasks), dtype=np.int64)
    rank[task[lead][sorted_tasks]] = np.arange(len(lead))
    required = tasks.required[task]
    order = np.lexsort((offers.bid[columns], seconds, rank[task], ~required))
    pays = price > offers.bid[columns]
    found: IntArray = order[(pays | required)[order]]
    return found
