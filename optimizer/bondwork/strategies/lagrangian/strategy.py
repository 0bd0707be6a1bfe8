"""The strategy: prices give the bound, local search and dives the plan, fixing and HiGHS a proof."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.compiled import KERNEL_SETS, NotKept, import_compiler
from bondwork.contracts import Observer, Options, Solution
from bondwork.program.settling import settle
from bondwork.strategies.lagrangian.shape import check_auxiliaries, recognise
from bondwork.strategies.lagrangian.uncompiled import LEAST_TO_LOAD, Uncompiled

if TYPE_CHECKING:
    from bondwork.program.program import Program

_KERNELS = KERNEL_SETS["lagrangian"]


class Lagrangian:
    """Decide large rounds of one stage with a certificate, by Lagrangian decomposition.

    The bound is the best of two duals: that of all rows (as strong as the LP, in a fraction of a second) and
    that of the task rows, with an exact knapsack per coprocessor (stronger than the LP). Plans come from
    annealing over the columns that the prices leave in play, and from diving along the knapsacks' choices.
    Small rounds end with a proof by HiGHS on what reduced-cost fixing leaves.

    When not to use it: programs with continuous columns, replicas or lower bounds other than required tasks;
    it raises `NotDecomposable` for those. Where `extensive` takes a second, it is as good and simpler.

    Parameters
    ----------
    rounds
        Dives without a better plan after which the solve ends, as ``locally_solved``.
    """

    summary = (
        "Multipliers, knapsacks and diving: large tight rounds to within half a per cent, with a certificate."
    )

    def __init__(self, rounds: int = 10) -> None:
        self._rounds = rounds

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`.

        Raises
        ------
        NotDecomposable
            Where the program is not tasks and knapsacks.
        """
        started = time.perf_counter()
        check_auxiliaries(program)
        settled = settle(program)
        if settled is None:
            return self._decide(program, options, observer, started)
        return settled.told(self._decide(settled.program, options, observer, started))

    def _decide(self, program: Program, options: Options, observer: Observer, started: float) -> Solution:
        lazy = list(program.lazy)
        if all(measure.convex for measure in program.measures):
            # Scenario rows would have to be priced one by one; their cuts say the same in one row.
            program = program.without_auxiliaries()
        shape = recognise(program)
        if shape.infeasible:
            return Solution("infeasible", None, -np.inf, notes=(shape.infeasible,))
        if not len(shape.columns):
            return _nothing_to_choose(program)
        known = None
        limited = bool(np.isfinite(options.time_limit))
        there = _at_hand(options, started) and _loaded(limited)
        while not there:
            known = known or Uncompiled(program, shape, options, observer, started, _KERNELS)
            early = known.work() if limited else _waited(known)
            if early is not None:
                return early
            there = _loaded(limited)
        from bondwork.strategies.lagrangian.engine import Engine

        engine = Engine(program, shape, options, observer, started, self._rounds)
        if known is not None:
            engine.know(known.x, known.bound)
        solution = engine.solve()
        prices = solution.measure_prices
        return replace(solution, measure_prices=None if prices is None else prices[lazy])

    @staticmethod
    def prepare() -> float:
        """Load the compiled code, once in a process; returns the seconds that took.

        `solve` does it by itself. Call it earlier to have the first solve start at once. What is not compiled
        yet is compiled here, for 10 to 20 seconds.
        """
        return _KERNELS.load()


def _at_hand(options: Options, started: float) -> bool:
    """Whether compiled code can be used at once, with time enough to load it."""
    if _KERNELS.loaded:
        return True
    if not _KERNELS.ready() or options.time_limit < LEAST_TO_LOAD:
        return False
    importing = import_compiler()
    # loading takes somewhat longer than that, on any machine
    return time.perf_counter() - started + 2.0 * importing + 0.5 < options.time_limit


def _loaded(limited: bool) -> bool:
    """Load the compiled code; false where a limit leaves no time to compile what turns out to be missing."""
    try:
        _KERNELS.load(compiling=not limited)
    except NotKept:
        return False
    return True


def _waited(known: Uncompiled) -> Solution | None:
    """Wait for compiled code, so that a first solve gives the plan of later ones; ``None`` once it is."""
    # said while it goes on, not in the plan: the same input gives the same plan, compiled or not
    known.tell("compiling (the first time)")
    if _KERNELS.wait(known.observer.should_stop):
        return None
    return replace(known.greedy(), status="interrupted")


def _nothing_to_choose(program: Program) -> Solution:
    x = np.zeros(len(program.objective))
    duals = np.zeros(len(program.row_lower))
    return Solution("optimal", x, program.offset, duals, prices_from="lagrange_multipliers")
