"""Later periods with random arrivals: how many tasks come, and of which kinds (MODEL 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.uncertainty.joint_outcomes import merge_rows
from bondwork.uncertainty.points import Method, uniforms
from bondwork.uncertainty.seeds import Seed, child, seed_sequence, stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.laws import Law

_NUMBER, _KIND = 0, 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task that may arrive, with what is offered for each of them.

    Attributes
    ----------
    task
        A task of a later period in the JSON format; its ``id`` names the kind, ``id-1`` the first of them.
    offers, self_execution
        As in the JSON format, without ``task`` and without ids.
    weight
        How common the kind is, relative to the others; > 0.
    lifetime
        Seconds from the period to the task's deadline; ``None`` for none, or for the task's own.
    """

    task: Mapping[str, Any]
    offers: Sequence[Mapping[str, Any]] = ()
    self_execution: Sequence[Mapping[str, Any]] = field(default=())
    weight: float = 1.0
    lifetime: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.weight < np.inf:
            raise ValueError(f"weight is {self.weight!r}, expected a finite number above 0")


def arrival_periods(
    number: Law,
    kinds: Sequence[Kind],
    times: Sequence[float],
    branches: Sequence[int],
    *,
    seed: Seed,
    method: Method = "sobol",
) -> list[dict[str, Any]]:
    """Make the ``periods`` of a round in which tasks arrive at random.

    Parameters
    ----------
    number
        Law of the number of tasks that arrive in a period: `Poisson`, `NegativeBinomial`, `Bootstrap` of
        numbers seen, or any law of whole numbers >= 0.
    kinds
        What arrives; each task is of one of them by their weights, independently.
    times
        Clock times of the periods, ascending: one for each stage after the round itself.
    branches
        As many numbers >= 1: how many equally likely arrivals are drawn for each stage. Those that are alike
        become one period with their probabilities together. What arrives does not depend on the past.
    seed, method
        See `bondwork.uncertainty.points.uniforms`.

    Returns
    -------
    list of dict
        For ``periods`` of a round's document, parents before children.

    Raises
    ------
    ValueError
        For lists of different lengths, no kinds, or a law with negative numbers.

    Examples
    --------
    >>> from bondwork.uncertainty.counts import Poisson
    >>> proof = Kind({"id": "proof", "operator": "op", "reward": 5},
    ...              [{"coprocessor": "cp", "bid": 1, "success_probability": 0.9}])
    >>> periods = arrival_periods(Poisson(1.0), [proof], [60.0], [8], seed=0)
    >>> [(each["id"], each["probability"], len(each["tasks"])) for each in periods]
    [('1', 0.375, 0), ('2', 0.375, 1), ('3', 0.125, 2), ('4', 0.125, 5)]
    """
    if len(times) != len(branches) or any(count < 1 for count in branches):
        raise ValueError(f"times are {list(times)} and branches {list(branches)}: as many, from 1 on")
    if not kinds:
        raise ValueError("kinds is empty, expected at least one")
    root = seed_sequence(seed)
    periods: list[dict[str, Any]] = []
    parents: list[str | None] = [None]
    for stage, (at, count) in enumerate(zip(times, branches, strict=True)):
        arrivals, probability = _arrivals(number, kinds, count, child(root, stage), method)
        following: list[str | None] = []
        for parent in parents:
            for place, (counts, chance) in enumerate(zip(arrivals, probability, strict=True), start=1):
                id_ = str(place) if parent is None else f"{parent}.{place}"
                following.append(id_)
                periods.append(
                    {"id": id_, "parent": parent, "at": at, "probability": float(chance)}
                    | _lists(kinds, counts.tolist(), at)
                )
        parents = following
    return periods


def _arrivals(
    number: Law, kinds: Sequence[Kind], size: int, seed: np.random.SeedSequence, method: Method
) -> tuple[IntArray, FloatArray]:
    """Draw how many of each kind arrive: distinct rows of shape (kinds,), fewest first, and their chances."""
    drawn = np.round(number.ppf(uniforms(method, size, 1, child(seed, _NUMBER))[:, 0]))
    if drawn.min() < 0.0:
        raise ValueError(f"number is {number!r}, which has numbers below 0")
    weight = np.array([kind.weight for kind in kinds])
    rng = stream(seed, _KIND)
    counts = np.stack([rng.multinomial(int(each), weight / weight.sum()) for each in drawn])
    first, chance = merge_rows(counts.astype(np.float64), np.full(size, 1.0 / size))
    order = np.lexsort((*counts[first].T[::-1], counts[first].sum(axis=1)))
    return counts[first[order]], chance[order]


def _lists(kinds: Sequence[Kind], counts: Sequence[int], at: float) -> dict[str, list[dict[str, Any]]]:
    lists: dict[str, list[dict[str, Any]]] = {"tasks": [], "offers": [], "self_execution": []}
    for kind, count in zip(kinds, counts, strict=True):
        for copy in range(1, count + 1):
            id_ = f"{kind.task['id']}-{copy}"
            due = {} if kind.lifetime is None else {"deadline": at + kind.lifetime}
            lists["tasks"].append({**kind.task, **due, "id": id_})
            lists["offers"] += [{**offer, "task": id_} for offer in kind.offers]
            lists["self_execution"] += [{**own, "task": id_} for own in kind.self_execution]
    return lists
