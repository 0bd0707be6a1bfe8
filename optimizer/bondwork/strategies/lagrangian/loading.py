"""Load the compiled kernels of `lagrangian`: see `bondwork.base.compiled`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.strategies.lagrangian.knapsack import probe_columns, solve_blocks
from bondwork.strategies.lagrangian.losses import (
    add_losses,
    expected_losses,
    no_runs,
    only_scenarios,
    project_density,
)
from bondwork.strategies.lagrangian.row_dual import descend_rows, row_lagrangian
from bondwork.strategies.lagrangian.search import anneal, fill

if TYPE_CHECKING:
    from collections.abc import Callable


def load_kernels(tell: Callable[[str], None]) -> None:
    """Run every kernel once on one task, one block and one row.

    About a third of a second from the cache, and 10 to 20 seconds where they have to be compiled first: the
    shortest first, because each is kept as soon as it is done.
    """
    zero, one = np.zeros(1), np.ones(1)
    first, pointer = np.zeros(1, dtype=np.int64), np.array([0, 1])
    yes, no = np.ones(1, dtype=bool), np.zeros(1, dtype=bool)
    stop, assigned = np.zeros(1, dtype=np.int64), np.full(1, -1)
    entries = (pointer, first, one)
    state = np.ones(1, dtype=np.uint64)
    tasks = (pointer, first, zero)
    runs = no_runs(1)
    tails = (runs, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    tell("prices of all rows")
    row_lagrangian(
        one, pointer, first, zero, *entries, zero.copy(), zero.copy(), zero.copy(), first.copy()
    )  # fmt: skip
    descend_rows(
        one, pointer, first, zero, *entries, zero.copy(), one, 0.5, 1, zero.copy(), np.zeros((3, 1)), 0, stop
    )
    tell("losses by scenario")
    only_scenarios(runs, first[:0], np.zeros(0))
    add_losses(one, runs, np.zeros(0))
    expected_losses(np.zeros(0), runs, np.zeros(0))
    project_density(one.copy(), one, 1.0)
    tell("knapsacks")
    blocks = (0, 1, pointer, pointer, first, one, one)
    solve_blocks(*blocks, no, zero, zero.copy(), 10, no.copy(), zero.copy(), stop)
    probe_columns(*blocks, zero.copy(), 10, one, 1.0, yes.copy(), stop)
    tell("local search")
    fill(first, first, *entries, zero.copy(), assigned.copy())
    anneal(
        one, first, *tasks, *entries, 1, 1, assigned.copy(), assigned.copy(), state, 1.0, 0.5, 1, *tails, stop
    )
