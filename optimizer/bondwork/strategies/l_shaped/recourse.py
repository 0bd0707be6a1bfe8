"""The second stage, relaxed: best recourse of many scenarios, and the cuts that it proves.

For a first stage x let Q(x) be the best a scenario can earn. Multipliers p of its rows, whatever they are,
prove  Q(x) <= p @ (limits - T x) + the most that the columns can make of what p leaves of the costs:  a cut,
linear in x, and exact at the x for which p is optimal. A cut adds up the scenarios of its cluster.

References
----------
R. M. Van Slyke & R. Wets, L-shaped linear programs with applications to optimal control and stochastic
programming, SIAM Journal on Applied Mathematics 17 (1969) 638-663. J. R. Birge & F. Louveaux, A multicut
algorithm for two-stage stochastic linear programs, European Journal of Operational Research 34 (1988)
384-392.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.strategies.l_shaped.bases import Basis, Pool
from bondwork.strategies.l_shaped.batch import Batch, line
from bondwork.strategies.l_shaped.family import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Options, Status

#: Size to which the largest cost is brought, as a power of two; see `bondwork.program.scaling`.
OBJECTIVE_SIZE = 10

#: Rows up to which bases are inverted to solve many scenarios at once: larger programs have more bases than
#: scenarios, and inverting them would be shared out among threads that other processes need.
MOST_BASIS_ROWS = 64

#: Scenarios that a new basis must solve, on average, for bases to be worth inverting.
LEAST_HITS = 3.0

#: Numbers worked on at once while cuts are put together.
_NUMBERS = 2_000_000

#: A reduced cost of a column without a bound counts as 0 up to this, in scaled units: what dual tolerances
#: let pass.
_NO_PRICE = 1e-5

#: Share of the sizes of its terms by which a feasibility cut allows more than their sum, for rounding.
_ROUNDING = 1e-13

#: Feasibility cuts handed out at once.
_MOST_FEASIBILITY_CUTS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What some scenarios say of one first stage.

    Attributes
    ----------
    cluster
        Shape (k,). The clusters spoken of.
    constant, slope
        Shapes (k,), (k, n1). What the cluster's scenarios can earn, weighted, is at most
        ``constant + slope @ x``: with equality at the point asked for, where the recourse is linear.
    infeasible
        Clusters with a scenario that leaves no recourse.
    forbid, allow
        Shapes (f, n1), (f,). Every first stage with recourse has ``forbid @ x <= allow``.
    status
        Why it ended early: a limit, ``dual_infeasible`` or ``other_error``; else ``optimal``.
    y
        Shape (S, n), where asked for.
    """

    cluster: IntArray
    constant: FloatArray
    slope: FloatArray
    infeasible: IntArray
    forbid: FloatArray
    allow: FloatArray
    status: Status = "optimal"
    y: FloatArray | None = field(default=None, repr=False)


class Recourse:
    """The relaxed second stage of a part of the scenarios, with a solver kept alive for them.

    Parameters
    ----------
    batch
        The scenarios, in the units of the program.
    options
        Seed and further options of HiGHS.
    """

    def __init__(self, batch: Batch, options: Options) -> None:
        m = batch.row_lower.shape[1]
        largest = np.zeros(m)
        np.maximum.at(largest, batch.own_row, np.abs(batch.own).max(axis=0))
        np.maximum.at(largest, batch.link_row, np.abs(batch.link).max(axis=0))
        self.row_scale = _power_of_two(largest, 0)
        top = np.array([np.abs(batch.cost).max(initial=0.0)])
        self.unit = float(_power_of_two(top, OBJECTIVE_SIZE)[0])
        self.batch = dataclasses.replace(
            batch,
            cost=batch.cost * self.unit,
            row_lower=batch.row_lower * self.row_scale,
            row_upper=batch.row_upper * self.row_scale,
            own=batch.own * self.row_scale[batch.own_row],
            link=batch.link * self.row_scale[batch.link_row],
        )
        self.family = Family(self.batch, options)
        self.common = len(self.batch.own) == 1
        self.dense: FloatArray | None = None
        if self.common and 0 < m <= MOST_BASIS_ROWS:
            self.dense = np.asarray(self.batch.matrices(0)[0].todense(), dtype=np.float64)
        self.pool = Pool()
        self.made = self.solved_by_new = 0
        self.clusters, self.place = np.unique(batch.cluster, return_inverse=True)
        #: Multipliers of every scenario at the first stage evaluated last.
        self.last: FloatArray | None = None

    def evaluate(self, x: FloatArray, stop: Callable[[], Status | None], *, want_y: bool = False) -> Found:
        """Solve every scenario for a first stage.

        Parameters
        ----------
        x
            Shape (n1,).
        stop
            Asked between scenarios; says why to end early.
        want_y
            Hand the decisions out as well.
        """
        batch = self.batch
        activity = batch.activity(x)
        low, high = batch.row_lower - activity, batch.row_upper - activity
        work = _Work(len(batch), low, high, batch.columns if want_y else None)
        self._try_pool(work)
        for at in range(len(batch)):
            if work.done[at]:
                continue
            if ended := stop():
                return self._ended(ended)
            status = self._solve(at, work)
            if status not in ("optimal", "infeasible"):
                return self._ended(status)
        return self._assemble(work, x)

    def _try_pool(self, work: _Work) -> None:
        if self.dense is None:
            return
        for basis in self.pool.ordered():
            if work.done.all():
                break
            self._spread(basis, work)

    def _spread(self, basis: Basis, work: _Work) -> int:
        """Solve with a basis what it solves of all that is not done yet; return how many."""
        batch = self.batch
        at = np.flatnonzero(~work.done)

        def some(lines: FloatArray) -> FloatArray:
            return lines if len(lines) == 1 else lines[at]

        cost = some(batch.cost)
        lower, upper = some(batch.lower), some(batch.upper)
        low, high = some(work.low), some(work.high)
        prices = basis.multipliers(cost)
        right = basis.prices_right(cost, prices, lower, upper, low, high)
        if not right.any():
            return 0
        y, _, fits = basis.points(lower, upper, low, high)
        solved = np.broadcast_to(fits & right, (len(at),))
        where = at[solved]
        if len(where):
            work.prices[where] = prices if len(prices) == 1 else prices[solved]
            if work.y is not None:
                # a hair outside its bounds is what a basis may put a column
                y = np.clip(y, lower, upper)
                work.y[where] = y if len(y) == 1 else y[solved]
            work.done[where] = True
        basis.hits += len(where)
        return len(where)

    def _solve(self, at: int, work: _Work) -> Status:
        """Solve one scenario with HiGHS, and what its basis solves besides."""
        batch = self.batch
        low, high = line(work.low, at), line(work.high, at)
        status = self.family.solve(at, low, high)
        if status == "infeasible":
            normal = self.family.ray(low, high)
            if normal is None or self._almost_feasible(at, normal, low, high):
                status = self.family.solve_loosely()
            if status == "infeasible":
                if normal is None:
                    normal = self.family.elastic_ray(at, low, high)
                work.rays.append((at, normal))
                work.done[at] = True
                return status
        if status != "optimal":
            return status
        worth = self.made < 20 or self.solved_by_new >= LEAST_HITS * self.made
        if self.dense is not None and worth and not work.done.all():
            try:
                basis = Basis(self.dense, *self.family.basis())
            except np.linalg.LinAlgError:
                basis = None
            if basis is not None:
                self.made += 1
                self.solved_by_new += self._spread(basis, work)
                self.pool.add(basis)
        if self.dense is None or not worth:
            self.family.remember()
        if not work.done[at]:
            work.prices[at] = self.family.prices()
            if work.y is not None:
                work.y[at] = np.clip(self.family.point(), line(batch.lower, at), line(batch.upper, at))
            work.done[at] = True
        return status

    def _almost_feasible(self, at: int, ray: FloatArray, low: FloatArray, high: FloatArray) -> bool:
        """Whether a scenario is infeasible by no more than rounding of the first stage."""
        gap = -_most(ray, low, high) - self._free(at, ray)
        size = np.abs(ray) @ np.where(ray > 0.0, _zeroed(high), _zeroed(low)).__abs__()
        return bool(gap <= 1e-6 * max(np.abs(ray).max(initial=0.0), float(size)))

    def _free(self, at: int, ray: FloatArray) -> float:
        batch = self.batch
        products = line(batch.own, at) * ray[batch.own_row]
        left = -np.bincount(batch.own_column, products, batch.columns).astype(np.float64)
        return float(
            self._column_part(left[None], line(batch.lower, at)[None], line(batch.upper, at)[None])[0]
        )

    def _ended(self, status: Status) -> Found:
        n1 = self.batch.width
        none = np.zeros(0, dtype=np.int64)
        return Found(none, np.zeros(0), np.zeros((0, n1)), none, np.zeros((0, n1)), np.zeros(0), status)

    def _column_part(self, reduced: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """Most that columns within their bounds can make of their reduced costs. Shape (s,)."""
        end = np.where(reduced > 0.0, upper, lower)
        bounded = np.isfinite(end)
        worth = reduced * np.where(bounded, end, 0.0)
        worth[~bounded & (np.abs(reduced) > _NO_PRICE)] = np.inf
        return np.asarray(worth.sum(axis=1))

    def _constants(self, prices: FloatArray, at: IntArray, *, costless: bool = False) -> FloatArray:
        """The part of a cut that does not depend on x, for scenarios ``at``. Shape (s,)."""
        batch = self.batch

        def some(lines: FloatArray) -> FloatArray:
            return lines if len(lines) == 1 else lines[at]

        own = some(batch.own)
        if self.common:
            matrix = csr_array(
                (own[0], (batch.own_row, batch.own_column)), shape=(prices.shape[1], batch.columns)
            )
            products = np.asarray(prices @ matrix)
        else:
            collect = csr_array(
                (np.ones(len(batch.own_row)), (np.arange(len(batch.own_row)), batch.own_column)),
                shape=(len(batch.own_row), batch.columns),
            )
            products = np.asarray((own * prices[:, batch.own_row]) @ collect)
        reduced = (0.0 if costless else some(batch.cost)) - products
        limit = np.where(prices > 0.0, some(batch.row_upper), some(batch.row_lower))
        rows = (prices * np.where(prices == 0.0, 0.0, limit)).sum(axis=1)
        return np.asarray(rows + self._column_part(reduced, some(batch.lower), some(batch.upper)))

    def _sizes(self, rays: FloatArray, at: IntArray) -> FloatArray:
        """Sizes of the terms that `_constants` adds up for rays, none of which it may lose. Shape (s,)."""
        batch = self.batch

        def some(lines: FloatArray) -> FloatArray:
            return np.abs(lines if len(lines) == 1 else lines[at])

        limit = np.where(rays > 0.0, _zeroed(some(batch.row_upper)), _zeroed(some(batch.row_lower)))
        end = np.maximum(_zeroed(some(batch.lower)), _zeroed(some(batch.upper)))
        products = some(batch.own) * np.abs(rays)[:, batch.own_row] * end[:, batch.own_column]
        return np.asarray((np.abs(rays) * limit).sum(axis=1) + products.sum(axis=1))

    def _slopes(self, prices: FloatArray, at: IntArray, weight: csr_array) -> FloatArray:
        """The part that does depend on x, added up by the lines of ``weight``. Shape (k, n1)."""
        batch = self.batch
        link = batch.link if len(batch.link) == 1 else batch.link[at]
        by_entry = np.asarray(weight @ (link * prices[:, batch.link_row]))
        collect = csr_array(
            (np.ones(len(batch.link_row)), (np.arange(len(batch.link_row)), batch.link_column)),
            shape=(len(batch.link_row), batch.width),
        )
        return -np.asarray(by_entry @ collect)

    def _assemble(self, work: _Work, x: FloatArray) -> Found:
        """Put the cuts of all clusters together."""
        batch, k = self.batch, len(self.clusters)
        constant, slope = np.zeros(k), np.zeros((k, batch.width))
        work.clean(batch)
        self.last = work.prices
        step = max(1, _NUMBERS // max(1, batch.columns + len(batch.link_row)))
        for first in range(0, len(batch), step):
            at = np.arange(first, min(first + step, len(batch)))
            weights = csr_array((batch.weight[at], (self.place[at], np.arange(len(at)))), shape=(k, len(at)))
            prices = work.prices[at]
            constants = self._constants(prices, at)
            counted = batch.weight[at] > 0.0
            constant += np.bincount(
                self.place[at][counted], (batch.weight[at] * constants)[counted], minlength=k
            )
            slope += self._slopes(prices, at, weights)
        forbid, allow = self._feasibility_cuts(work, x)
        broken = np.unique(self.place[[at for at, _ in work.rays]]) if work.rays else np.zeros(0, np.int64)
        well = np.setdiff1d(np.arange(k), broken)
        status: Status = "optimal" if np.all(np.isfinite(constant[well])) else "other_error"
        return Found(
            self.clusters[well],
            constant[well] / self.unit,
            slope[well] / self.unit,
            self.clusters[broken],
            forbid,
            allow,
            status,
            work.y,
        )

    def single_cuts(self) -> tuple[FloatArray, FloatArray]:
        """Slopes (S, n1) and constants (S,) of every scenario by itself, at what was evaluated last."""
        if self.last is None:
            raise ValueError("nothing was evaluated yet")
        every = np.arange(len(self.batch))
        alone = csr_array((np.ones(len(every)), (every, every)), shape=(len(every),) * 2)
        slope = self._slopes(self.last, every, alone)
        return slope / self.unit, self._constants(self.last, every) / self.unit

    def _feasibility_cuts(self, work: _Work, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        n1 = self.batch.width
        if not work.rays:
            return np.zeros((0, n1)), np.zeros(0)
        at = np.array([each for each, _ in work.rays])
        rays = _cleaned(np.array([ray for _, ray in work.rays]), self.batch, at)
        allow = self._constants(rays, at, costless=True)
        alone = csr_array(np.eye(len(at)))
        forbid = -self._slopes(rays, at, alone)
        allow = allow + _ROUNDING * self._sizes(rays, at)
        size = np.abs(forbid).max(axis=1, initial=0.0)
        size = np.where(size > 0.0, size, 1.0)
        forbid, allow = forbid / size[:, None], allow / size
        useful = np.isfinite(allow)
        forbid, allow = forbid[useful], allow[useful]
        order = np.argsort(allow - forbid @ x, kind="stable")[:_MOST_FEASIBILITY_CUTS]
        _, first = np.unique(np.round(np.column_stack([forbid, allow])[order], 9), axis=0, return_index=True)
        kept = order[np.sort(first)]
        return forbid[kept], allow[kept]


class _Work:
    """One evaluation under way: limits left by the first stage, multipliers found, what is done."""

    def __init__(self, count: int, low: FloatArray, high: FloatArray, columns: int | None) -> None:
        self.low, self.high = low, high
        self.prices = np.zeros((count, low.shape[1]))
        self.done: BoolArray = np.zeros(count, dtype=bool)
        self.rays: list[tuple[int, FloatArray]] = []
        self.y: FloatArray | None = None if columns is None else np.zeros((count, columns))

    def clean(self, batch: Batch) -> None:
        """Drop multipliers of limits that are not there: they prove nothing."""
        self.prices = _cleaned(self.prices, batch, np.arange(len(self.prices)))


def _cleaned(prices: FloatArray, batch: Batch, at: IntArray) -> FloatArray:
    def some(lines: FloatArray) -> FloatArray:
        return lines if len(lines) == 1 else lines[at]

    limit = np.where(prices > 0.0, some(batch.row_upper), some(batch.row_lower))
    return np.where(np.isfinite(limit), prices, 0.0)


def _zeroed(limit: FloatArray) -> FloatArray:
    return np.where(np.isfinite(limit), limit, 0.0)


def _most(ray: FloatArray, low: FloatArray, high: FloatArray) -> float:
    limit = np.where(ray > 0.0, high, low)
    used = (ray != 0.0) & np.isfinite(limit)
    return float(ray[used] @ limit[used])


def _power_of_two(sizes: FloatArray, target: int) -> FloatArray:
    _, exponent = np.frexp(sizes)
    return np.where(sizes > 0.0, np.ldexp(1.0, target - exponent), 1.0)
