"""Limits by generation: rows and cuts are added where a solution breaks a limit.

A CVaR limit over ten thousand scenarios is decided by the few hundred in its tail: only those get a row
(A. Kuenzi-Bay & J. Mayer, Computational Management Science 3 (2006) 3-27, in its disaggregated form, which
needs far fewer rounds than one cut at a time). Limits without scenario rows get cuts (J. E. Kelley, Journal
of the SIAM 8 (1960) 703-712). Linear rows are cut where a whole solution breaks them by less than a solver
sees; see `bondwork.program.row_cuts`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.program.blocks import with_block, with_cuts
from bondwork.program.exact import for_solver
from bondwork.program.proof import proof_of
from bondwork.program.row_cuts import WHOLE_TOLERANCE, RowCuts
from bondwork.risk.measure import Cut

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.program import Program
    from bondwork.program.proof import Proof
    from bondwork.risk.measure import Measure

#: A fractional point breaks a limit where its value is above it by more than this share of it: well above
#: what a solver's feasibility tolerance amounts to. Of whole points, which are handed out, `ROW` decides.
CUT_TOLERANCE = 1e-7


class CuttingPlanes:
    """A program and what has been generated so far for its lazy measures, and for rows that hold exactly.

    Parameters
    ----------
    program
        Its lazy measures must be convex.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._rows = RowCuts(program)
        self._seen = for_solver(program)
        self.measures = [program.measures[number] for number in program.lazy]
        for measure in self.measures:
            if not measure.convex:
                raise TypeError(f"{measure.label} cannot be enforced by cuts")
        self._scenarios: list[IntArray | None] = [None] * len(self.measures)
        self._cuts: list[list[Cut]] = [[] for _ in self.measures]
        #: Sets of choices that together break a limit by less than a solver sees.
        self._covers: list[Cut] = []
        #: Rows of the last `matrices` whose multipliers are the price of each lazy measure's limit, and their
        #: units.
        self._priced: list[list[tuple[int, float]]] = [[] for _ in self.measures]
        #: Measure, row and cut of the cuts in the last `matrices`.
        self._cut_rows: list[tuple[int, int, Cut]] = []

    def separate(self, x: FloatArray) -> int:
        """Add what rules a point out, for each limit that it breaks; return how many limits those are."""
        broken = [number for number, measure in enumerate(self.measures) if _is_broken(measure, x)]
        for number in broken:
            measure = self.measures[number]
            critical = measure.critical(x)
            known = self._scenarios[number]
            if critical is not None and (known is None or not np.isin(critical, known).all()):
                self._scenarios[number] = critical if known is None else np.union1d(known, critical)
            else:
                self._cuts[number].append(measure.cut(x))
        return len(broken) + self._cover(x) + self._rows.separate(x)

    def holds(self, x: FloatArray) -> bool:
        """Whether a whole point keeps every limit, generated yet or not."""
        return not self._rows.breaks(x) and not any(_is_broken(each, x) for each in self.program.measures)

    def _cover(self, x: FloatArray) -> int:
        """Rule a whole point out that breaks a limit although every row says that it holds.

        Rows hold to a solver's tolerance, measures are exact. Losses only grow with what is chosen: not all
        choices of such a point can be made together.
        """
        chosen = np.flatnonzero(x > 0.5)
        if np.any(np.abs(x - np.round(x)) > WHOLE_TOLERANCE):
            return 0
        found = 0
        for number, measure in enumerate(self.program.measures):
            exhausted = number not in self.program.lazy or self._cuts[self.program.lazy.index(number)]
            if exhausted and _is_broken(measure, x):
                normal = np.zeros(len(x))
                normal[np.intersect1d(chosen, measure.loss.columns)] = 1.0
                self._covers.append(Cut(normal, float(normal.sum()) - 1.0))
                found += 1
        return found

    def matrices(self) -> Program:
        """Return the program, as a solver should see it, with what has been generated as further rows."""
        result = self._seen
        self._cut_rows = []
        for number, measure in enumerate(self.measures):
            scenarios = self._scenarios[number]
            priced: list[tuple[int, float]] = []
            if scenarios is not None:
                block = measure.block(scenarios)
                result = with_block(result, block, of=("measure", self.program.lazy[number]))
                # CVaR has one row for its budget, the last; the worst case a budget in every row
                first = len(result.row_lower) - (1 if measure.block_has_total else len(scenarios))
                priced += [(row, block.unit) for row in range(first, len(result.row_lower))]
            if self._cuts[number]:
                first = len(result.row_lower)
                priced += [(first + i, 1.0) for i in range(len(self._cuts[number]))]
                for i, cut in enumerate(self._cuts[number]):
                    self._cut_rows.append((self.program.lazy[number], first + i, cut))
                result = with_cuts(result, self._cuts[number])
            self._priced[number] = priced
        if self._covers:
            result = with_cuts(result, self._covers)
        result = self._rows.add_to(result)
        return dataclasses.replace(result, lazy=self.program.lazy)

    def prices(self, row_duals: FloatArray) -> FloatArray:
        """Price of one unit of each lazy limit, from multipliers of the last `matrices`. Shape (k,)."""
        return np.array([sum(row_duals[row] / unit for row, unit in priced) for priced in self._priced])

    def proof(self, matrices: Program, row_duals: FloatArray) -> Proof | None:
        """Return what multipliers of the last `matrices` prove; cuts through covers count for nothing."""
        return proof_of(matrices, row_duals, self._cut_rows)


def _is_broken(measure: Measure, x: FloatArray) -> bool:
    """Whether a point breaks a limit, rounding aside; probabilities of scenarios have none to speak of."""
    size = abs(measure.ceiling)
    if np.all(np.abs(x - np.round(x)) <= WHOLE_TOLERANCE):
        return measure.value(np.round(x)) > measure.ceiling + ROW * size
    if measure.convex:
        size = max(size, 1e-3 * float(np.max(measure.loss.weight * x[measure.loss.columns], initial=0.0)))
    return measure.value(x) > measure.ceiling + CUT_TOLERANCE * size
