"""Whether a solution of a stochastic program is what it says, without a solver."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from bondwork.base.tolerances import LARGEST_GAP, PROGRAM_ROW, SUM
from bondwork.plan.certificate import BadCertificate
from bondwork.plan.findings import Findings
from bondwork.plan.recount_exact import round_up
from bondwork.plan.verify import Verification
from bondwork.plan.verify_provenance import unknown_names, wrong_options
from bondwork.program.program_bound import ProgramBound
from bondwork.program.program_multipliers import read_multipliers
from bondwork.program.program_recount import broken_at, recount
from bondwork.program.program_search import SolutionSearch, name_solution
from bondwork.program.program_solution import ProgramSolution, load_solution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.plan.plan import Certificate
    from bondwork.problem.records import Source
    from bondwork.program.program_multipliers import Multiplier, Place
    from bondwork.program.program_solution import StochasticValue
    from bondwork.program.stochastic import StochasticProgram

#: Share by which a stated number may miss the recomputed one: a digit that another writer of JSON lost.
DIGITS: Final = 1e-12

#: Words of a status under which nothing is decided.
_NOTHING: Final = ("infeasible", "dual_infeasible", "infeasible_or_unbounded")


def verify_solution(program: StochasticProgram, solution: ProgramSolution | Source) -> Verification:
    """Check a solution against its program.

    Rows and columns of every node whose decision the solution holds, the objective where it holds all of
    them, status, gap, and what its certificate proves. What cannot be checked is listed as ``unchecked``.

    Parameters
    ----------
    solution
        The solution, or where to read it.

    Returns
    -------
    Verification
        True in a boolean context when nothing is wrong. Its ``certified`` is in the sense of the program.

    Raises
    ------
    InvalidInput
        The solution cannot be read.
    """
    read = solution if isinstance(solution, ProgramSolution) else load_solution(solution)
    check = _SolutionCheck(program, read)
    check.run()
    violations, unchecked, found = tuple(check.violations), tuple(check.unchecked), tuple(check.found)
    return Verification(violations, check.objective, unchecked, found, check.certified, check.refuted)


class _SolutionCheck(Findings):
    """The program, the solution, and what was found wrong so far."""

    def __init__(self, program: StochasticProgram, solution: ProgramSolution) -> None:
        super().__init__()
        self.program = program
        self.solution = solution
        self.sign = 1.0 if program.sense == "max" else -1.0
        self.objective: float | None = None
        self.certified: float | None = None
        self.refuted = False

    def run(self) -> None:
        program, solution = self.program, self.solution
        if solution.provenance.input_sha256 != program.sha256:
            self.wrong("provenance.input_sha256", solution.provenance.input_sha256, program.sha256)
        for name in ("name", "sense"):
            if getattr(solution, name) != getattr(program, name):
                self.wrong(name, getattr(solution, name), getattr(program, name))
        for name in ("tree_sha256", "history_sha256"):
            if getattr(solution.provenance, name) is not None:
                self.wrong(f"provenance.{name}", getattr(solution.provenance, name), "null: of rounds alone")
        options = solution.provenance.options
        for name, expected in wrong_options(options):
            self.doubt(f"provenance.options.{name[:80]}", options[name], expected)
        if options.get("random_seed", solution.provenance.seed) != solution.provenance.seed:
            self.doubt("provenance.seed", solution.provenance.seed, f"{options['random_seed']}, as asked for")
        self._check_status()
        self._check_values()
        if solution.certificate is None:
            if solution.bound is not None:
                self.unchecked.append("bound: no certificate")
        else:
            self._check_certificate(solution.certificate)
        if solution.status == "infeasible" and not self.refuted:
            self._seek()
        elif solution.status in _NOTHING and not self.refuted:
            self.unchecked.append(f"status {solution.status}: nothing proves it")
        self._check_stochastic()
        self._check_verdict()
        formulation = solution.provenance.options.get("formulation")
        self.unchecked += unknown_names(solution.strategy, str(formulation or "highs"))

    def _check_verdict(self) -> None:
        """What the solution says of its own check; one with faults may honestly say so."""
        solution = self.solution
        if self.violations:
            return
        if solution.solution != "none":
            if not solution.verified:
                self.unchecked.append("verified: the solution says that it was not")
            if solution.status == "locally_infeasible":
                self.wrong("status", solution.status, "another status: every row holds")
        elif solution.verified:
            self.wrong("verified", "true", "false: there is no solution to check")
        if solution.violations:
            self.wrong("violations", f"{len(solution.violations)} violations", "none")

    def _seek(self) -> None:
        """Look for a solution of a program that is said, and not proven, to have none."""
        found = SolutionSearch(self.program).run()
        if found is None:
            self.unchecked.append("infeasibility: not proven")
        else:
            named = name_solution(self.program, found)
            self.wrong("status", "infeasible", f"not infeasible: there is a solution, {named}")

    def _check_status(self) -> None:
        solution = self.solution
        if solution.solution == "none":
            told = {
                "objective": solution.objective,
                "gap": solution.gap,
                "first_stage": solution.first_stage or None,
                "nodes": solution.nodes or None,
            }
            for name, value in told.items():
                if value is not None:
                    self.wrong(name, "a value", "none, as solution is none")
        else:
            if solution.status in _NOTHING:
                self.wrong("status", solution.status, f"another status beside solution {solution.solution}")
            if solution.objective is None:
                self.wrong("objective", None, f"a value beside solution {solution.solution}")
        # wait and see ends optimal and decides nothing
        whole = solution.solution == "optimal"
        if (solution.status == "optimal") != whole and (whole or solution.solution == "feasible"):
            self.wrong("solution", solution.solution, f"what status {solution.status} means")
        self._check_gap()

    def _check_gap(self) -> None:
        """The bound must not be on the worse side of the objective, and the gap is their distance."""
        solution = self.solution
        objective, bound = solution.objective, solution.bound
        if objective is None or bound is None:
            if solution.gap is not None:
                self.wrong("gap", solution.gap, "none: there is no solution or no bound")
            return
        size = max(abs(objective), abs(bound))
        if self.sign * (objective - bound) > SUM * size:
            side = "at least" if self.sign > 0 else "at most"
            self.wrong("bound", bound, f"{side} the objective {objective:.12g}")
        gap = self.sign * (bound - objective) / size if size else 0.0
        if solution.gap is None or abs(solution.gap - gap) > SUM:
            self.wrong("gap", solution.gap, gap)

    def _check_values(self) -> None:
        solution, program = self.solution, self.program
        if solution.solution == "none":
            return
        root = self._values(0, solution.first_stage, "first_stage")
        if solution.nodes is None:
            if len(program) > 1:
                self.unchecked.append("objective: the decisions of later nodes are not in the solution")
                if root is not None:
                    with np.errstate(all="ignore"):  # values may be anything
                        for violation in broken_at(program, 0, [root]):
                            self.wrong(violation.what, violation.found, violation.expected)
                return
            values = [root]
        else:
            values = self._values_of_nodes(root)
        if any(each is None for each in values):
            return
        known = [each for each in values if each is not None]
        try:
            with np.errstate(all="ignore"):
                counted = recount(program, known)
        except (OverflowError, ValueError):  # what sums of infinities of either sign are
            self.wrong("nodes", "values beyond all others", "such as sum up within the range of numbers")
            return
        for violation in counted.violations:
            self.wrong(violation.what, violation.found, violation.expected)
        self.objective = counted.objective
        stated = solution.objective
        if stated is not None and abs(stated - counted.objective) > SUM * counted.size:
            self.wrong("objective", stated, counted.objective)
        self._check_optimal(counted.size)

    def _check_optimal(self, size: float) -> None:
        """What is called optimal is within the gap that was asked for, but for a solver's tolerances."""
        solution, asked = self.solution, self.solution.provenance.options.get("mip_rel_gap", 0.0)
        if solution.solution != "optimal" or solution.objective is None or solution.bound is None:
            return
        share = float(asked) if isinstance(asked, (int, float)) and 0.0 <= asked <= LARGEST_GAP else 0.0
        largest = max(abs(solution.objective), abs(solution.bound))
        gap = self.sign * (solution.bound - solution.objective)
        if gap > 2.0 * share * largest + PROGRAM_ROW * max(largest, size):
            self.wrong("solution", f"optimal, {gap:g} from its bound", f"feasible, or a gap of {share:g}")

    def _values_of_nodes(self, root: FloatArray | None) -> list[FloatArray | None]:
        assert self.solution.nodes is not None
        given: dict[str, Mapping[str, float]] = {}
        for each in self.solution.nodes:
            if each.node in given:
                self.wrong("nodes", f"node {each.node} twice", "every node once")
            given[each.node] = each.values
        for name in given.keys() - set(self.program.nodes):
            self.wrong("nodes", f"node {name}", "nodes of the program")
        found = []
        for node, name in enumerate(self.program.nodes):
            if name not in given:
                self.wrong("nodes", f"no node {name}", "every node once")
                return [None]
            found.append(self._values(node, given[name], f"nodes: {name}"))
        if root is not None and found[0] is not None and not np.array_equal(root, found[0]):
            self.wrong("first_stage", "not what the root decides", "the values of the root among nodes")
        return found

    def _values(self, node: int, given: Mapping[str, float], where: str) -> FloatArray | None:
        columns = self.program.template_of(node).columns
        if given.keys() != set(columns):
            odd = sorted(given.keys() ^ set(columns))[:3]
            self.wrong(where, f"columns that differ: {', '.join(odd)}", "every column of the node once")
            return None
        return np.array([given[name] for name in columns], dtype=np.float64)

    def _check_certificate(self, given: Certificate) -> None:
        try:
            multipliers = read_multipliers(given.multipliers)
            recount_ = ProgramBound(self.program)
            if given.kind == "infeasibility":
                self._check_refutation(recount_.is_refuted(multipliers))
            else:
                self._check_bound(recount_, multipliers, given)
        except BadCertificate as fault:
            self.wrong("certificate.multipliers", str(fault), "multipliers of limits of the program")

    def _check_refutation(self, refuted: bool) -> None:
        given = self.solution.certificate
        if self.solution.solution != "none" or self.solution.bound is not None:
            self.wrong("certificate", "a proof that nothing is feasible", "none beside a solution or a bound")
        elif given is not None and (given.bound is not None or given.vouched_by is not None):
            self.wrong("certificate.bound", given.bound, "null, and nobody who vouches for it")
        elif not refuted:
            self.wrong("certificate", "multipliers that prove nothing", "a proof that nothing is feasible")
        elif self.solution.status != "infeasible":
            self.wrong("status", self.solution.status, "infeasible, as the certificate proves")
        else:
            self.refuted = True

    def _check_bound(
        self, recount_: ProgramBound, multipliers: Mapping[Place, Multiplier], given: Certificate
    ) -> None:
        found = recount_.proven(multipliers)
        if found.bound is None:
            self.wrong("certificate.bound", given.bound, "none: a column without a bound earns without end")
            return
        proven = round_up(found.bound)
        if not math.isfinite(proven):
            expected = "multipliers whose sums are within the range of numbers"
            self.wrong("certificate.multipliers", "larger ones", expected)
            return
        told = None if given.bound is None else self.sign * given.bound
        if told is None or not abs(told - proven) <= DIGITS * abs(proven):
            expected = f"{self.sign * proven!r}, what the multipliers prove"
            self.wrong("certificate.bound", given.bound, expected)
            return
        self.certified = self.sign * proven
        own = self.solution.objective
        if own is not None and found.is_beaten(self.sign * own):
            side = "at most" if self.sign > 0 else "at least"
            self.wrong("objective", own, f"{side} {self.sign * proven:.12g}, which the certificate proves")
        self._compare(given, proven)

    def _compare(self, given: Certificate, proven: float) -> None:
        """The stated bound beside the proven one: what is better than that, somebody vouches for."""
        stated = proven if self.solution.bound is None else self.sign * self.solution.bound
        if proven - stated <= SUM * max(abs(stated), abs(proven)):
            if given.vouched_by:
                what, expected = "certificate.vouched_by", "null: the multipliers prove all of it"
                self.doubt(what, given.vouched_by, expected)
            return
        if not given.vouched_by:
            self.wrong(
                "certificate.vouched_by", None, f"who vouches for a bound of {self.sign * stated:.12g}"
            )
        self.unchecked.append(
            f"bound {self.sign * stated:.12g} by {given.vouched_by}, {self.sign * proven:.12g} certified"
        )

    def _check_stochastic(self) -> None:
        worth = self.solution.stochastic
        if worth is None:
            return
        for name, better, other in (("evpi", "ws", "rp"), ("vss", "rp", "eev")):
            stated, high, low = getattr(worth, name), getattr(worth, better), getattr(worth, other)
            if stated is None:
                continue
            if high is None or low is None:
                self.doubt(f"stochastic.{name}", stated, f"null without {better} and {other}")
            elif abs(stated - self.sign * (high - low)) > SUM * (abs(high) + abs(low)):
                self.doubt(f"stochastic.{name}", stated, self.sign * (high - low))
        self._check_own(worth)
        self.unchecked.append("stochastic: ws, ws_bound, ev and eev are optima of other programs")

    def _check_own(self, worth: StochasticValue) -> None:
        """Check that RP is the solution's own value and bound, and that no value is beyond its bound."""
        solution = self.solution
        told = (worth.ws, worth.rp, worth.ev, worth.eev, solution.bound)
        near = PROGRAM_ROW * max((abs(each) for each in told if each is not None), default=0.0)
        for name, mine in (("rp", solution.objective), ("rp_bound", solution.bound)):
            stated = getattr(worth, name)
            if stated is not None and (mine is None or abs(stated - mine) > near):
                self.doubt(f"stochastic.{name}", stated, mine)
        # nobody earns more than a bound, whether or not it is known what will happen
        for name, value in (
            ("ws_bound", worth.ws),
            ("ws_bound", worth.rp),
            ("rp_bound", worth.rp),
            ("rp_bound", worth.eev),
        ):
            bound = getattr(worth, name)
            if bound is not None and value is not None and self.sign * (bound - value) < -near:
                self.doubt(f"stochastic.{name}", bound, f"nothing worse than {value:.12g}")
