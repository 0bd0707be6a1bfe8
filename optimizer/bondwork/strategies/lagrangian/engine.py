"""The order of work: LP-strength prices, local search, knapsack dual, dives, an exact finish if possible."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import Solution
from bondwork.observing import Hearing, in_one_line
from bondwork.program.aggregation import different_choices
from bondwork.program.filling import fill_greedily
from bondwork.program.proof import Proof
from bondwork.strategies.lagrangian.block_dual import BlockDual, Point
from bondwork.strategies.lagrangian.dive import dive
from bondwork.strategies.lagrangian.finish import fill_last_room, finish
from bondwork.strategies.lagrangian.primal import Primal
from bondwork.strategies.lagrangian.row_dual import descend_from, follow_tails
from bondwork.strategies.lagrangian.session import Session, Stopped
from bondwork.strategies.lagrangian.tails import WHOLE, Tails

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options
    from bondwork.program.program import Program
    from bondwork.strategies.lagrangian.shape import Shape

    #: Columns by task, as a CSR pair.
    _Columns = tuple[IntArray, IntArray]

#: Evaluations of the row dual, and its first step in typical prices: from nothing, and from an earlier round.
_COLD_ROWS = (400, 0.3)
_WARM_ROWS = (40, 0.02)

#: Turns of prices and tails, and how the row dual goes on once the tails are found.
_TAIL_TURNS, _TAIL_ROWS = 60, (100, 0.02)

#: How far the tails climb along the knapsacks' fractional plan between dives.
_CLIMB = 0.01

#: Widths (in value spreads) of the columns that annealing may use.
_NARROW, _WIDE = 0.25, 0.5

#: Annealing: temperatures in value spreads; moves per task (first plan, after quick and after other dives)
#: and at most in all.
_HOT, _POLISH_HEAT, _COLD = 0.3, 0.06, 0.03
_FIRST_MOVES, _QUICK_MOVES, _POLISH_MOVES, _MOST_MOVES = 300, 400, 1500, 2_000_000

#: Times as many moves of the first plan and after quick dives under linking rows: annealing goes in stages.
#: The first plan under tail limits by scenario has tolls instead.
_STAGED = 2

#: The same from an earlier plan: of that plan, and after the dive along it.
_RECALLED_MOVES, _RECALLED_POLISH = 30, 100

#: Nodes of branch and bound for one knapsack: to sketch the fractional plan, to see whether more would pay,
#: for a good bound, and the last word.
_ROUGH, _COARSE, _FINE, _EXACT = 200, 2_000, 100_000, 3_000_000

#: The fine bound is sought where it lowers the first evaluation by this much more than the coarse one.
_WORTHWHILE = 3e-4

#: Evaluations of the knapsack dual: the sketch, from an earlier round before and after the first dive, before
#: each of the slow dives, and before their repetitions.
_SKETCH, _WARM_SKETCH, _RESKETCH, _DESCENT, _REDESCENT = 60, 5, 30, 150, 30

#: Length of the knapsack dual's step when it goes on from good prices; from nothing it is 1.
_RESTART = 0.3

#: Share of the fractional plan that a column of the earlier round's plan is taken to have, and weight of the
#: newest choice in the running average that starts with it.
_RECALLED_SHARE, _RECALLED_AVERAGE = 0.6, 0.1

#: Dives along the earlier round's plan.
_RESUMES = 2

#: How a dive goes: share fixed at a time, evaluations in between, pace of prices, nodes. The first is that
#: from an earlier round.
_WARM_DIVE = (0.15, 5, 0.02, _ROUGH)
_QUICK_DIVES = ((0.1, 5, 0.02, _ROUGH), (0.05, 8, 0.02, 500))
_DIVES = (
    (0.025, 12, 0.012, 20_000),
    (0.0125, 10, 0.006, 20_000),
    (0.0125, 15, 0.01, 20_000),
    (0.05, 8, 0.02, 20_000),
)

#: Spread of the factors on shares in dives after the first of each manner.
_NOISE = 0.6

#: HiGHS is given what is left at once where this few columns survive, and at the end where this many do; the
#: number is not even looked at in programs with more columns than the last.
_FEW, _MANY, _PROBED = 400, 2_500, 20_000


class Engine:
    """One solve."""

    def __init__(
        self,
        program: Program,
        shape: Shape,
        options: Options,
        observer: Observer,
        started: float,
        rounds: int,
    ) -> None:
        self._program = program
        self._tails = Tails(program, shape) if program.measures else None
        self._shape = shape = shape if self._tails is None else self._tails.shape
        self._observer = Hearing(observer)
        self._session = Session(program, shape, options, self._observer, started, self._tails)
        self._primal = Primal(self._session)
        self._warm = options.warm_start
        self._recalled: IntArray | None = None
        self._random = np.random.default_rng(np.random.SeedSequence(options.random_seed, spawn_key=(1,)))
        self._rounds = rounds
        self._annealed = False
        self._stages = _STAGED if shape.block_row_count < shape.rows else 1
        self._tolls = self._tails is not None and self._tails.by_scenario and self._tails.many
        self._own: FloatArray = np.zeros(shape.rows)
        self._task: FloatArray = np.zeros(shape.tasks)
        self._proofs: list[Proof] = []
        self._lowest: Point | None = None

    def know(self, x: FloatArray | None, bound: float) -> None:
        """Take in what was found before: a plan of the program, and a bound in currency."""
        if x is not None:
            self._session.offer_x(x, "before compiled code")
        if np.isfinite(bound):
            scaled = (bound - self._program.offset) / self._shape.unit
            self._session.offer_bound(scaled, "before compiled code")

    def solve(self) -> Solution:
        """Work until the gap, the time or the ideas run out."""
        session = self._session
        failed = ""
        try:
            with session, suppress(Stopped):
                self._work()
        except Exception as error:
            # what was found before is a plan all the same; what the observer raised is not ours
            if error is self._observer.error or session.assigned is None:
                raise
            session.status, failed = "other_error", f"lagrangian failed: {in_one_line(error)}"
        status = session.status or "locally_solved"
        if session.gap <= session.options.mip_rel_gap and status != "infeasible":
            status = "optimal"
        if status == "infeasible":
            return Solution("infeasible", None, -np.inf)
        if session.assigned is None and status == "locally_solved":
            status = "locally_infeasible"
        x, bound = session.x, session.currency_bound
        if not self._annealed and self._tails is not None:
            # Stopped so early, what tail limits left of the first choices may be less than `greedy` finds.
            filling = fill_greedily(self._program)
            value = -np.inf if x is None else self._program.value(x)
            if filling.is_complete() and self._program.value(filling.x) > value:
                x = filling.x
        if x is not None:
            x = fill_last_room(self._program, x)
            bound = max(bound, self._program.value(x))
        return Solution(
            status,
            x,
            bound,
            self._row_duals(),
            prices_from="lagrange_multipliers",
            measure_prices=None if self._tails is None else self._measure_prices(self._tails, self._own),
            notes=(failed,) if failed else (),
            proofs=(*self._proofs, self._proof(), *self._knapsack_proof()),
            vouched_by="branch_and_bound" if status == "optimal" else "knapsack",
        )

    def _work(self) -> None:
        session, shape, primal = self._session, self._shape, self._primal
        session.offer_bound(primal.choice_bound(), "best offers")
        plan = primal.as_greedy()
        session.check()
        if self._tails is not None:
            # The greedy plan knows of no tail yet; its own gives the first cut.
            self._take_tail(self._tails, plan)
            primal.greedy(shape.value, "greedy")
        reduced = self._price_rows()
        if different_choices(self._program) < min(_MANY, self._program.choices):
            # tasks that nothing tells apart: prices cannot either, and branch and bound need not
            everything = np.ones(len(shape.value), dtype=bool)
            if finish(session, everything, session.remaining / 2):
                return
        primal.price_linking(self._own)
        narrow, wide = self._first_plan(reduced)
        own = shape.block_row_count
        point = Point(self._task.copy(), self._own[own:].copy(), self._own[:own].copy())
        dual = BlockDual(session, point)
        try:
            self._decompose(dual, narrow, wide, reduced)
        finally:
            self._lowest = dual.lowest
            if dual.least < np.inf:
                self._task = dual.best.task
                self._own = np.concatenate([dual.best.own, dual.best.linking])

    def _recall(self, dual: BlockDual) -> bool:
        """Go on from the earlier round's task prices where they bound better; says whether a plan came along.

        New tasks keep the prices that the rows give them.
        """
        if self._warm is None:
            return False
        shape, session = self._shape, self._session
        if self._warm.row_duals is not None:
            known = shape.program_task >= 0
            earlier = np.full(shape.tasks, np.nan)
            earlier[known] = self._warm.row_duals[shape.program_task[known]] / shape.unit
            recalled = dual.point.copy()
            recalled.task = np.where(np.isfinite(earlier), earlier, recalled.task)
            recalled.task = np.where(shape.required, recalled.task, np.maximum(0.0, recalled.task))
            # Values have moved, and with them what the tasks are worth: between the two is often best.
            between = dual.point.copy()
            between.task = 0.5 * (dual.point.task + recalled.task)
            points = [dual.point, between, recalled]
            levels = [dual.evaluate(point, _ROUGH) for point in points]
            session.offer_bound(min(levels), "warm start")
            dual.point = points[int(np.argmin(levels))]
            dual.best = dual.point.copy()
            dual.length = _RESTART
        if self._recalled is None or not len(self._recalled):
            return False
        dual.share[self._recalled] = _RECALLED_SHARE
        return True

    def _resume(self, dual: BlockDual, columns: _Columns, reduced: FloatArray) -> None:
        """Dive once along what the knapsacks say of the earlier round's plan."""
        dual.descend(_WARM_SKETCH, _ROUGH, _RECALLED_AVERAGE)
        self._session.offer_bound(dual.evaluate(dual.best, _FINE), "warm start")
        self._session.check()
        self._dive(dual, _WARM_DIVE, columns, reduced, moves=_RECALLED_POLISH)

    def _first_plan(self, reduced: FloatArray) -> tuple[_Columns, _Columns]:
        """Anneal a first plan; returns the columns that later searches may use, few and more."""
        shape, primal = self._shape, self._primal
        start = self._warm_plan(reduced)
        narrow, wide = primal.near(reduced, _NARROW), primal.near(reduced, _WIDE)
        moves, heat = _RECALLED_MOVES, _POLISH_HEAT
        if start is None:
            start = primal.greedy(reduced, "greedy by price")
            moves, heat = _FIRST_MOVES * (1 if self._tolls else self._stages), _HOT
        moves = min(shape.tasks * moves, _MOST_MOVES)
        plan = primal.improve(
            start, narrow, heat, _COLD, moves, "annealing", tolls=self._tolls and heat == _HOT
        )
        self._annealed = True
        primal.complete(plan, shape.value, "annealing")
        return narrow, wide

    def _decompose(self, dual: BlockDual, narrow: _Columns, wide: _Columns, reduced: FloatArray) -> None:
        """Alternate between the knapsack dual and dives along it."""
        session, shape = self._session, self._shape
        resumed = self._recall(dual)
        for _ in range(_RESUMES if resumed else 0):
            self._resume(dual, wide, reduced)
        coarse = dual.evaluate(dual.point, _COARSE)
        fine = dual.evaluate(dual.point, _FINE)
        session.offer_bound(fine, "knapsack dual")
        nodes = _FINE if fine < coarse - _WORTHWHILE * abs(coarse) else _COARSE
        dual.descend(_RESKETCH if resumed else _SKETCH, _ROUGH)
        for manner in _QUICK_DIVES[1:] if resumed else _QUICK_DIVES:
            self._dive(dual, manner, wide, reduced, moves=_QUICK_MOVES * self._stages)
        if nodes > _COARSE and dual.length < _RESTART:
            dual.restart(_RESTART)
        settled_at, turn = -np.inf, 0
        while True:
            fruitless = 0
            while fruitless < self._rounds:
                if self._tails is not None:
                    self._tails.climb(dual.share, _CLIMB)
                    dual.take_weights()
                    dual.restart(dual.length)
                dual.descend(_DESCENT if turn < len(_DIVES) else _REDESCENT, nodes)
                if session.value > settled_at and len(shape.value) <= _PROBED:
                    keep = dual.surviving_columns(_EXACT)
                    if keep.sum() <= _FEW and finish(session, keep, session.remaining / 2):
                        return
                    settled_at = session.value
                noise = None
                if turn >= len(_DIVES):
                    noise = 1.0 + _NOISE * (self._random.random(len(shape.value)) - 0.5)
                manner = _DIVES[turn % len(_DIVES)]
                better = self._dive(dual, manner, narrow if turn % 2 else wide, reduced, noise)
                fruitless = 0 if better else fruitless + 1
                turn += 1
            keep = dual.surviving_columns(_EXACT)
            if keep.sum() <= _MANY and finish(session, keep, session.remaining / 4):
                return
            if not np.isfinite(session.options.time_limit):
                return

    def _dive(
        self,
        dual: BlockDual,
        manner: tuple[float, int, float, int],
        columns: _Columns,
        reduced: FloatArray,
        noise: FloatArray | None = None,
        moves: int = _POLISH_MOVES,
    ) -> bool:
        """Dive, fill up, polish; says whether a better plan came of it."""
        shape, primal, before = self._shape, self._primal, self._session.value
        if self._tails is not None:
            self._tails.hold_to_mixture()
        with nullcontext() if self._tails is None else self._tails.following():
            plan = dive(dual, *manner, noise)
            plan = primal.complete(plan, reduced, "dive")
        dual.take_weights()
        most = min(shape.tasks * moves, _MOST_MOVES)
        plan = primal.improve(plan, columns, _POLISH_HEAT, _COLD, most, "polish")
        primal.complete(plan, shape.value, "polish")
        return self._session.value > before

    def _price_rows(self) -> FloatArray:
        """Find the LP-strength prices; returns the reduced value of each column."""
        session, shape = self._session, self._shape
        iterations, reach = _COLD_ROWS
        if self._warm is not None and self._warm.row_duals is not None:
            iterations, reach = _WARM_ROWS
            known = shape.program_row >= 0
            duals = self._warm.row_duals[shape.program_row] * shape.row_scale / shape.unit
            self._own = np.where(known, np.maximum(0.0, np.nan_to_num(duals)), 0.0)
        if self._tails is not None:
            follow_tails(session, self._tails, self._own, reach, _TAIL_TURNS)
            self._tails.hold_to_mixture()
            iterations, reach = _TAIL_ROWS
        found = session.run([partial(descend_from, shape, self._own, iterations, reach, session.stop)])
        bound, self._task, reduced = found[0]
        session.offer_bound(bound, "row dual")
        self._proofs.append(self._proof())
        session.check()
        return np.asarray(reduced)

    def _take_tail(self, tails: Tails, assigned: IntArray) -> None:
        """Make the tail of a plan the one that all are held to."""
        used = np.zeros(len(self._shape.value))
        used[assigned[assigned >= 0]] = 1.0
        tails.climb(used, WHOLE)
        tails.hold_to_mixture()

    def _warm_plan(self, reduced: FloatArray) -> IntArray | None:
        """What still fits of the earlier round's plan, filled up."""
        if self._warm is None or self._warm.x is None:
            return None
        shape = self._shape
        held = self._warm.x[shape.columns] > 0.5
        self._recalled = np.flatnonzero(held)
        plan = self._primal.greedy(np.where(held, 1e6, reduced), "warm start")
        return self._primal.complete(plan, reduced, "warm start")

    def _row_duals(self) -> FloatArray:
        """Multipliers in currency per unit of the program's rows."""
        return self._in_currency(self._own, self._task)

    def _in_currency(self, own: FloatArray, task: FloatArray) -> FloatArray:
        shape = self._shape
        duals = np.zeros(len(self._program.row_lower))
        mine = shape.program_row >= 0
        duals[shape.program_row[mine]] = own[mine] * shape.unit / shape.row_scale[mine]
        known = shape.program_task >= 0
        duals[shape.program_task[known]] = task[known] * shape.unit
        return duals

    def _proof(self) -> Proof:
        """What the multipliers at hand prove: LP-strength prices of rows, and the tails they are held to."""
        duals = self._row_duals()[: len(self._program.limits)]
        if self._tails is None:
            return Proof(duals)
        return Proof(duals, self._tails.proofs(self._measure_prices(self._tails, self._own)))

    def _knapsack_proof(self) -> tuple[Proof, ...]:
        """The lowest bound of the knapsacks, once there is one: prices of tasks and of linking rows."""
        point = self._lowest
        if point is None:
            return ()
        own = np.concatenate([point.own, point.linking])
        duals = self._in_currency(own, point.task)[: len(self._program.limits)]
        tails = () if self._tails is None else self._tails.proofs(self._measure_prices(self._tails, own))
        return (Proof(duals, tails, knapsacks=True),)

    def _measure_prices(self, tails: Tails, own: FloatArray) -> FloatArray:
        """Currency per unit of each tail limit; 0 where a limit that leaves nothing drove it to infinity."""
        mine = own[len(own) - len(tails.uppers) :]
        with np.errstate(over="ignore"):
            price = np.divide(
                mine * self._shape.unit, tails.uppers, out=np.zeros(len(mine)), where=tails.uppers > 0
            )
        return np.where(np.isfinite(price), price, 0.0)
