"""Why no first stage and no rescues keep the limits of a round whose first stage alone is feasible."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.observing import Quiet
from bondwork.plan.conflict import CONFLICT_SECONDS, smallest_conflict
from bondwork.plan.plan import Conflict
from bondwork.problem.instance import Objective
from bondwork.problem.limits import LimitKind
from bondwork.program.redelegation import redelegate
from bondwork.risk.limits import members
from bondwork.strategies.extensive import Extensive

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.contracts import Observer, Options
    from bondwork.program.redelegation import Redelegation


def find_two_stage_conflict(model: Redelegation, options: Options, observer: Observer) -> Conflict:
    """Find limits of both stages that cannot hold together, as few as the time allows.

    Limits of the first stage hold in the second, too: left out, they are in neither. Limits on losses are
    those of the round, one for each member, as plans name them. After `CONFLICT_SECONDS`, or when stopped,
    what is known by then is returned as not minimal.
    """
    search = _Search(model, options, observer)
    found = search.items
    # with outcomes that nobody observes known beforehand everything may hold together after all
    proven = not search.can_hold(found)
    if proven:
        found = np.sort(smallest_conflict(found, search.can_hold, lambda: search.gave_up))
    labels = list(dict.fromkeys(search.label(item) for item in found.tolist()))
    return Conflict(limits=labels, minimal=proven and not search.gave_up)


class _Search:
    """Items are numbered: first the rows of the first stage, then the limits on losses by member."""

    def __init__(self, model: Redelegation, options: Options, observer: Observer) -> None:
        self.model, self.options, self.observer = model, options, observer
        seconds = min(CONFLICT_SECONDS, max(options.time_limit, 1.0))
        self.ends = time.perf_counter() + seconds
        self.gave_up = False
        first = self.first = dataclasses.replace(
            model.first, objective=np.zeros_like(model.first.objective), offset=0.0
        )
        self.is_task = first.limits.kind == LimitKind.TASK
        self.losses = [
            (dataclasses.replace(limit, member=None if scope == "network" else member), name)
            for limit in model.instance.risk
            for scope, member, name in members(model.instance, limit)
            if math.isfinite(limit.budget)
        ]
        limiting = (first.row_lower > -math.inf) | ~self.is_task
        tails = len(self.is_task) + np.arange(len(self.losses))
        self.items: IntArray = np.concatenate([np.flatnonzero(limiting), tails])

    def label(self, item: int) -> str:
        """Name of an item, as plans give it."""
        rows = len(self.is_task)
        if item < rows:
            name = self.first.limits.label(item)
            return f"{name} required" if self.is_task[item] else name
        limit, name = self.losses[item - rows]
        return f"expected loss of {name}" if limit.measure == "expected" else f"{limit.measure} of {name}"

    def can_hold(self, items: IntArray) -> bool:
        """Whether the limits ``items`` can hold together, all others left out."""
        left = self.ends - time.perf_counter()
        if left <= 0.0 or self.observer.should_stop():
            self.gave_up = True
            return True  # unknown: keeping a limit in the conflict is the safe side
        rows = len(self.is_task)
        kept = np.zeros(rows, dtype=bool)
        kept[items[items < rows]] = True
        first = dataclasses.replace(
            self.first,
            row_lower=np.where(kept, self.first.row_lower, -math.inf),
            row_upper=np.where(kept | self.is_task, self.first.row_upper, math.inf),
        )
        losses = tuple(self.losses[item - rows][0] for item in items[items >= rows].tolist())
        limited = dataclasses.replace(self.model.instance, risk=losses, objective=Objective())
        written = redelegate(limited, first, self.model.outcomes, self.model.rescues)
        options = dataclasses.replace(self.options, time_limit=left, mip_rel_gap=1.0)
        answer = Extensive().solve_program(written.program, options, Quiet(self.observer))
        if answer.root is None and answer.status != "infeasible":
            self.gave_up = True
        return answer.status != "infeasible"
