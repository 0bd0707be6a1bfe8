"""Load the compiled kernels, which numba keeps on disk beside the package after the first run."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from bondwork.strategies.lagrangian.knapsack import probe_columns, solve_blocks
from bondwork.strategies.lagrangian.losses import (
    add_losses,
    expected_losses,
    no_runs,
    only_scenarios,
    project_density,
)
from bondwork.strategies.lagrangian.row_dual import descend_rows
from bondwork.strategies.lagrangian.search import anneal, fill


@cache
def load_kernels() -> float:
    """Run every kernel once on one task, one block and one row; returns the seconds that took.

    About a third of a second from the cache, and 10 to 20 seconds where they have to be compiled first.
    """
    started = time.perf_counter()
    zero, one = np.zeros(1), np.ones(1)
    first, pointer = np.zeros(1, dtype=np.int64), np.array([0, 1])
    yes, no = np.ones(1, dtype=bool), np.zeros(1, dtype=bool)
    stop, assigned = np.zeros(1, dtype=np.int64), np.full(1, -1)
    entries = (pointer, first, one)
    descend_rows(
        one, pointer, first, zero, *entries, zero.copy(), one, 0.5, 1, zero.copy(), np.zeros((3, 1)), 0, stop
    )
    blocks = (0, 1, pointer, pointer, first, one, one)
    solve_blocks(*blocks, no, zero, zero.copy(), 10, no.copy(), zero.copy(), stop)
    probe_columns(*blocks, zero.copy(), 10, one, 1.0, yes.copy(), stop)
    state = np.ones(1, dtype=np.uint64)
    tasks = (pointer, first, zero)
    runs = no_runs(1)
    tails = (runs, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    only_scenarios(runs, first[:0], np.zeros(0))
    add_losses(one, runs, np.zeros(0))
    expected_losses(np.zeros(0), runs, np.zeros(0))
    project_density(one.copy(), one, 1.0)
    anneal(
        one, first, *tasks, *entries, 1, 1, assigned.copy(), assigned.copy(), state, 1.0, 0.5, 1, *tails, stop
    )
    fill(first, first, *entries, zero.copy(), assigned.copy())
    return time.perf_counter() - started
