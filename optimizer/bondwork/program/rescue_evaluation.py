"""What a plan with rescues is worth on fresh scenarios."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import Evaluation
from bondwork.program.recourse import decide_second_stage, expected_gain
from bondwork.program.redelegation import observe, redelegate
from bondwork.program.rescue_assessment import fresh_objective, in_sample_objective
from bondwork.program.rescue_money import covers_of, with_further_covers, without_excess
from bondwork.program.staged_money import MOST_ROUNDS
from bondwork.risk.assessment import FRESH_SCENARIOS, fresh_seed

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options
    from bondwork.program.contingency import FreshRecourse
    from bondwork.program.recourse import SecondStage
    from bondwork.program.redelegation import Redelegation

#: Fresh scenarios on which a plan is measured where the second stage is decided anew on each.
FRESH_OUTCOMES = 1_000


def evaluate_rescues(
    settled: Redelegation,
    x: FloatArray,
    rescued: FloatArray,
    fresh: FreshRecourse | None,
    seed: int,
    options: Options,
    observer: Observer,
) -> tuple[Evaluation, list[str]]:
    """Measure a settled first stage and its rescues on fresh scenarios; notes say how.

    Without limits on losses the second stage is decided anew on each. With them an outcome by itself has no
    best one, and what is measured is what a follower of the plan does.

    Parameters
    ----------
    settled
        Program of what is seen of the first stage ``x``, shape (choices,).
    rescued
        Shape (K, decisions).
    fresh
        Scenarios with what is done in each, where losses are limited.
    seed
        Of the plan.
    options
        The time limit is for all scenarios together.
    """
    objective = in_sample_objective(settled, x, rescued)
    if fresh is not None:
        value, error = fresh_objective(settled, x, fresh)
        said = []
        if fresh.listed < 1.0:
            said.append(
                f"the plan lists {fresh.listed:.3g} of fresh outcomes; in others the rescues of the one most "
                "like them are taken for what a follower does, and those that pay"
            )
        found = Evaluation(
            in_sample=objective, out_of_sample=value, standard_error=error, scenarios=FRESH_SCENARIOS
        )
        return found, said
    count, first = FRESH_OUTCOMES, settled.first
    outcomes = observe(
        settled.instance,
        settled.rescues,
        fresh_seed(seed),
        scenarios=count,
        method="monte_carlo",
        among=first.columns[: first.choices][x[: first.choices] > 0.5],
    )
    anew = redelegate(settled.instance, first, outcomes, settled.rescues, covers=settled.covers)
    again = _decided_anew(anew, x, options, observer)
    if again.rescued is None or observer.should_stop():
        none = Evaluation(in_sample=objective, out_of_sample=None, standard_error=None, scenarios=count)
        return none, []
    gain, weight = expected_gain(anew, again.rescued), outcomes.probability
    mean = float(weight @ gain)
    # merged scenarios: the variance of one scenario, corrected for the degree of freedom of the mean
    variance = float(weight @ (gain - mean) ** 2) * count / (count - 1)
    found = Evaluation(
        in_sample=objective,
        out_of_sample=in_sample_objective(anew, x, again.rescued),
        standard_error=math.sqrt(variance / count),
        scenarios=count,
    )
    if not again.unfinished:
        return found, []
    note = f"{again.unfinished} of {len(outcomes)} fresh outcomes were not solved to the end: the value on "
    return found, [note + "fresh scenarios is on the safe side"]


def _decided_anew(model: Redelegation, x: FloatArray, options: Options, observer: Observer) -> SecondStage:
    """The best second stage of every outcome, collateral and stake to the last unit."""
    ends = time.perf_counter() + options.time_limit
    for _ in range(MOST_ROUNDS):
        left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        found = decide_second_stage(model, x, left, observer)
        if found.rescued is None:
            return found
        covers = covers_of(model, x, list(found.rescued))
        if not covers:
            return found
        if time.perf_counter() >= ends:
            break
        model = with_further_covers(model, covers)
    assert found.rescued is not None
    kept = without_excess(model, x, found.rescued)
    given_up = int(np.any(kept != found.rescued, axis=1).sum())
    return dataclasses.replace(found, rescued=kept, unfinished=max(found.unfinished, given_up))
