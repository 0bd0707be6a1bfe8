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

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.program.highs import FORBIDDEN_OPTIONS

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


class LinearFamily:
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
        Threads, seed and further options of HiGHS. The time limit is for each call of `solve`.

    Raises
    ------
    InvalidInput
        An option that HiGHS does not know.

    Examples
    --------
    >>> from bondwork.contracts import Options
    >>> family = LinearFamily(np.array([0]), np.array([0]), 1, 1,
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
        import highspy  # loading it takes a tenth of a second that `bondwork --help` does not have

        self.row, self.column, self.columns, self.rows = row, column, columns, rows
        self.options = options
        largest = np.zeros(rows)
        np.maximum.at(largest, row, np.abs(size["entries"]))
        self.row_scale = _power_of_two(largest, 0)
        top = np.array([np.abs(size["cost"]).max(initial=0.0)])
        self.objective_scale = float(_power_of_two(top, _OBJECTIVE_SIZE)[0])
        self.last: dict[str, FloatArray] | None = None
        self.highs = highspy.Highs()
        self.highs.setOptionValue("output_flag", False)
        self._set_options(options)

    def _set_options(self, options: Options) -> None:
        named = {"threads": int(options.threads), "random_seed": int(options.random_seed)}
        faults = []
        for name, value in {**named, **options.highs}.items():
            given = value if name in named else str(value).lower() if isinstance(value, bool) else str(value)
            if name in FORBIDDEN_OPTIONS or int(self.highs.setOptionValue(name, given)) != 0:
                expected = "an option of HiGHS that recourse may have, and a value that it takes"
                faults.append(Fault(f"options.{name}", preview(value), expected))
        if faults:
            raise InvalidInput(faults)

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
        if self.last is None:
            self._pass(scaled)
        else:
            self._change(scaled, self.last)
        self.last = scaled
        status = self._run(deadline)
        if status == "infeasible":
            status = self._try_again(deadline)
        value = self.highs.getInfo().objective_function_value / self.objective_scale
        return MemberAnswer(status, float(value) if status == "optimal" else math.nan)

    def _pass(self, part: Mapping[str, FloatArray]) -> None:
        order = np.lexsort((self.column, self.row))
        start = np.searchsorted(self.row[order], np.arange(self.rows + 1))
        self.highs.passModel(
            self.columns,
            self.rows,
            len(order),
            2,  # MatrixFormat.kRowwise
            -1,  # ObjSense.kMaximize
            0.0,
            part["cost"],
            part["lower"],
            part["upper"],
            part["row_lower"],
            part["row_upper"],
            start.astype(np.int32),
            self.column[order].astype(np.int32),
            part["entries"][order],
            np.zeros(self.columns, dtype=np.int32),
        )

    def _change(self, new: Mapping[str, FloatArray], old: Mapping[str, FloatArray]) -> None:
        different = {name: new[name] != old[name] for name in _PARTS}
        at = np.flatnonzero(different["cost"]).astype(np.int32)
        if len(at):
            self.highs.changeColsCost(len(at), at, new["cost"][at])
        at = np.flatnonzero(different["lower"] | different["upper"]).astype(np.int32)
        if len(at):
            self.highs.changeColsBounds(len(at), at, new["lower"][at], new["upper"][at])
        at = np.flatnonzero(different["row_lower"] | different["row_upper"]).astype(np.int32)
        if len(at):
            self.highs.changeRowsBounds(len(at), at, new["row_lower"][at], new["row_upper"][at])
        for each in np.flatnonzero(different["entries"]).tolist():
            self.highs.changeCoeff(int(self.row[each]), int(self.column[each]), float(new["entries"][each]))

    def _run(self, deadline: float) -> Status:
        if math.isfinite(deadline):
            # HiGHS counts the seconds of all its runs together
            left = max(deadline - time.perf_counter(), 0.0)
            self.highs.setOptionValue("time_limit", self.highs.getRunTime() + left)
        self.highs.run()
        name = self.highs.getModelStatus().name
        words: dict[str, Status] = {
            "kOptimal": "optimal",
            "kModelEmpty": "optimal",
            "kInfeasible": "infeasible",
            "kUnbounded": "dual_infeasible",
            "kUnboundedOrInfeasible": "infeasible_or_unbounded",
            "kTimeLimit": "time_limit",
            "kIterationLimit": "iteration_limit",
        }
        return words.get(name, "other_error")

    def _try_again(self, deadline: float) -> Status:
        """Take what is infeasible by no more than the rounding of a decision made elsewhere for feasible."""
        _, fine = self.highs.getOptionValue("primal_feasibility_tolerance")
        if fine >= _LOOSE_TOLERANCE:
            return "infeasible"
        self.highs.clearSolver()
        self.highs.setOptionValue("primal_feasibility_tolerance", _LOOSE_TOLERANCE)
        status = self._run(deadline)
        self.highs.setOptionValue("primal_feasibility_tolerance", fine)
        return status


def _power_of_two(sizes: FloatArray, target: int) -> FloatArray:
    _, exponent = np.frexp(sizes)
    return np.where(sizes > 0.0, np.ldexp(1.0, target - exponent), 1.0)
