"""Work that turns out otherwise than estimated: what it does to the capacity that a choice needs.

The round's format has no law for work, and a one-stage round limits estimated work. Work overruns touch
capacity only (MODEL 3), never p or rewards; so they are looked at here, beside the round, for a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.uncertainty.points import Method, UnitPoints

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.counts import WorkOverrun
    from bondwork.uncertainty.seeds import Seed


@dataclass(frozen=True, slots=True, eq=False)
class LoadSample:
    """Work that C coprocessors turn out to have, of R resources, in S equally likely scenarios.

    Attributes
    ----------
    loads
        Shape (S, C, R), in the unit of each resource; commitments included as they are.
    capacity
        Shape (C, R). Infinite where there is no limit.
    """

    loads: FloatArray
    capacity: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "loads", "capacity")

    def overload_probability(self) -> FloatArray:
        """Share of scenarios in which there is more work than capacity. Shape (C, R)."""
        over = self.loads > self.capacity * (1.0 + 1e-9)
        return np.asarray(over.mean(axis=0), dtype=np.float64)


def sample_loads(
    instance: Instance,
    offers: ArrayLike,
    overrun: WorkOverrun,
    *,
    scenarios: int = 1024,
    seed: Seed,
    method: Method = "sobol",
) -> LoadSample:
    """Draw the work of a choice: one factor for each task, the same at whoever executes it.

    Parameters
    ----------
    instance
        The round.
    offers
        Indices or mask of what is chosen; self-execution counts at nobody's coprocessor.
    overrun
        Actual over estimated work.
    scenarios, seed, method
        See `bondwork.uncertainty.sampling.sample_round`.

    Notes
    -----
    A check beside the plan, not a limit of it: to keep capacity free for overruns, raise ``work`` in the
    round by a quantile of the factor.

    Examples
    --------
    >>> import bondwork
    >>> from bondwork.uncertainty import Values, WorkOverrun
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp", "capacity": {"compute": 5.0}}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 4, "work": {"compute": 4.0}}],
    ...     "offers": [{"task": "t", "coprocessor": "cp", "bid": 1, "success_probability": 0.75}],
    ... })
    >>> law = WorkOverrun(Values((1.0, 1.5), (0.75, 0.25)))
    >>> sample_loads(instance, [0], law, seed=1).overload_probability().tolist()
    [[0.25]]
    """
    chosen = np.arange(len(instance.offers))[np.asarray(offers)]
    chosen = chosen[instance.offers.coprocessor[chosen] >= 0]
    task, owner = instance.offers.task[chosen], instance.offers.coprocessor[chosen]
    tasks, place = np.unique(task, return_inverse=True)
    points = UnitPoints(method, scenarios, len(tasks), seed)
    capacity = instance.coprocessors.capacity
    base = np.zeros(capacity.shape)
    held = instance.commitments
    np.add.at(base, held.coprocessor[held.coprocessor >= 0], held.work[held.coprocessor >= 0])
    loads = np.repeat(base[None], scenarios, axis=0)
    for number in range(len(tasks)):
        factor = overrun.ppf(points.coordinate(number))
        for each in np.flatnonzero(place == number):
            loads[:, owner[each]] += factor[:, None] * instance.offers.work[chosen[each]]
    return LoadSample(loads, capacity)
