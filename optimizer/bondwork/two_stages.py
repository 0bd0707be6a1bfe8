"""The road of a round whose tasks can be given away again once their executors have failed (MODEL 4).

round -> rescues -> outcomes that may be seen -> first stage by the formulation -> stochastic program
      -> strategy -> first stage, settled -> best second stage for what is seen of it -> fresh scenarios
      -> other limits, and once more, where calibrated ones do not hold there or leave room
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.clock import Clock
from bondwork.calibration import ENOUGH_GAIN, Candidate, calibrate
from bondwork.contracts import ProgramDecision, Progress
from bondwork.observing import Quiet, Silence, Told
from bondwork.plan.conflict import find_conflict
from bondwork.plan.plan import Conflict, Evaluation, Timing
from bondwork.plan.two_stage_conflict import find_two_stage_conflict
from bondwork.problem.rescues import find_rescues
from bondwork.program.recourse import SecondStage, decide_second_stage
from bondwork.program.redelegation import (
    Redelegation,
    observe,
    redelegate,
    without_risk,
)
from bondwork.program.rescue_assessment import assess_rescues, in_sample_objective, measure_fresh
from bondwork.program.rescue_evaluation import evaluate_rescues
from bondwork.program.rescue_limits import keeps_limits, with_fewer_offers, without_decision
from bondwork.program.rescue_money import covers_of, with_further_covers, without_excess
from bondwork.program.staged_money import MOST_ROUNDS
from bondwork.program.stochastic_value import stochastic_value
from bondwork.rehearsing import Later
from bondwork.strategies.extensive import Extensive
from bondwork.two_stage_first import FirstStageDecider, chosen_offers
from bondwork.two_stage_found import CUT_SHORT, Found, candidate, known_of, or_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Formulation, Observer, Options
    from bondwork.plan.certificate import Entry
    from bondwork.problem.instance import Instance
    from bondwork.risk.assessment import Assessment

#: Seconds that the second stage of what was found, and its evaluation, have in any case.
GRACE = 0.05

#: Share of the time limit that each of them may take behind a greedy first stage.
QUICK_SHARE = 0.15

#: What is said where a strategy ended without a decision although there is one.
FOUND_NONE = "the strategy ended without a decision: this one is greedy"

#: Share of the time limit that is kept for WS, EEV and what follows from them.
VALUE_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class TwoStageDecision:
    """What came of a two-stage round.

    Attributes
    ----------
    model
        The program of all outcomes.
    decision
        What the strategy said of it.
    settled
        The program of what is seen of the chosen first stage; ``None`` without one.
    x, rescued
        First stage, and decisions of the nodes of ``settled``; ``None`` where there are none.
    proofs
        Entries of certificates that the strategy knows, for the model.
    knows_outcomes
        Whether the bound is about somebody who knows what will be seen.
    """

    model: Redelegation
    decision: ProgramDecision
    settled: Redelegation | None
    x: FloatArray | None
    rescued: FloatArray | None
    assessments: tuple[Assessment, ...]
    tightening: Mapping[int, float]
    evaluation: Evaluation | None
    stochastic: dict[str, float | str | None] | None
    conflict: Conflict | None
    timing: Timing
    notes: tuple[str, ...]
    proofs: tuple[tuple[Entry, ...], ...] = ()
    knows_outcomes: bool = False


class TwoStageRoad:
    """A round with second-stage offers, and all that is needed to decide it.

    Parameters
    ----------
    instance, formulation, options, observer, seed
        As for `bondwork.road.Road`.
    strategy
        Name of an installed one. One that decides stochastic programs decides both stages together; another
        decides the first stage without regard to the second, which is then the best one for that.
    value
        Work out WS, EEV, EVPI and VSS as well.
    clock
        From when on the time limit counts; from now on where it is left out.
    """

    def __init__(
        self,
        instance: Instance,
        strategy: str,
        formulation: Formulation,
        options: Options,
        observer: Observer,
        *,
        seed: int,
        value: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.clock = Clock(options.time_limit) if clock is None else clock
        #: Seconds to keep for each of what follows the strategy; see `tried`.
        self.later = Later()
        #: What it took so far, and the most that it may take.
        self.took, self.most = Later(), Later(math.inf, math.inf)
        #: Seconds to keep for writing the plan and verifying it.
        self.after = 0.0
        #: Whether calibrated limits are moved until they hold on fresh scenarios.
        self.calibrates = True
        self._prepared: tuple[Redelegation, float, float] | None = None
        #: A greedy plan that is handed out at least, and the road to it.
        self._first: tuple[TwoStageRoad, Found] | None = None
        self.instance = instance
        self.strategy = strategy
        self.formulation = formulation
        self.options = options
        self.observer = observer
        self.seed = seed
        self.value = value

    def prepare(self) -> tuple[Redelegation, float, float]:
        """Observe outcomes and write the model, once; with the seconds that each took."""
        if self._prepared is None:
            start = time.perf_counter()
            rescues = find_rescues(self.instance)
            outcomes = observe(self.instance, rescues, self.seed)
            sampled = time.perf_counter()
            # limits on losses hold after the rescues: they are none of the first stage's
            first = self.formulation.build(without_risk(self.instance))
            model = redelegate(self.instance, first, outcomes, rescues)
            self._prepared = model, sampled - start, time.perf_counter() - sampled
        return self._prepared

    def begin(self) -> Later:
        """Decide the first stage greedily, and the second behind it; the seconds that this took.

        No plan that is handed out when time is up is worse.
        """
        quick = copy.copy(self)
        quick.strategy, quick.calibrates, quick.value, quick.later = "greedy", False, False, Later()
        quick.options = dataclasses.replace(self.options, settings={})  # those of another strategy
        share = QUICK_SHARE * self.clock.limit
        quick.most = Later(share, share)
        model = quick.prepare()[0]
        quick._share_time()
        self._first = quick, quick._walk(model)
        return quick.took

    def greedy(self, note: str) -> tuple[TwoStageDecision, Later]:
        """The plan that was begun with, as ``note`` says; and the seconds that all behind it took."""
        if self._first is None:
            self.begin()
        assert self._first is not None
        quick, first = self._first
        found = quick._measured(first, {}, ())
        decision = dataclasses.replace(found.decision, status="time_limit", strategy="greedy")
        return dataclasses.replace(found, decision=decision, notes=(note, *found.notes)), quick.took

    def decide(self) -> TwoStageDecision:
        """Walk the road."""
        model, _, _ = self.prepare()
        self._share_time()
        found, tightening, said = self._calibrated(self._walk(model))
        return self._measured(self._or_first(found, tightening), tightening, said)

    def _share_time(self) -> None:
        """Say when each step must be done."""
        self._start = time.perf_counter()
        later = self.later
        reserve = later.after + (VALUE_SHARE * self.clock.limit if self.value and self.clock.limited else 0.0)
        self.evaluation_ends = self.clock.ends - reserve
        self.second_ends = self.evaluation_ends - later.evaluation
        self.ends = self.second_ends - later.second
        left = max(self.ends - self._start, 0.0)
        self.options = dataclasses.replace(self.options, time_limit=left)

    def _or_first(self, found: Found, tightening: Mapping[int, float]) -> Found:
        """What was found, or what was begun with, where a strategy was cut short before it was better."""
        if self._first is None or tightening or self._decider().knows_outcomes():
            return found
        calibrated = any(limit.calibrate for limit in self.instance.risk)
        return or_first(found, self._first[1], self.strategy, either=not calibrated)

    def _measured(
        self, found: Found, tightening: Mapping[int, float], said: Sequence[str]
    ) -> TwoStageDecision:
        """What was found, with what it is worth on fresh scenarios; or why there is nothing."""
        model, sampling, building = self.prepare()
        notes = [*_how(found.model), *found.decision.notes, *said]
        if found.second is not None and found.second.rescued is None:
            notes.append("no second stage was found that keeps every limit")
        conflict = self._conflict(model) if found.decision.status == "infeasible" else None
        plan, evaluation = found.plan, None
        if plan is not None:
            bound = None if tightening else found.decision.bound
            seconds = time.perf_counter() - self._start
            self.observer.report(Progress(seconds, in_sample_objective(*plan), bound, "second stage"))
            left = self._grace(self.evaluation_ends, self.most.evaluation)
            options = dataclasses.replace(self.options, time_limit=left)
            before = time.perf_counter()
            evaluation, more = evaluate_rescues(*plan, found.fresh, self.seed, options, self.observer)
            notes += more
            self._add_to("evaluation", before)
        worth = self._worth(model, found.decision, plan) if self.value else None
        timing = Timing(
            read=self.instance.read_seconds,
            sample=sampling,
            build=building,
            solve=time.perf_counter() - self._start,
        )
        return TwoStageDecision(
            found.model,
            found.decision,
            found.settled,
            None if plan is None else plan[1],
            None if plan is None else plan[2],
            found.assessments,
            tightening,
            evaluation,
            worth,
            conflict,
            timing,
            tuple(notes),
            found.proofs,
            self._decider().knows_outcomes(),
        )

    def _walk(self, model: Redelegation) -> Found:
        """Decide a model, its second stage for what is seen of that, and measure both on fresh scenarios."""
        model, decision, x, proofs = self._decider().decide(model)
        if x is None and self._is_cut_short(decision):
            decision, x = self._greedy_instead(model, decision)
        if x is None:
            return Found(model, decision, proofs=proofs)
        before = time.perf_counter()
        settled, second = self._second_stage(model, decision, x)
        if second.rescued is None and decision.nodes is None:
            fewer = with_fewer_offers(
                model,
                x,
                lambda some: self._second_stage(model, decision, some)[1],
                lambda: time.perf_counter() >= self.second_ends,
            )
            if fewer is not None:
                x = fewer
                settled, second = self._second_stage(model, decision, x)
                note = "offers were given up until the limits on losses held"
                decision = dataclasses.replace(decision, notes=(*decision.notes, note))
        self._add_to("second", before)
        # limits may have been moved: what is told is about those of the round
        settled = dataclasses.replace(settled, instance=self.instance)
        if second.rescued is None:
            return Found(model, decision, settled, x, second, proofs=proofs)
        before = time.perf_counter()
        fresh = measure_fresh(settled, x, second.rescued, self.seed)
        assessments = assess_rescues(settled, x, second.rescued, fresh)
        self._add_to("evaluation", before)
        return Found(model, decision, settled, x, second, fresh, tuple(assessments), proofs)

    def _is_cut_short(self, decision: ProgramDecision) -> bool:
        """Whether a strategy ended without a decision of the round itself although there may be one."""
        if self.strategy == "greedy" or self._decider().knows_outcomes():
            return False
        return decision.status in CUT_SHORT

    def _greedy_instead(
        self, model: Redelegation, cut_short: ProgramDecision
    ) -> tuple[ProgramDecision, FloatArray | None]:
        """A greedy first stage in place of a strategy's, with the bound that this had proved, if any."""
        if model.instance.risk != self.instance.risk:
            return cut_short, None  # limits that were moved: there is a decision with those of the round
        options = dataclasses.replace(self.options, settings={})
        given = self.instance, "greedy", self.formulation, options, Silence()
        _, found, x, _ = FirstStageDecider(*given, ends=self.ends).decide(model)
        if x is None:
            return cut_short, None
        notes = (*cut_short.notes, *found.notes, FOUND_NONE)
        return dataclasses.replace(
            found, status=cut_short.status, bound=cut_short.bound, notes=notes, strategy="greedy"
        ), x

    def _calibrated(self, first: Found) -> tuple[Found, dict[int, float], tuple[str, ...]]:
        """Move limits until they hold on fresh scenarios, and no further; factors by limit, and notes."""
        if not self.calibrates:
            return first, {}, ()
        model = first.model

        def attempt(factors: Mapping[int, float]) -> Candidate[Found] | None:
            if time.perf_counter() >= self.ends or self.observer.should_stop():
                return None
            limited = _moved(self.instance, factors)
            moved = redelegate(limited, model.first, model.outcomes, model.rescues, covers=model.covers)
            return candidate(self._walk(moved), factors)

        enough = max(ENOUGH_GAIN, self.options.mip_rel_gap)
        best, notes = calibrate(self.instance, candidate(first, {}), attempt, enough)
        return best.found, dict(best.factors), notes

    def _decider(self) -> FirstStageDecider:
        given = self.instance, self.strategy, self.formulation, self.options, self.observer
        return FirstStageDecider(*given, ends=self.ends)

    def _grace(self, ends: float, most: float) -> float:
        """Seconds for something behind the strategy: what it has left, and a little where that is nothing."""
        return max(min(ends - time.perf_counter(), most), GRACE)

    def _add_to(self, what: str, before: float) -> None:
        """Count the seconds since ``before`` for something behind the strategy."""
        self.took = self.took._replace(**{what: getattr(self.took, what) + time.perf_counter() - before})

    def _second_stage(
        self, model: Redelegation, decision: ProgramDecision, x: FloatArray
    ) -> tuple[Redelegation, SecondStage]:
        """The best second stage for what is seen of the chosen first stage; at least what is known of it."""
        seen, which = model.outcomes.seen(chosen_offers(model.first, x))
        settled = redelegate(model.instance, model.first, seen, model.rescues, covers=model.covers)
        known = None
        if decision.nodes is not None:
            known = known_of(model, decision.nodes, which, len(seen))
        left = self._grace(self.second_ends, self.most.second)
        options = dataclasses.replace(self.options, time_limit=left, mip_rel_gap=0.0)
        for _ in range(MOST_ROUNDS):
            second = decide_second_stage(settled, x, options, self.observer, known)
            if second.rescued is None or second.status != "optimal":
                break
            covers = covers_of(settled, x, list(second.rescued))
            if not covers and keeps_limits(settled, x, second.rescued):
                return settled, second
            settled = (
                with_further_covers(settled, covers)
                if covers
                else without_decision(settled, x, second.rescued)
            )
            options = dataclasses.replace(options, time_limit=self._grace(self.second_ends, self.most.second))
        nothing = np.zeros((len(settled.outcomes), settled.decisions))
        some = [each for each in (second.rescued, known, nothing) if each is not None]
        some = [without_excess(settled, x, each) for each in some]
        kept = [each for each in some if keeps_limits(settled, x, each)]
        best = max(kept, key=lambda each: in_sample_objective(settled, x, each), default=None)
        return settled, dataclasses.replace(second, rescued=best)

    def _worth(
        self,
        model: Redelegation,
        decision: ProgramDecision,
        plan: tuple[Redelegation, FloatArray, FloatArray] | None,
    ) -> dict[str, float | str | None]:
        """WS, RP, EEV, EVPI and VSS of the tree of outcomes."""
        objective = None if plan is None else in_sample_objective(*plan)
        lucky = redelegate(self.instance, model.first, model.outcomes, model.rescues, luck=True)
        bound = decision.bound / lucky.unit if math.isfinite(decision.bound) else None
        left = dataclasses.replace(self.options, time_limit=self.clock.left(self.later.after))
        known = _Known(decision.status, None if objective is None else objective / lucky.unit, bound)
        worth = stochastic_value(
            lucky.program, left, Told(self.observer, unit=lucky.unit), known  # type: ignore[arg-type]
        )  # fmt: skip
        amounts = {
            name: getattr(worth, name)
            for name in ("ws", "ws_bound", "rp", "rp_bound", "ev", "eev", "evpi", "vss")
        }
        found: dict[str, float | str | None] = {
            name: None if amount is None else amount * lucky.unit for name, amount in amounts.items()
        }
        said = "ws knows the outcomes of the tree: those that the second stage could see"
        found["notes"] = "; ".join([said, *worth.notes])
        return found

    def _conflict(self, model: Redelegation) -> Conflict | None:
        left = dataclasses.replace(self.options, time_limit=self.clock.left() / 3.0)
        quiet = Quiet(self.observer)
        first = Extensive().solve(model.first, dataclasses.replace(left, mip_rel_gap=1.0), quiet)
        if first.status == "infeasible":
            return find_conflict(model.first, left, self.observer)
        return find_two_stage_conflict(model, left, self.observer)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the value of a model asks of a solution."""

    status: str
    objective: float | None
    bound: float | None


def _moved(instance: Instance, factors: Mapping[int, float]) -> Instance:
    """The round with other budgets; of chance limits other probabilities."""
    limits = []
    for number, limit in enumerate(instance.risk):
        factor = factors.get(number, 1.0)
        if limit.measure == "chance":
            limits.append(dataclasses.replace(limit, probability=min(limit.probability * factor, 1.0)))
        else:
            limits.append(dataclasses.replace(limit, budget=limit.budget * factor))
    return dataclasses.replace(instance, risk=tuple(limits))


def _how(model: Redelegation) -> list[str]:
    """How the outcomes came about."""
    outcomes = model.outcomes
    if outcomes.scenarios:
        said = f"second stage on {len(outcomes)} distinct outcomes of {outcomes.scenarios} scenarios"
    else:
        said = f"second stage on all {len(outcomes)} outcomes, with their exact probabilities"
    leaves = len(outcomes.leaf_probability)
    return [said + (f", {leaves} leaves behind each" if leaves else "")]
