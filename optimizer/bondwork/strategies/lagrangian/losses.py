"""Losses by scenario, compiled: what a choice adds to them, and densities over their tails.

Each column has a *run* for each limit that it counts in: the scenarios in which it fails, and what is lost
then. Scenarios of all limits are laid out one after the other.
"""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray, IntArray


class Runs(NamedTuple):
    """Failures by column and limit.

    Attributes
    ----------
    ptr
        Shape (n+1,). Runs of column j are ``ptr[j]:ptr[j+1]``.
    limit, first, last, weight
        Shape (runs,). Which limit; ``failure[first:last]`` are the scenarios; what each of them loses.
    offset
        Shape (k+1,). Scenario s of limit i is at ``offset[i] + s`` in arrays over all scenarios.
    failure
        Scenarios, by run.
    probability
        Shape (offset[-1],).
    """

    ptr: IntArray
    limit: IntArray
    first: IntArray
    last: IntArray
    weight: FloatArray
    offset: IntArray
    failure: NDArray[np.int32]
    probability: FloatArray


def no_runs(columns: int) -> Runs:
    """Runs of a program without tail limits."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    ptr = np.zeros(columns + 1, dtype=np.int64)
    return Runs(ptr, none, none, none, nothing, np.zeros(1, dtype=np.int64), none.astype(np.int32), nothing)


def only_scenarios(runs: Runs, kept: IntArray, probability: FloatArray) -> Runs:
    """Runs over some of the scenarios: ``kept`` (rising places in arrays over all), with ``probability``."""
    new = np.full(runs.offset[-1], -1, dtype=np.int32)
    offset = np.searchsorted(kept, runs.offset).astype(np.int64)
    new[kept] = np.arange(len(kept)) - np.repeat(offset[:-1], np.diff(offset))
    base = runs.offset[runs.limit]
    first, last = np.empty_like(runs.first), np.empty_like(runs.last)
    failure = np.empty(len(runs.failure), dtype=np.int32)
    count = _keep_failures(base, runs.first, runs.last, runs.failure, new, first, last, failure)
    return runs._replace(
        first=first, last=last, offset=offset, failure=failure[:count].copy(), probability=probability
    )


@kernel
def _keep_failures(base, first, last, failure, new, new_first, new_last, kept):
    """Copy the failures whose scenario has a place in ``new``; returns how many."""
    count = 0
    for r in range(len(first)):
        new_first[r] = count
        for e in range(first[r], last[r]):
            s = new[base[r] + failure[e]]
            kept[count] = s
            count += s >= 0
        new_last[r] = count
    return count


@kernel
def shift_losses(j, sign, runs, level, excess, loss):
    """Add (with ``sign`` -1: take away) column j; keeps the expected excess over ``level`` of each limit."""
    for r in range(runs.ptr[j], runs.ptr[j + 1]):
        i = runs.limit[r]
        base = runs.offset[i]
        weight = sign * runs.weight[r]
        edge = level[i]
        change = 0.0
        for e in range(runs.first[r], runs.last[r]):
            s = base + runs.failure[e]
            before = loss[s]
            after = before + weight
            loss[s] = after
            if after > edge or before > edge:
                change += runs.probability[s] * (max(after - edge, 0.0) - max(before - edge, 0.0))
        excess[i] += change


@kernel
def add_losses(share, runs, loss):
    """Add the losses of a fractional plan."""
    for j in range(len(share)):
        if share[j] != 0.0:
            for r in range(runs.ptr[j], runs.ptr[j + 1]):
                base = runs.offset[runs.limit[r]]
                weight = share[j] * runs.weight[r]
                for e in range(runs.first[r], runs.last[r]):
                    loss[base + runs.failure[e]] += weight


@kernel
def expected_losses(density, runs, column_loss):
    """Expected loss of every run under a density of each limit's scenarios."""
    value = density * runs.probability
    for r in range(len(runs.limit)):
        base = runs.offset[runs.limit[r]]
        total = 0.0
        for e in range(runs.first[r], runs.last[r]):
            total += value[base + runs.failure[e]]
        column_loss[r] = runs.weight[r] * total


@kernel
def project_density(wanted, probability, cap):
    """Replace ``wanted`` by the nearest density that is between 0 and ``cap``, and has the mean 1."""
    low, high = wanted.min() - cap, wanted.max()
    for _ in range(60):
        level = 0.5 * (low + high)
        total = 0.0
        for s in range(len(wanted)):
            total += probability[s] * min(cap, max(0.0, wanted[s] - level))
        if total > 1.0:
            low = level
        else:
            high = level
    for s in range(len(wanted)):
        wanted[s] = min(cap, max(0.0, wanted[s] - high))
