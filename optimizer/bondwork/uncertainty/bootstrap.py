"""A round beside a history: its scenarios are then rounds of the past, drawn with replacement."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.faults import Fault, InvalidInput
from bondwork.problem.instance import PastRates
from bondwork.uncertainty.history import OutcomeHistory, read_history

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bondwork.problem.instance import Instance


def with_history(
    instance: Instance, history: OutcomeHistory | str | Path | bytes | Mapping[str, Any]
) -> Instance:
    """Return a round whose outcomes are resampled from a history instead of modelled.

    Each scenario is a round of the past, the same for all executors: their failures come together as they
    did. Marginal success probabilities stay those of the round; its dependence and outages, which a history
    holds already, are not used. ``sha256`` stays the round's; a plan names the history beside it.

    Parameters
    ----------
    instance
        The round, from `bondwork.load`.
    history
        A history, or where `read_history` finds it. It may hold more executors than the round.

    Raises
    ------
    InvalidInput
        With every fault of the history, or every executor of offers and commitments of which it holds
        nothing.

    Notes
    -----
    It cannot show what never happened: with T rounds, no tail is known beyond their worst. Fresh scenarios
    for `out_of_sample` come from the same rounds.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 4}],
    ...     "offers": [{"task": "t", "coprocessor": "cp", "bid": 1, "success_probability": 0.75}],
    ... })
    >>> history = OutcomeHistory.from_rows([("1", "cp", 4, 1), ("2", "cp", 2, 2)])
    >>> with_history(instance, history).uncertainty.history.rates[:, 0].tolist()
    [0.25, 1.0]
    """
    past = history if isinstance(history, OutcomeHistory) else read_history(history)
    executors = [*instance.coprocessors.ids, *instance.operators.ids]
    needed = _executors_at_work(instance)
    unknown = past.without_work(executors[number] for number in needed)
    if unknown:
        raise InvalidInput(
            Fault(f"history.{name}", "nothing", "work done by this executor of the round in a past round")
            for name in unknown
        )
    rates = np.zeros((len(past.done), len(executors)))
    worked = np.zeros(rates.shape, dtype=bool)
    named = [executors[number] for number in needed]
    rates[:, needed] = past.rates(named)
    worked[:, needed] = past.done[:, [past.executors.index(name) for name in named]] > 0
    uncertainty = dataclasses.replace(
        instance.uncertainty, sampling="bootstrap", history=PastRates(rates, worked, past.sha256)
    )
    return dataclasses.replace(instance, uncertainty=uncertainty)


def _executors_at_work(instance: Instance) -> list[int]:
    """Executors of offers and commitments: coprocessors, then operators."""
    coprocessor = np.concatenate([instance.offers.coprocessor, instance.commitments.coprocessor])
    operator = np.concatenate([instance.offers.operator, instance.commitments.operator])
    executor = np.where(coprocessor >= 0, coprocessor, len(instance.coprocessors) + operator)
    numbers: list[int] = np.unique(executor).tolist()
    return numbers
