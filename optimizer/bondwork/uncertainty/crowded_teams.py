"""Chances of a team some of whose members are at one executor, as commitments of one task may be.

They share the executor's factor and its outages besides the common factor. Given both factors all pieces are
independent, so that the averages are two integrals, one inside the other. An executor that fails in several
pieces is to blame once: for the first of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from bondwork.uncertainty.common_factor import FactorModel, resampled_success
from bondwork.uncertainty.normal_nodes import normal_pieces, window
from bondwork.uncertainty.team_chances import Chances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.outcomes import OutcomeLaw


def crowded_chances(law: OutcomeLaw, team: IntArray, quorum: int) -> Chances:
    """Chances of one team of which some members are at the same executor: it shares its factor and outages.

    Parameters
    ----------
    law
        Joint law of pieces of work whose success probabilities are numbers.
    team
        Shape (k,).
    quorum
        How many must succeed.

    Examples
    --------
    >>> from bondwork.uncertainty.outcomes import OutcomeLaw
    >>> law = OutcomeLaw.of([0, 0], 0.45, outage_probability=0.1)
    >>> float(np.round(crowded_chances(law, np.array([0, 1]), 1).success[0], 12))
    0.675
    """
    model = FactorModel.of(law.select(team))
    factor, weight = np.zeros(1), np.ones(1)
    if model.common > 0.0:
        factor, weight = normal_pieces([model.bends(place) for place in range(len(team))])
    short, with_member = np.zeros(len(factor)), np.zeros((len(team), len(factor)))
    executor = law.executor[team]
    for node, m in enumerate(factor.tolist()):
        groups = [np.flatnonzero(executor == each) for each in np.unique(executor)]
        laws = [_group_law(model, law.dependence.coprocessor, group, m) for group in groups]
        short[node] = _convolve([counts for counts, _ in laws])[:quorum].sum()
        for number, (group, (_, failing)) in enumerate(zip(groups, laws, strict=True)):
            others = [counts for place, (counts, _) in enumerate(laws) if place != number]
            for place, mine in zip(group.tolist(), failing, strict=True):
                with_member[place, node] = _convolve([mine, *others])[:quorum].sum()
    success = np.clip([1.0 - short @ weight], 0.0, 1.0)
    return Chances(success, np.clip(with_member @ weight, 0.0, 1.0)[np.newaxis])


def crowded_past_chances(law: OutcomeLaw, team: IntArray, quorum: int, rates: FloatArray) -> Chances:
    """Return the same where the rounds of a history are resampled: given one, all pieces are independent.

    Parameters
    ----------
    law, team, quorum
        As above.
    rates
        Failure rates of the history, shape (rounds, executors).

    Examples
    --------
    >>> from bondwork.uncertainty.outcomes import OutcomeLaw
    >>> law = OutcomeLaw.of([0, 0], 0.5)
    >>> crowded_past_chances(law, np.array([0, 1]), 2, np.full((3, 1), 0.5)).blame.tolist()
    [[0.5, 0.25]]
    """
    p = resampled_success(law.select(team), rates)
    table = [np.stack([1.0 - each, each]) for each in p]
    executor: list[int] = law.executor[team].tolist()
    short = float(_convolve(table)[:quorum].sum(axis=0).mean())
    blame = [
        float(_convolve(_first_failing(table, executor, place))[:quorum].sum(axis=0).mean())
        for place in range(len(team))
    ]
    return Chances(np.clip([1.0 - short], 0.0, 1.0), np.clip([blame], 0.0, 1.0))


def _first_failing(table: Sequence[FloatArray], executor: Sequence[int], place: int) -> list[FloatArray]:
    """Laws of pieces where one fails, and none before it that is at the same executor."""
    known = [
        np.stack([each[0], np.zeros_like(each[0])]) if i == place else each for i, each in enumerate(table)
    ]
    for i in range(place):
        if executor[i] == executor[place]:
            known[i] = np.stack([np.zeros_like(table[i][1]), table[i][1]])
    return known


def _group_law(
    model: FactorModel, share: float, group: IntArray, m: float
) -> tuple[FloatArray, list[FloatArray]]:
    """Chances of 0 to g successes of one executor's pieces, and the same with each the first to fail."""
    up, own = float(model.up[group[0]]), 1.0 - model.common
    rest = own - share if own - share > 1e-12 else 0.0
    score = scipy.special.ndtri(model.mean[group])
    factor, weight = np.zeros(1), np.ones(1)
    if share > 0.0 and own > 0.0:
        bends = (score - np.sqrt(model.common) * m) / np.sqrt(share)
        factor, weight = normal_pieces([window(bends[[i]], np.sqrt(rest / share)) for i in range(len(bends))])
    gap = score[:, np.newaxis] - np.sqrt(model.common) * m - np.sqrt(share if own > 0.0 else 0.0) * factor
    p = (gap >= 0.0).astype(np.float64) if rest == 0.0 else scipy.special.ndtr(gap / np.sqrt(rest))
    table = [np.stack([1.0 - each, each]) for each in p]
    out = np.zeros(len(group) + 1)
    out[0] = 1.0 - up
    counts = up * (_convolve(table) @ weight) + out
    failing = []
    for i in range(len(group)):
        first = up * (_convolve(_first_failing(table, [0] * len(group), i)) @ weight)
        failing.append(first if i else first + out)  # in an outage the first one fails
    return counts, failing


def _convolve(laws: list[FloatArray]) -> FloatArray:
    """Law of a sum of independent counts; each of shape (values,) or (values, nodes)."""
    total = laws[0]
    for each in laws[1:]:
        longer = np.zeros((len(total) + len(each) - 1, *total.shape[1:]))
        for k, chance in enumerate(each):
            longer[k : k + len(total)] += total * chance
        total = longer
    return total
