"""Many linear programs that differ in numbers only, solved one after the other from the last one's basis.

What stays the same is handed to HiGHS once; from one member of the family to the next only the numbers that
changed are. A dual simplex then needs a few pivots where a new solve would start over: what recourse, whose
members differ by what became known, asks for.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.solver.live import LiveLP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Options, Status

#: Size to which the largest cost is brought, as a power of two; see `bondwork.program.scaling`.
_OBJECTIVE_SIZE = 10

#: Feasibility tolerance of the second try: a decision made elsewhere is as exact as its solver was.
_LOOSE_TOLERANCE = 1e-6

_PARTS = ("cost", "lower", "upper", "row_lower", "row_upper", "entries")


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """Why HiGHS stopped, and the optimum of the maximisation; ``nan`` where there is none."""

    status: Status
    value: float


class WarmLP:
    """Linear programs ``maximise cost @ y``, ``row_lower <= W y <= row_upper``, ``lower <= y <= upper``.

    Parameters
    ----------
    row, column
        Shape (E,). Where the entries of W stand, each place at most once.
    columns, rows
        n and m.
    size
        By part (``cost``, ``entries``), an array of the shape of one member: the largest absolute value over
        the family, from which one scaling by powers of two is made for all members.
    options
        Seed and further options of HiGHS. It runs in one thread.

    Raises
    ------
    InvalidInput
        An option that HiGHS does not know.

    Examples
    --------
    >>> from bondwork.contracts import Options
    >>> family = WarmLP(np.array([0]), np.array([0]), 1, 1,
    ...                       {"cost": np.array([3.0]), "entries": np.array([1.0])}, Options(threads=1))
    >>> part = {"cost": np.array([3.0]), "lower": np.zeros(1), "upper": np.full(1, np.inf),
    ...         "row_lower": np.full(1, -np.inf), "entries": np.array([1.0])}
    >>> [family.solve({**part, "row_upper": np.array([d])}).value for d in (2.0, 6.0)]
    [6.0, 18.0]
    """

    def __init__(
        self,
        row: IntArray,
        column: IntArray,
        columns: int,
        rows: int,
        size: Mapping[str, FloatArray],
        options: Options,
    ) -> None:
        self.row, self.column, self.columns, self.rows = row, column, columns, rows
        largest = np.zeros(rows)
        np.maximum.at(largest, row, np.abs(size["entries"]))
        self.row_scale = _power_of_two(largest, 0)
        top = np.array([np.abs(size["cost"]).max(initial=0.0)])
        self.objective_scale = float(_power_of_two(top, _OBJECTIVE_SIZE)[0])
        self.last: dict[str, FloatArray] | None = None
        self.lp = LiveLP({"random_seed": int(options.random_seed)}, options.highs)

    def solve(self, part: Mapping[str, FloatArray], deadline: float = math.inf) -> MemberAnswer:
        """Solve one member.

        Parameters
        ----------
        part
            ``cost``, ``lower``, ``upper`` of shape (n,), ``row_lower``, ``row_upper`` of shape (m,) and
            ``entries`` of shape (E,).
        deadline
            On the clock of `time.perf_counter`.
        """
        if self.columns == 0:
            fits = bool(np.all(part["row_lower"] <= 0.0) and np.all(part["row_upper"] >= 0.0))
            return MemberAnswer("optimal" if fits else "infeasible", 0.0 if fits else math.nan)
        if np.any(part["lower"] > part["upper"]) or np.any(part["row_lower"] > part["row_upper"]):
            return MemberAnswer("infeasible", math.nan)
        scaled = {
            "cost": part["cost"] * self.objective_scale,
            "lower": part["lower"],
            "upper": part["upper"],
            "row_lower": part["row_lower"] * self.row_scale,
            "row_upper": part["row_upper"] * self.row_scale,
            "entries": part["entries"] * self.row_scale[self.row],
        }
        if self.last is None or not self.lp.is_loaded:
            self._load(scaled)
        else:
            self._change(scaled, self.last)
        self.last = scaled
        status = self.lp.solve(deadline - time.perf_counter())
        if status == "infeasible":
            # by no more than the rounding of a decision made elsewhere?
            status = self.lp.solve_within(_LOOSE_TOLERANCE, deadline)
        value = self.lp.value() / self.objective_scale
        return MemberAnswer(status, value if status == "optimal" else math.nan)

    def _load(self, part: Mapping[str, FloatArray]) -> None:
        order = np.lexsort((self.column, self.row))
        self.lp.load(
            part["cost"],
            part["lower"],
            part["upper"],
            part["row_lower"],
            part["row_upper"],
            np.searchsorted(self.row[order], np.arange(self.rows + 1)),
            self.column[order],
            part["entries"][order],
        )

    def _change(self, new: Mapping[str, FloatArray], old: Mapping[str, FloatArray]) -> None:
        different = {name: new[name] != old[name] for name in _PARTS}
        at = np.flatnonzero(different["cost"])
        self.lp.change_costs(at, new["cost"][at])
        at = np.flatnonzero(different["lower"] | different["upper"])
        self.lp.change_columns(at, new["lower"][at], new["upper"][at])
        at = np.flatnonzero(different["row_lower"] | different["row_upper"])
        self.lp.change_rows(at, new["row_lower"][at], new["row_upper"][at])
        at = np.flatnonzero(different["entries"])
        self.lp.change_entries(self.row[at], self.column[at], new["entries"][at])


def _power_of_two(sizes: FloatArray, target: int) -> FloatArray:
    _, exponent = np.frexp(sizes)
    return np.where(sizes > 0.0, np.ldexp(1.0, target - exponent), 1.0)
