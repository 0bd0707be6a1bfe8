"""Models of reputation side by side: fitted on the past, scored on what came after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.faults import Fault, InvalidInput
from bondwork.reputation.models import MODELS, counts, one_step_forecasts
from bondwork.reputation.scoring import (
    brier_score,
    calibrate,
    diebold_mariano,
    interval_coverage,
    log_score,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.reputation.scoring import Calibration
    from bondwork.uncertainty.history import OutcomeHistory


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """One model on the rounds held out.

    Attributes
    ----------
    model, parameters
        Name, and what was fitted.
    log_score
        Mean surprise at an executor's count of a round; smaller is better.
    brier
        Mean squared distance from single outcomes; smaller is better.
    coverage
        Share of counts within their central 90% interval, by randomised rank.
    calibration
        Forecast against observed.
    difference, p_value
        Mean log score less that of the best model, and the Diebold-Mariano test that both are alike; ``None``
        for the best itself. The losses are those of executors, which are taken for independent.
    """

    model: str
    parameters: dict[str, float]
    log_score: float
    brier: float
    coverage: float
    calibration: Calibration
    difference: float | None
    p_value: float | None


def score_models(
    history: OutcomeHistory, holdout: int = 1, models: Sequence[str] = tuple(MODELS)
) -> list[Score]:
    """Fit models on all rounds but the last ``holdout``, forecast those one step ahead, and score.

    Parameters
    ----------
    history
        At least ``holdout`` + 1 rounds.
    holdout
        Rounds that no model is fitted on. Their outcomes update the states as they come.
    models
        Names in `bondwork.reputation.models.MODELS`.

    Returns
    -------
    list of Score
        Best log score first.

    Raises
    ------
    InvalidInput
        Too few rounds, or no model of a name.
    """
    successes, trials = counts(history.done, history.failed)
    past = trials.shape[1] - holdout
    faults = [
        Fault("model", f'"{name}"', f"one of {', '.join(MODELS)}") for name in models if name not in MODELS
    ]
    if holdout < 1 or past < 1:
        expected = f"from 1 to {trials.shape[1] - 1}, as the history has {trials.shape[1]} rounds"
        faults.append(Fault("holdout", str(holdout), expected))
    elif not trials[:, past:].any() or not trials[:, :past].any():
        faults.append(Fault("history", "no outcome before or after the split", "outcomes on both sides"))
    if faults:
        raise InvalidInput(faults)
    losses: dict[str, FloatArray] = {}
    scores = []
    for name in models:
        reputation = MODELS[name](successes[:, :past], trials[:, :past])
        forecast, _ = one_step_forecasts(reputation, successes, trials)
        there = trials[:, past:] > 0.0
        k, n = successes[:, past:][there], trials[:, past:][there]
        m, nu = forecast.mean[:, past:][there], forecast.concentration[:, past:][there]
        surprise = log_score(k, n, m, nu)
        whose = np.nonzero(there)[0]
        seen = np.unique(whose)
        losses[name] = np.bincount(whose, weights=surprise)[seen] / np.bincount(whose)[seen]
        scores.append(
            Score(
                model=name,
                parameters=reputation.parameters(),
                log_score=float(surprise.mean()),
                brier=float(np.average(brier_score(k, n, m), weights=n)),
                coverage=interval_coverage(k, n, m, nu),
                calibration=calibrate(k, n, m),
                difference=None,
                p_value=None,
            )
        )
    scores.sort(key=lambda each: each.log_score)
    return [_against(each, scores[0], losses) for each in scores]


def _against(score: Score, best: Score, losses: dict[str, FloatArray]) -> Score:
    from dataclasses import replace

    if score is best or len(losses[score.model]) < 2:
        return score
    test = diebold_mariano(losses[score.model], losses[best.model])
    return replace(score, difference=score.log_score - best.log_score, p_value=test.p_value)
