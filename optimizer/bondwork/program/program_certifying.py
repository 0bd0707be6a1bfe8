"""From a solved stochastic program to the certificate of its solution."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack

from bondwork.base.tolerances import SUM
from bondwork.observing import Silence
from bondwork.plan.certificate import BadCertificate
from bondwork.plan.plan import Certificate
from bondwork.plan.recount_exact import round_up
from bondwork.program.bounds import gap
from bondwork.program.extensive import ExtensiveForm, extensive_form
from bondwork.program.free_columns import project
from bondwork.program.matrices import Matrices
from bondwork.program.program_bound import ProgramBound
from bondwork.program.program_multipliers import LINKING, read_multipliers, write_multipliers
from bondwork.program.program_signs import SignRepair
from bondwork.program.strengthening import strengthen_with_origins
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Options, Voucher
    from bondwork.plan.certificate import Token
    from bondwork.program.program_bound import Proven
    from bondwork.program.program_multipliers import Multiplier, Place
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.program.stochastic import StochasticProgram

#: Matrix entries from which on solutions have a certificate only where it is asked for.
MOST_CERTIFIED = 100_000

#: Seconds that the linear relaxation may take, and those that an entry takes in fractions.
_SECONDS, _SECONDS_PER_ENTRY = 20.0, 1e-5

#: What columns without a bound seem to earn more, as a share of the largest cost, for multipliers that keep
#: away from earning; and the tolerance that is asked for then, which is far less.
_MARGIN, _FINE = 1e-8, 1e-10


class NoCertificate(Exception):
    """Why a solution has none."""


def entries_of(program: StochasticProgram) -> int:
    """Matrix entries of the extensive form."""
    sizes = np.array([len(each.entry_row) for each in program.templates])
    return int(sizes[program.template].sum()) + len(program.linking.entry_row)


def certify_solution(
    program: StochasticProgram,
    solution: ProgramSolution,
    options: Options,
    row_duals: FloatArray | None = None,
) -> ProgramSolution:
    """Return a solution with its certificate, or with a note why there is none.

    Parameters
    ----------
    options
        The time limit is for the certificate.
    row_duals
        Multipliers of the extensive form's rows, where they are known; its linear relaxation is solved
        otherwise.
    """
    if solution.status not in ("infeasible", "dual_infeasible", "infeasible_or_unbounded", "interrupted"):
        make = _bounded
    elif solution.status == "infeasible":
        make = _refuted
    else:
        return solution
    ends = time.perf_counter() + options.time_limit - _SECONDS_PER_ENTRY * entries_of(program)
    try:
        return make(_Maker(program, options, ends), solution, row_duals)
    except NoCertificate as reason:
        return _noted(solution, f"no certificate: {reason}")
    except Exception as error:  # whatever goes wrong costs the certificate, not the solution
        return _noted(solution, f"no certificate: {type(error).__name__}: {error}")


def _noted(solution: ProgramSolution, note: str) -> ProgramSolution:
    provenance = solution.provenance.model_copy(update={"notes": [*solution.provenance.notes, note]})
    return solution.model_copy(update={"provenance": provenance})


def _bounded(maker: _Maker, solution: ProgramSolution, row_duals: FloatArray | None) -> ProgramSolution:
    stronger = None
    with contextlib.suppress(NoCertificate):
        stronger = maker.strengthened()
    multipliers, found = stronger or maker.best(row_duals)
    assert found.bound is not None
    sign = 1.0 if solution.sense == "max" else -1.0
    proven = round_up(found.bound)
    if not math.isfinite(proven):
        raise NoCertificate("the bound is beyond the range of numbers")
    own = None if solution.objective is None else sign * solution.objective
    if own is not None and found.is_beaten(own):
        raise NoCertificate("rows that hold to their tolerance only let the solution be better than it")
    update: dict[str, object] = {}
    stated = None if solution.bound is None else sign * solution.bound
    if stated is None or proven < stated:
        stated = proven if own is None else max(proven, own)
        update = {"bound": sign * stated, "gap": None if own is None else gap(own, stated)}
    alike = proven - stated <= SUM * max(abs(proven), abs(stated))
    update["certificate"] = Certificate(
        kind="bound",
        bound=sign * proven + 0.0,
        vouched_by=None if alike else maker.vouched_by(solution),
        multipliers=_written(multipliers),
    )
    return solution.model_copy(update=update)


def _written(multipliers: Mapping[Place, Multiplier]) -> list[Token]:
    """The array of some multipliers, one that is read."""
    tokens = write_multipliers(multipliers)
    try:
        read_multipliers(tokens)
    except BadCertificate as reason:
        raise NoCertificate(f"{reason}") from None
    return tokens


def _refuted(maker: _Maker, solution: ProgramSolution, row_duals: FloatArray | None) -> ProgramSolution:
    del row_duals
    multipliers: dict[Place, Multiplier] = {} if maker.bound.is_crossed() else maker.refutation()
    proof = Certificate(kind="infeasibility", bound=None, multipliers=_written(multipliers))
    return solution.model_copy(update={"certificate": proof})


class _Maker:
    """Finds multipliers for one program."""

    def __init__(self, program: StochasticProgram, options: Options, ends: float) -> None:
        self.program = program
        self.options = options
        self.ends = ends
        self.bound = ProgramBound(program)
        self.form: ExtensiveForm = extensive_form(program)

    def vouched_by(self, solution: ProgramSolution) -> Voucher:
        """Who says that a better bound holds."""
        if solution.strategy != "extensive":
            return "strategy"
        return "branch_and_bound" if self.form.matrices.integer.any() else "linear_relaxation"

    def strengthened(self) -> tuple[dict[Place, Multiplier], Proven] | None:
        """Multipliers of the relaxation with rows that strengthen it; ``None`` where there are none."""
        form = self.form.matrices
        stronger, origins = strengthen_with_origins(form)
        if not len(origins):
            return None
        duals, count = self._duals(stronger), len(form.row_upper)
        told: dict[Place, float] = self._by_place(duals[:count])
        node = np.searchsorted(self.form.row_start, origins[:, 0], side="right") - 1
        for k in np.flatnonzero(duals[count:] > 0.0).tolist():
            at = int(node[k])
            if at < len(self.program):  # others are of linking rows
                row = int(origins[k, 0] - self.form.row_start[at])
                told[at, row, int(origins[k, 1])] = self.bound.sign * float(duals[count + k])
        made = SignRepair(self.bound, told, costs=True).run()
        return None if made is None else (dict(made), self.bound.proven(made))

    def best(self, row_duals: FloatArray | None) -> tuple[dict[Place, Multiplier], Proven]:
        """Multipliers of the linear relaxation, and what they prove."""
        duals = self._duals(self.form.matrices) if row_duals is None else row_duals
        told = self._by_place(duals)
        made = SignRepair(self.bound, told, costs=True).run()
        if made is not None:
            return dict(made), self.bound.proven(made)
        found = [project(self.bound, told, costs=True)]
        with contextlib.suppress(NoCertificate):  # one way is enough
            found.append(self._repaired(self._duals(self._with_margin(), fine=True), costs=True))
        proven = [(each, self.bound.proven(each)) for each in found if each is not None]
        if not proven:
            raise NoCertificate("a column without a bound earns along every multiplier that was found")
        return min(proven, key=lambda each: each[1].bound or Fraction(0))

    def refutation(self) -> dict[Place, Multiplier]:
        """Multipliers that prove that nothing is feasible."""
        answer_duals, left = self._elastic()
        if left <= 0.0:
            raise NoCertificate("the linear relaxation is feasible")
        made = self._repaired(answer_duals, costs=False)
        if made is None or not self.bound.is_refuted(made):
            raise NoCertificate("the multipliers of the linear relaxation prove nothing when recomputed")
        return made

    def _repaired(self, row_duals: FloatArray, *, costs: bool) -> dict[Place, Multiplier] | None:
        told = self._by_place(row_duals)
        made = SignRepair(self.bound, told, costs=costs).run()
        return project(self.bound, told, costs=costs) if made is None else dict(made)

    def _by_place(self, row_duals: FloatArray) -> dict[Place, float]:
        """Multipliers in the sense of the program, without those of limits that there are not."""
        form, sign = self.form.matrices, self.bound.sign
        duals = np.nan_to_num(row_duals, nan=0.0, posinf=0.0, neginf=0.0)
        limits = np.where(duals > 0.0, form.row_upper, form.row_lower)
        rows = np.flatnonzero((duals != 0.0) & np.isfinite(limits))
        start = self.form.row_start
        nodes = np.searchsorted(start, rows, side="right") - 1
        nodes = np.minimum(nodes, len(start) - 1)
        places: dict[Place, float] = {}
        for row, node in zip(rows.tolist(), nodes.tolist(), strict=True):
            linked = row >= start[-1]
            place = (LINKING if linked else node, row - int(start[-1 if linked else node]))
            places[place] = sign * float(duals[row])
        return places

    def _left(self) -> Options:
        seconds = min(self.ends - time.perf_counter(), _SECONDS)
        if seconds <= 0.0:
            raise NoCertificate("no time was left for it")
        return dataclasses.replace(self.options, time_limit=seconds)

    def _duals(self, matrices: Matrices, *, fine: bool = False) -> FloatArray:
        options = self._left()
        if fine:
            options = dataclasses.replace(
                options, highs={**options.highs, "dual_feasibility_tolerance": _FINE}
            )
        # whole columns that alone break a row would be out beforehand, and that row without a multiplier
        linear = dataclasses.replace(matrices, integer=np.zeros_like(matrices.integer))
        answer = solve_program(linear, options, Silence(), relaxed=True, phase="proof")
        if answer.status != "optimal" or answer.row_duals is None:
            raise NoCertificate(f"the linear relaxation ended with {answer.status.replace('_', ' ')}")
        return answer.row_duals

    def _with_margin(self) -> Matrices:
        """The program in which columns without a bound earn a little more along it."""
        form = self.form.matrices
        margin = _MARGIN * max(float(np.abs(form.objective).max(initial=0.0)), 1e-6)
        above = np.array([each is None for each in self.bound.upper])
        below = np.array([each is None for each in self.bound.lower])
        return dataclasses.replace(
            form, objective=form.objective + margin * (above & ~below) - margin * (below & ~above)
        )

    def _elastic(self) -> tuple[FloatArray, float]:
        """Multipliers of the program that breaks its rows as little as it can, and by how much it does."""
        form = self.form.matrices
        rows, columns = form.matrix.shape
        size = np.ones(rows)
        np.maximum.at(size, np.repeat(np.arange(rows), np.diff(form.matrix.indptr)), np.abs(form.matrix.data))
        aside = csr_array(eye_array(rows, format="csr"))
        elastic = Matrices(
            objective=np.concatenate([np.zeros(columns), -1.0 / size, -1.0 / size]),
            offset=0.0,
            matrix=csr_array(hstack([form.matrix, aside, -aside], format="csr")),
            row_lower=form.row_lower,
            row_upper=form.row_upper,
            lower=np.append(form.lower, np.zeros(2 * rows)),
            upper=np.append(form.upper, np.full(2 * rows, np.inf)),
            integer=np.zeros(columns + 2 * rows, dtype=bool),
        )
        answer = solve_program(elastic, self._left(), Silence(), relaxed=True, phase="proof")
        if answer.status != "optimal" or answer.row_duals is None or answer.x is None:
            raise NoCertificate(f"the linear relaxation ended with {answer.status.replace('_', ' ')}")
        return answer.row_duals, float(answer.x[columns:].sum())
