"""The course of the L-shaped method: relaxation first, in a trust region; then whole columns, by cuts.

The relaxation is a concave maximisation known by its cuts. A step maximises the cuts within a box round the
best point so far, which keeps early cuts, that know little, from sending it far away; the box grows where the
cuts told the truth and shrinks where they did not. The bound is that of the master problem without the box.

With whole columns the master problem is solved as such, its bound being the bound, to a gap that tightens
with what is left to prove. Whole columns in the second stage need cuts that know of them: those of Laporte &
Louveaux, exact at one yes-or-no first stage and harmless elsewhere.

References
----------
J. Linderoth & S. Wright, Decomposition algorithms for stochastic programming on a computational grid,
Computational Optimization and Applications 24 (2003) 207-250. G. Laporte & F. V. Louveaux, The integer
L-shaped method for stochastic integer programs with complete recourse, Operations Research Letters 13 (1993)
133-142.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.contracts import Options, Progress
from bondwork.program.bounds import gap
from bondwork.strategies.l_shaped.shards import Interrupted, ProcessFailure

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.matrices import Matrices
    from bondwork.strategies.l_shaped.master import Master, Proposal
    from bondwork.strategies.l_shaped.shards import Team

#: Differences below this share of a value's size are rounding.
ROUNDING = 1e-9

#: Steps after which the bound is worked out although nobody needs it yet.
BOUND_STEPS = 10

#: Radius from which on an unbounded relaxation is taken for one.
FARTHEST = 1e12

#: Gap that tolerances may leave open where everything was done; what is more is said to be an error.
WORST_PRECISION = 1e-6


#: Share of the longest look at all scenarios that is kept for the last one.
RESERVE = 1.2


class Ended(Exception):
    """The solve ends here; ``status`` says why."""

    def __init__(self, status: Status, note: str = "") -> None:
        self.status = status
        self.note = note
        super().__init__(status)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Point:
    """What is known of one first stage: its value with relaxed recourse, or ``None`` where there is none."""

    x: FloatArray
    value: float | None
    new: bool


class Engine:
    """One solve.

    Parameters
    ----------
    first
        The first stage.
    master, team
        The master problem, and those who know the scenarios.
    linking
        Shape (n1,). Columns of the first stage that any scenario sees.
    whole_recourse
        Whether any scenario has whole columns.
    options, observer, deadline
        Limits; the deadline is on the clock of `time.perf_counter`.
    trust
        Whether steps of the relaxation stay within a box.
    tighten
        Whether cuts are lowered as far as whole columns allow: never, at the relaxation's end, or always.
    """

    def __init__(
        self,
        first: Matrices,
        master: Master,
        team: Team,
        linking: BoolArray,
        *,
        whole_recourse: bool,
        options: Options,
        observer: Observer,
        deadline: float,
        trust: bool,
        tighten: str,
    ) -> None:
        self.first, self.master, self.team, self.linking = first, master, team, linking
        self.whole_recourse = whole_recourse
        self.whole = whole_recourse or bool(first.integer.any())
        self.options, self.observer, self.deadline = options, observer, deadline
        self.trust, self.tighten = trust, tighten
        self.started = time.perf_counter()
        self.bound = math.inf
        #: Best first stage found whose value is real, and that value.
        self.best: FloatArray | None = None
        self.value = -math.inf
        self.y: list[FloatArray] | None = None
        self.steps = self.evaluations = 0
        #: Seconds that the recourse of the first stage that is handed out will take: as long as any other's.
        self.reserve = 0.0
        #: How far to look where the cuts do not limit the first stage.
        self.far = 1.0
        self.phase = "l-shaped, relaxation" if self.whole else "l-shaped"

    def run(self, start: FloatArray | None) -> tuple[Status, str]:
        """Solve; return why it ended, and a note. What was found is in the attributes."""
        try:
            x = self._relaxation(start)
            if self.whole:
                self._branch(x)
        except Ended as end:
            return self._ended(end.status), end.note
        except Interrupted:
            return "interrupted", ""
        except ProcessFailure as failure:
            self.team.close()
            return "other_error", str(failure)
        return "optimal", ""

    def _ended(self, status: Status) -> Status:
        """Why it ended, in view of what was found: nothing is best where there is always something better."""
        if status == "infeasible" and self.best is not None:
            return "numerical_error"
        if status in ("dual_infeasible", "infeasible_or_unbounded"):
            if self.best is not None:  # feasible, so no proof of either but of one
                status = "dual_infeasible"
            self.best, self.value, self.y = None, -math.inf, None
            self.bound = math.inf
        elif status == "infeasible":
            self.bound = -math.inf
        return status

    # --- what both phases need ---------------------------------------------------------------------------

    def _left(self) -> float:
        if self.observer.should_stop():
            raise Ended("interrupted")
        left = self.deadline - self.reserve - time.perf_counter()
        if left <= 0.0:
            raise Ended("time_limit")
        return left

    def _report(self) -> None:
        value = self.value if math.isfinite(self.value) else None
        bound = self.bound if math.isfinite(self.bound) else None
        self.observer.report(Progress(time.perf_counter() - self.started, value, bound, self.phase))

    def _ask(self, what: str, x: FloatArray) -> list[Any]:
        self._left()
        asked = time.perf_counter()
        answers = self.team.ask(what, x, self.deadline - self.reserve)
        if not self.whole_recourse:
            self.reserve = max(self.reserve, RESERVE * (time.perf_counter() - asked))
        for each in answers:
            if each.status == "dual_infeasible":
                raise Ended("infeasible_or_unbounded", "recourse is unbounded")
            if each.status != "optimal":
                raise Ended(each.status)
        return answers

    def _evaluate(self, x: FloatArray, what: str = "evaluate") -> Point:
        """Solve the relaxed recourse at a first stage and add its cuts."""
        self.evaluations += 1
        before = self.master.most(x)
        count = self.master.clusters
        constant, slope = np.zeros(count), np.zeros((count, len(x)))
        seen, broken, new = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool), False
        for found in self._ask(what, x):
            np.add.at(constant, found.cluster, found.constant)
            np.add.at(slope, found.cluster, found.slope)
            seen[found.cluster] = True
            broken[found.infeasible] = True
            if len(found.allow):
                new |= bool(np.any(found.forbid @ x > found.allow + ROUNDING * (1.0 + np.abs(found.allow))))
                self.master.forbid(found.forbid, found.allow)
        value = constant + slope @ x
        room = ROUNDING * np.maximum(1e-3 * np.abs(value).max(initial=0.0), np.abs(value))
        added = np.flatnonzero(seen & ~broken & ((before - value > room) | ~self.master.known))
        if len(added):
            self.master.add_cuts(added, constant[added], slope[added])
            new = True
        if broken.any():
            return Point(x, None, new)
        return Point(x, float(self.first.value(x) + value.sum()), new)

    def _tolerance(self, share: float) -> float:
        return max(share, ROUNDING) * max(
            abs(self.bound) if math.isfinite(self.bound) else 0.0, abs(self.value)
        )

    # --- the relaxation ----------------------------------------------------------------------------------

    def _relaxation(self, start: FloatArray | None) -> FloatArray:
        """Solve the linear relaxation; return its best first stage."""
        center, best = self._first_point(start)
        share = min(self.options.mip_rel_gap, 1e-6) if self.whole else self.options.mip_rel_gap
        radius = 0.1 if self.trust else math.inf
        stuck = 0
        while True:
            self.steps += 1
            self.master.purge()
            model = None
            if math.isfinite(radius) and self.steps % BOUND_STEPS != 1 and not _is_far(center):
                model = self._within(self._box(center, radius))
                if model is not None and model.value - best <= self._gap(best, share):
                    model, radius = None, 4.0 * radius  # nothing to gain here: look beyond
            if model is None:
                model = self._beyond(center, best)
                if self.bound - best <= self._gap(best, share):
                    return center
            point = self._evaluate(model.x)
            better = point.value is not None and point.value > best
            # neither a new cut nor a better point: what the model promises is rounding
            stuck = 0 if point.new or better else stuck + 1
            promised = model.value - best
            if point.value is not None and better:
                if point.value - best > 0.5 * promised:
                    radius *= 2.0
                center, best = point.x, point.value
                self._offer_relaxed(center, best)
            elif point.value is not None and point.value < best - promised:
                radius = max(radius / 2.0, 1e-6)
            if stuck > 3 and math.isfinite(self.bound):
                # the cuts say all that tolerances let them say
                if not self.whole and gap(best, self.bound) > WORST_PRECISION:
                    raise Ended("numerical_error", "cuts could not be made exact")
                return center
            self._report()

    def _within(self, box: tuple[FloatArray, FloatArray]) -> Proposal | None:
        """Ask the master problem, known to have a solution in the box; ``None`` where that is too wide."""
        model = self.master.relax(box, self._left())
        if model.status in ("time_limit", "interrupted"):
            raise Ended(model.status)
        return model if model.status == "optimal" else None

    def _beyond(self, center: FloatArray, best: float) -> Proposal:
        """Ask the master problem without the box: its value is a bound."""
        model = self.master.relax(None, self._left())
        if model.status == "optimal":
            self.bound = min(self.bound, max(model.value, best))
            return model
        if model.status != "dual_infeasible":
            raise Ended(_reason(model.status))
        self.far *= 100.0
        within = None
        if self.far <= FARTHEST and not _is_far(center):
            within = self._within(self._box(center, self.far))
        if within is None:
            raise Ended("infeasible_or_unbounded" if self.whole else "dual_infeasible")
        return within

    def _gap(self, best: float, share: float) -> float:
        return max(share, ROUNDING) * max(abs(best), 1e-3 * self._scale())

    def _scale(self) -> float:
        """Size of the amounts at hand: a value near 0 is no reason for infinite precision."""
        return float(np.abs(self.first.objective).max(initial=0.0)) or 1e-9

    def _box(self, center: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
        first = self.first
        span = first.upper - first.lower
        wide = np.where(np.isfinite(span), span, np.maximum(1.0, np.abs(center)))
        lower = np.maximum(first.lower, center - radius * wide)
        return lower, np.maximum(lower, np.minimum(first.upper, center + radius * wide))

    def _first_point(self, start: FloatArray | None) -> tuple[FloatArray, float]:
        """Find a first stage that leaves recourse in every scenario."""
        x, last = start, None
        while True:
            if x is None:
                model = self.master.relax(None, self._left())
                if model.status == "dual_infeasible":
                    model = self.master.relax(None, self._left(), costless=True)
                if model.status != "optimal":
                    raise Ended(_reason(model.status))
                x = model.x
            point = self._evaluate(x)
            if point.value is not None:
                self._offer_relaxed(x, point.value)
                self._report()
                return x, point.value
            if last is not None and np.array_equal(x, last):
                raise Ended("numerical_error", "no cut rules out a first stage that leaves no recourse")
            last, x = x, None

    def _offer_relaxed(self, x: FloatArray, value: float) -> None:
        """Take a solution of the relaxation for one of the program, where it is one."""
        if not self.whole and value > self.value:
            self.best, self.value = x, value

    # --- whole columns -----------------------------------------------------------------------------------

    def _branch(self, x: FloatArray) -> None:
        """Add cuts until the master problem with whole columns proposes what it promises."""
        self.phase = "l-shaped, whole columns"
        if self.whole_recourse and self.tighten != "no":
            self._evaluate(x, "tighten")
        first, target = self.first, self.options.mip_rel_gap
        seen: set[bytes] = set()
        precision = max(target, 0.01)
        while True:
            options = dataclasses.replace(self.options, time_limit=self._left(), mip_rel_gap=precision)
            answer = self.master.whole(self.best, options, self.observer)
            if answer.status == "infeasible":
                if self.best is None:
                    raise Ended("infeasible")
                self.bound = self.value
                return
            self.bound = max(min(self.bound, answer.bound), self.value)
            if self._closed(target):
                return
            if answer.x is None or answer.status in ("time_limit", "interrupted"):
                raise Ended(_reason(answer.status))
            proposal = answer.x[: len(first.objective)]
            key = np.round(proposal[self.linking], 9).tobytes()
            again = key in seen and not self._promising(proposal)
            seen.add(key)
            new = self._look_at(proposal)
            self._report()
            if self._closed(target):
                return
            if again or not new:
                if precision <= ROUNDING:
                    # the cuts are exact here; what is left are tolerances
                    note = f"stopped at the precision of the cuts, gap {self._open():.1e}"
                    well = math.isfinite(self.value) and self._open() <= WORST_PRECISION
                    raise Ended("optimal" if well else "numerical_error", note)
                precision = (
                    0.0 if precision <= max(target, ROUNDING) else max(target, ROUNDING, precision / 10)
                )
            elif math.isfinite(self.value):
                precision = min(precision, max(target, 0.2 * self._open()))

    def _promising(self, x: FloatArray) -> bool:
        return bool(self.first.value(x) + self.master.most(x).sum() > self.value + self._tolerance(0.0))

    def _open(self) -> float:
        return gap(self.value, self.bound)

    def _closed(self, target: float) -> bool:
        if self.best is None or not math.isfinite(self.bound):
            return False
        return self.bound - self.value <= max(self._tolerance(target), ROUNDING * self._scale())

    def _look_at(self, x: FloatArray) -> bool:
        """Evaluate a proposal of the master problem; return whether a cut now knows more."""
        always = self.whole_recourse and self.tighten == "always"
        point = self._evaluate(x, "tighten" if always else "evaluate")
        if point.value is None:
            return point.new
        if not self.whole_recourse:
            if point.value > self.value:
                self.best, self.value = x, point.value
            return point.new
        if point.new and point.value <= self.value + self._tolerance(0.0):
            return True  # the relaxation alone rules it out
        return self._look_whole(x) or point.new

    def _look_whole(self, x: FloatArray) -> bool:
        """Find what a yes-or-no first stage is really worth, and cut off all that is more."""
        count = self.master.clusters
        value, bound = np.zeros(count), np.zeros(count)
        answers = self._ask("whole", x)
        yes = self.linking & (x > 0.5)
        sign = np.where(self.linking, np.where(yes, 1.0, -1.0), 0.0)
        if not all(getattr(each, "feasible", not len(getattr(each, "infeasible", ()))) for each in answers):
            self.master.forbid(sign[None], np.array([yes.sum() - 1.0]))
            return True
        for each in answers:
            if hasattr(each, "value"):
                np.add.at(value, each.cluster, each.value)
                np.add.at(bound, each.cluster, each.bound)
            else:  # a part of the scenarios without whole columns
                earned = each.constant + each.slope @ x
                np.add.at(value, each.cluster, earned)
                np.add.at(bound, each.cluster, earned)
        total = float(self.first.value(x) + value.sum())
        if total > self.value:
            self.best, self.value = x, total
            self.y = [each.y for each in answers]
        ceilings = self.master.ceilings()
        lower = np.flatnonzero(self.master.most(x) - bound > ROUNDING * np.maximum(1.0, np.abs(bound)))
        if not len(lower) or not np.all(np.isfinite(ceilings[lower])):
            return False
        drop = np.maximum(ceilings - bound, 0.0)[lower]
        self.master.add_cuts(lower, bound[lower] + drop * yes.sum(), -drop[:, None] * sign[None])
        return True


def _is_far(x: FloatArray) -> bool:
    """Whether a first stage is so far out that no box round it is one to solve in."""
    return bool(np.abs(x).max(initial=0.0) > FARTHEST)


def _reason(status: Status) -> Status:
    """A master problem's reason, as that of the whole solve."""
    return "infeasible_or_unbounded" if status == "dual_infeasible" else status
