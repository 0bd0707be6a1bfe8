"""Reputation models behind one contract: score-driven, and the rivals that it has to beat.

Each is fitted to a history, then holds one state for each executor, is updated in place round by round, and
forecasts the next round's success probability as Beta(m*nu, (1-m)*nu): what goes into
``success_probability``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bondwork.reputation.beta_binomial import fit_concentration, log_probability
from bondwork.reputation.drawing import expit
from bondwork.reputation.fitting import fit_pooled
from bondwork.reputation.laws import LAWS, Scaling
from bondwork.reputation.score_driven import ScoreDriven

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bondwork.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Beta(mean * concentration, (1 - mean) * concentration) for each executor. Shapes (U,)."""

    mean: FloatArray
    concentration: FloatArray


class Reputation(Protocol):
    """A fitted model; what it knows of executors stands in a state of shape (U, k) that the caller keeps."""

    #: Name in `MODELS`.
    name: str

    def parameters(self) -> dict[str, float]:
        """What was fitted."""
        ...

    def start(self, executors: int) -> FloatArray:
        """State of executors of which nothing is known."""
        ...

    def update(self, state: FloatArray, successes: FloatArray, trials: FloatArray) -> None:
        """Take in one round, in place. 0 trials: the executor was idle."""
        ...

    def forecast(self, state: FloatArray) -> Forecast:
        """The next round's success probabilities."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScoreDrivenReputation:
    """The filtered mean of a score-driven binomial model, with a fitted concentration.

    A filter's own bands carry parameter uncertainty only and are far too narrow; the concentration is fitted
    by beta-binomial likelihood of the next counts, which covers (MODEL 6).
    """

    model: ScoreDriven
    concentration: float
    name = "gas"

    def parameters(self) -> dict[str, float]:
        """See `Reputation`."""
        omega, beta, alpha = (
            float(each[0]) for each in (self.model.omega, self.model.beta, self.model.alpha)
        )
        return {"omega": omega, "beta": beta, "alpha": alpha, "concentration": self.concentration}

    def start(self, executors: int) -> FloatArray:
        """See `Reputation`."""
        return self.model.start(executors)

    def update(self, state: FloatArray, successes: FloatArray, trials: FloatArray) -> None:
        """See `Reputation`."""
        self.model.update(state, successes, trials)

    def forecast(self, state: FloatArray) -> Forecast:
        """See `Reputation`."""
        mean = expit(state[:, 0])
        return Forecast(mean, np.full(len(mean), self.concentration))


@dataclass(frozen=True, slots=True)
class ForgettingBeta:
    """A beta law that counts successes and failures, and forgets a share of them each round.

    ``a`` becomes keep * a + (1 - keep) * prior_mean * prior_size + successes, ``b`` likewise.
    """

    keep: float
    prior_mean: float
    prior_size: float
    name = "forgetting"

    def parameters(self) -> dict[str, float]:
        """See `Reputation`."""
        return {"keep": self.keep, "prior_mean": self.prior_mean, "prior_size": self.prior_size}

    def start(self, executors: int) -> FloatArray:
        """See `Reputation`; a and b."""
        return np.tile(self._prior(), (executors, 1))

    def update(self, state: FloatArray, successes: FloatArray, trials: FloatArray) -> None:
        """See `Reputation`."""
        state *= self.keep
        state += (1.0 - self.keep) * self._prior()
        state[:, 0] += successes
        state[:, 1] += trials - successes

    def forecast(self, state: FloatArray) -> Forecast:
        """See `Reputation`."""
        size = state.sum(axis=1)
        return Forecast(state[:, 0] / size, size)

    def _prior(self) -> FloatArray:
        return np.array([self.prior_mean, 1.0 - self.prior_mean]) * self.prior_size


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """An exponentially weighted moving average of success rates; n outcomes weigh 1 - (1 - weight)**n."""

    weight: float
    initial: float
    concentration: float
    name = "ewma"

    def parameters(self) -> dict[str, float]:
        """See `Reputation`."""
        return {"weight": self.weight, "initial": self.initial, "concentration": self.concentration}

    def start(self, executors: int) -> FloatArray:
        """See `Reputation`."""
        return np.full((executors, 1), self.initial)

    def update(self, state: FloatArray, successes: FloatArray, trials: FloatArray) -> None:
        """See `Reputation`."""
        rate = np.divide(successes, trials, out=state[:, 0].copy(), where=trials > 0.0)
        state[:, 0] += (1.0 - (1.0 - self.weight) ** trials) * (rate - state[:, 0])

    def forecast(self, state: FloatArray) -> Forecast:
        """See `Reputation`."""
        return Forecast(state[:, 0].copy(), np.full(len(state), self.concentration))


@dataclass(frozen=True, slots=True)
class SmoothedRate:
    """All successes so far over all trials, with one of each added: what needs no fitting."""

    name = "smoothed"

    def parameters(self) -> dict[str, float]:
        """See `Reputation`."""
        return {}

    def start(self, executors: int) -> FloatArray:
        """See `Reputation`."""
        return np.ones((executors, 2))

    def update(self, state: FloatArray, successes: FloatArray, trials: FloatArray) -> None:
        """See `Reputation`."""
        state[:, 0] += successes
        state[:, 1] += trials - successes

    def forecast(self, state: FloatArray) -> Forecast:
        """See `Reputation`."""
        size = state.sum(axis=1)
        return Forecast(state[:, 0] / size, size)


def fit_score_driven(
    successes: FloatArray, trials: FloatArray, scaling: Scaling = "unit"
) -> ScoreDrivenReputation:
    """Fit the pooled binomial model, then its concentration. Arrays have shape (U, T).

    Where only successes were seen, or only failures, nothing is as likely as certainty, and no outcome could
    ever shake that: then half a success and half a failure of one more executor are counted as well.
    """
    k, n = successes, trials
    if successes.sum() in (0.0, trials.sum()):
        one = np.eye(1, trials.shape[1])
        k, n = np.concatenate([k, 0.5 * one]), np.concatenate([n, one])
    fit = fit_pooled("binomial", k, n, scaling=scaling)
    mean = expit(fit.model.filter(successes, trials).path[:, :, 0])
    return ScoreDrivenReputation(fit.model, fit_concentration(successes, trials, mean))


def fit_forgetting(successes: FloatArray, trials: FloatArray) -> ForgettingBeta:
    """Fit by the beta-binomial likelihood of each round's counts given those before. Shapes (U, T)."""
    rate = _rate(successes, trials)

    def model(free: FloatArray) -> ForgettingBeta:
        keep, mean = expit(free[:2])
        return ForgettingBeta(float(keep), float(mean), float(np.exp(np.clip(free[2], -6.0, 12.0))))

    best = _search(lambda free: _surprise(model(free), successes, trials), [3.0, _logit(rate), 1.0])
    return model(best)


def fit_moving_average(successes: FloatArray, trials: FloatArray) -> MovingAverage:
    """Fit by the beta-binomial likelihood of each round's counts given those before. Shapes (U, T)."""
    rate = _rate(successes, trials)

    def model(free: FloatArray) -> MovingAverage:
        weight, initial = expit(free[:2])
        return MovingAverage(float(weight), float(initial), float(np.exp(np.clip(free[2], -0.5, 13.0))))

    best = _search(lambda free: _surprise(model(free), successes, trials), [-2.0, _logit(rate), 2.0])
    return model(best)


def fit_smoothed(successes: FloatArray, trials: FloatArray) -> SmoothedRate:
    """Nothing to fit."""
    del successes, trials
    return SmoothedRate()


#: How each model is fitted, by name: successes and trials of shape (U, T) in, a `Reputation` out.
MODELS: Mapping[str, Callable[[FloatArray, FloatArray], Reputation]] = {
    "gas": fit_score_driven,
    "forgetting": fit_forgetting,
    "ewma": fit_moving_average,
    "smoothed": fit_smoothed,
}


def make_reputation(name: str, parameters: Mapping[str, float]) -> Reputation:
    """Make a fitted model again from its name and `Reputation.parameters`."""
    if name == "gas":
        omega, beta, alpha = ([parameters[each]] for each in ("omega", "beta", "alpha"))
        model = ScoreDriven(LAWS["binomial"], omega, beta, alpha)  # type: ignore[arg-type]  # made arrays there
        return ScoreDrivenReputation(model, parameters["concentration"])
    kinds: dict[str, Callable[..., Reputation]] = {
        "forgetting": ForgettingBeta,
        "ewma": MovingAverage,
        "smoothed": SmoothedRate,
    }
    return kinds[name](**parameters)


def one_step_forecasts(
    reputation: Reputation, successes: FloatArray, trials: FloatArray
) -> tuple[Forecast, FloatArray]:
    """Forecast every round from those before it.

    Returns
    -------
    tuple
        Forecasts with arrays of shape (U, T), and the state after the last round.
    """
    units, times = successes.shape
    state = reputation.start(units)
    mean, concentration = np.empty((units, times)), np.empty((units, times))
    for t in range(times):
        forecast = reputation.forecast(state)
        mean[:, t], concentration[:, t] = forecast.mean, forecast.concentration
        reputation.update(state, successes[:, t], trials[:, t])
    return Forecast(mean, concentration), state


def counts(done: IntArray, failed: IntArray) -> tuple[FloatArray, FloatArray]:
    """Successes and trials of shape (U, T) from a history's tables of shape (T, U)."""
    trials = np.ascontiguousarray(done.T, dtype=np.float64)
    return trials - failed.T, trials


def _surprise(reputation: Reputation, successes: FloatArray, trials: FloatArray) -> float:
    forecast, _ = one_step_forecasts(reputation, successes, trials)
    there = trials > 0.0
    return -float(
        log_probability(
            successes[there], trials[there], forecast.mean[there], forecast.concentration[there]
        ).sum()
    )


def _search(loss: Callable[[FloatArray], float], first: list[float]) -> FloatArray:
    from scipy.optimize import minimize

    found = minimize(
        loss, np.array(first), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4, "maxiter": 400}
    )
    best: FloatArray = found.x
    return best


def _rate(successes: FloatArray, trials: FloatArray) -> float:
    if not np.any(trials > 0.0):
        raise ValueError("nothing was observed")
    return float((successes.sum() + 0.5) / (trials.sum() + 1.0))


def _logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
