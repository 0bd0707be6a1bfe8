"""Maximum likelihood for score-driven models: pooled over units, or each unit by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.reputation.laws import LAWS, POWER, Law, Scaling
from bondwork.reputation.score_driven import ScoreDriven, observations

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import BoolArray, FloatArray

#: |beta| stays below this: at 1 there is no mean to start from.
LARGEST_BETA = 0.9999

#: Newton steps from the maximum of some units to that of all; the last one is so small, in standard errors.
_MOST_STEPS, _SMALL_STEP = 15, 1e-3

#: Times that a first guess is made to move ten times less.
_MOST_SHRINKS = 12

#: Observations that a first search looks at.
_FEW = 50_000

#: Relative step of the central differences of the exact gradient that give the Hessian.
_HESSIAN_STEP = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A model with the parameters that make what was observed most likely.

    Attributes
    ----------
    model
        With the estimates.
    log_likelihood
        At the estimates.
    names
        P names of the estimated parameters: omega, beta and alpha of each moving parameter, then the static
        ones, then gamma.
    estimate, standard_error
        Shape (P,). The errors come from the observed information, or from the sandwich of it and the scores
        of the units where ``robust`` was asked for; NaN where the information is not positive definite, as
        for parameters at a bound.
    converged
        Whether the optimiser says so, of a likelihood that is a number.
    observations
        How many there were.
    """

    model: ScoreDriven
    log_likelihood: float
    names: tuple[str, ...]
    estimate: FloatArray
    standard_error: FloatArray
    converged: bool
    observations: int

    def __post_init__(self) -> None:
        freeze_fields(self, "estimate", "standard_error")

    def aic(self) -> float:
        """Akaike's information criterion; smaller is better."""
        return 2.0 * len(self.names) - 2.0 * self.log_likelihood


class Likelihood:
    """Log likelihood of data as a function of all parameters, with its exact gradient.

    Parameters
    ----------
    law, scaling
        The model.
    y, trials, regressors
        As for `ScoreDriven.filter`.
    start
        Shape (U, K): a state before the first observation that does not depend on the parameters; left out,
        it is omega / (1 - beta).
    reset
        Whether the state begins anew after gaps; see `ScoreDriven`.
    """

    def __init__(
        self,
        law: Law,
        y: ArrayLike,
        trials: ArrayLike | None = None,
        regressors: ArrayLike | None = None,
        scaling: Scaling = "unit",
        start: ArrayLike | None = None,
        *,
        reset: bool = False,
    ) -> None:
        self.law = law
        self.reset = reset
        self.scaling = scaling
        self.regressors = 0 if regressors is None else np.shape(regressors)[-1]
        self.y, self.n, self.x = observations(law, y, trials, regressors, self.regressors)
        self.fixed = start is not None
        self.first = np.zeros((0, 0)) if start is None else np.array(start, dtype=np.float64)
        moving = len(law.dynamic)
        self.size = 3 * moving + len(law.static) + self.regressors
        suffix = [""] if moving == 1 else [f" of {name}" for name in law.dynamic]
        movement = [f"{name}{each}" for each in suffix for name in ("omega", "beta", "alpha")]
        slopes = [f"gamma {d + 1}" for d in range(self.regressors)] if self.regressors > 1 else ["gamma"]
        self.constant = law.constant(self.y, self.n).sum(axis=1)
        self.names = (*movement, *law.static, *slopes[: self.regressors])

    @property
    def observed(self) -> BoolArray:
        """Where there is something. Shape (U, T)."""
        there: BoolArray = ~np.isnan(self.y) & (self.n > 0.0)
        return there

    def model(self, parameters: FloatArray) -> ScoreDriven:
        """The model with given parameters, shape (P,)."""
        moving, staying = len(self.law.dynamic), len(self.law.static)
        theta = parameters[: 3 * moving].reshape(moving, 3)
        static = parameters[3 * moving : 3 * moving + staying]
        gamma = parameters[3 * moving + staying :]
        omega, beta, alpha = theta.T
        return ScoreDriven(self.law, omega, beta, alpha, static, gamma, self.scaling, self.reset)

    def some_units(self) -> Likelihood:
        """The likelihood of some of many units, evenly spaced: what a first search needs."""
        units = len(self.y)
        if self.y.size <= _FEW or units < 2:
            return self
        chosen = np.linspace(0, units - 1, max(1, units * _FEW // self.y.size)).astype(np.int64)
        start = self.first[chosen] if self.fixed else None
        regressors = self.x if self.regressors else None
        data = (self.y[chosen], self.n[chosen], regressors)
        few = Likelihood(self.law, *data, self.scaling, start, reset=self.reset)
        return few if np.any(few.observed) else self

    def by_unit(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log likelihood of each unit, shape (U,), and its gradient, shape (U, P)."""
        from bondwork.reputation.kernels import gradient_units

        model = self.model(parameters)
        state = self.first.copy() if self.fixed else model.start(len(self.y))
        value, gradient = np.empty(len(self.y)), np.empty((len(self.y), self.size))
        arguments = (
            self.law.number,
            POWER[self.scaling],
            len(self.law.dynamic),
            model.theta(),
            model.static,
            model.gamma,
            self.reset,
        )
        halves = np.array_split(np.arange(len(self.y)), 2 if self.y.size > 50_000 else 1)

        def run(part: slice) -> None:
            gradient_units(
                *arguments,
                state[part],
                self.fixed,
                self.y[part],
                self.n[part],
                self.x,
                value[part],
                gradient[part],
            )

        parts = [slice(half[0], half[-1] + 1) for half in halves if len(half)]
        if len(parts) > 1:
            from concurrent.futures import ThreadPoolExecutor  # the kernels let go of the interpreter

            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(run, parts))
        else:
            for part in parts:
                run(part)
        return value + self.constant, gradient

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood of all and its gradient, shape (P,)."""
        value, gradient = self.by_unit(parameters)
        return float(value.sum()), gradient.sum(axis=0)


def fit_pooled(
    law: str,
    y: ArrayLike,
    trials: ArrayLike | None = None,
    regressors: ArrayLike | None = None,
    *,
    scaling: Scaling = "unit",
    start: ArrayLike | None = None,
    reset: bool = False,
    robust: bool = False,
) -> Fit:
    """Fit one set of parameters to all units: their dynamics are alike, their states are not.

    Parameters
    ----------
    law
        Name in `bondwork.reputation.laws.LAWS`.
    y, trials, regressors
        As for `ScoreDriven.filter`.
    scaling
        S of the recursion.
    start
        Shape (U, K). A fixed state before the first observation, instead of the unconditional mean.
    reset
        Begin anew at the unconditional mean after every time at which a unit was not observed.
    robust
        Standard errors that hold when the law is wrong: the sandwich, with units as clusters.

    Raises
    ------
    ValueError
        Nothing was observed, or shapes do not fit.

    Examples
    --------
    >>> from bondwork.reputation.score_driven import make_model
    >>> truth = make_model("binomial", 0.3, 0.9, 0.2)
    >>> data = truth.simulate(60, 200, seed=1, trials=5.0)
    >>> fit = fit_pooled("binomial", data.y, np.full(data.y.shape, 5.0))
    >>> bool(abs(fit.model.beta[0] - 0.9) < 3 * fit.standard_error[1])
    True
    """
    likelihood = Likelihood(LAWS[law], y, trials, regressors, scaling, start, reset=reset)
    return _fit(likelihood, robust=robust)


def fit_units(
    law: str,
    y: ArrayLike,
    trials: ArrayLike | None = None,
    regressors: ArrayLike | None = None,
    *,
    scaling: Scaling = "unit",
    reset: bool = False,
) -> list[Fit | None]:
    """Fit each unit by itself; ``None`` where a unit has fewer observations than parameters.

    Use it for long histories only: at rates near 1 a unit needs thousands of outcomes before its own dynamics
    are more than noise. `fit_pooled` is the sane default.
    """
    y_, n_, _ = observations(
        LAWS[law], y, trials, regressors, 0 if regressors is None else np.shape(regressors)[-1]
    )
    fits: list[Fit | None] = []
    for u in range(len(y_)):
        likelihood = Likelihood(LAWS[law], y_[u : u + 1], n_[u : u + 1], regressors, scaling, reset=reset)
        enough = np.count_nonzero(likelihood.observed) > likelihood.size
        fits.append(_fit(likelihood, robust=False) if enough else None)
    return fits


def static_estimate(law: str, y: ArrayLike, trials: ArrayLike | None = None) -> tuple[float, float]:
    """Fit a law with one moving parameter that does not move: its value and the log likelihood."""
    likelihood = Likelihood(LAWS[law], y, trials)
    free = np.ones(likelihood.size, dtype=bool)
    free[[1, 2]] = False
    first = _first_guess(likelihood)
    first[[1, 2]] = 0.0
    best, value, _ = _maximise(likelihood, first, free)
    return float(best[0]), value


def _fit(likelihood: Likelihood, *, robust: bool) -> Fit:
    if not np.any(likelihood.observed):
        raise ValueError("nothing was observed")
    free = np.ones(likelihood.size, dtype=bool)
    few = likelihood.some_units()
    tries = []
    for beta, alpha in ((0.9, 0.05), (0.6, 0.2), (0.98, 0.02)):
        first = _first_guess(few)
        for k in range(len(likelihood.law.dynamic)):
            level = first[3 * k]
            first[3 * k : 3 * k + 3] = level * (1.0 - beta), beta, alpha * _typical(few, first, k)
        tries.append(_maximise(few, _possible(few, first), free))
    tries += _still(few, free, max(_ranked(each[1]) for each in tries))
    best, value, converged = max(tries, key=lambda each: _ranked(each[1]))
    if few is not likelihood:
        # a few units may like another maximum best than all of them do
        best = max((each[0] for each in tries), key=lambda each: _ranked(likelihood(each)[0]))
        best, value, converged = _polish(likelihood, best) or _maximise(likelihood, best, free)
    return Fit(
        model=likelihood.model(best),
        log_likelihood=value,
        names=likelihood.names,
        estimate=best,
        standard_error=_standard_errors(likelihood, best, robust=robust),
        converged=converged,
        observations=int(np.count_nonzero(likelihood.observed)),
    )


def _still(likelihood: Likelihood, free: BoolArray, best: float) -> list[tuple[FloatArray, float, bool]]:
    """What a search from no movement comes to, where that alone is likelier than the best so far."""
    first = _first_guess(likelihood)
    stays = free.copy()
    for k in range(len(likelihood.law.dynamic)):
        first[3 * k + 1 : 3 * k + 3] = 0.0
        stays[3 * k + 1 : 3 * k + 3] = False
    still = _maximise(likelihood, first, stays)
    if _ranked(still[1]) <= best:
        return []
    return [still, _maximise(likelihood, still[0], free)]


def _ranked(value: float) -> float:
    """A log likelihood to compare by: what is no number is the worst."""
    return value if math.isfinite(value) else -math.inf


def _possible(likelihood: Likelihood, guess: FloatArray) -> FloatArray:
    """A guess at which the observations are possible: it moves less and less until they are.

    A variance that follows its own score may step below 0, where nothing is likely and no gradient leads out.
    """
    guess = guess.copy()
    for _ in range(_MOST_SHRINKS):
        if math.isfinite(likelihood(guess)[0]):
            break
        for k in range(len(likelihood.law.dynamic)):
            guess[3 * k + 2] *= 0.1
    return guess


def _first_guess(likelihood: Likelihood) -> FloatArray:
    """Parameters of the law without movement, by moments: level in omega, beta = alpha = 0."""
    there = likelihood.observed
    y, n = likelihood.y[there], likelihood.n[there]
    mean, variance = float(y.mean()), max(float(y.var()), 1e-12)
    guess = np.zeros(likelihood.size)
    match likelihood.law.name:
        case "binomial":
            rate = (y.sum() + 0.5) / (n.sum() + 1.0)
            guess[0] = math.log(rate / (1.0 - rate))
        case "poisson" | "negative_binomial":
            guess[0] = math.log(max(mean, 1e-3))
            if len(likelihood.law.static):
                guess[3] = min(max((variance - mean) / max(mean, 1e-3) ** 2, 0.01), 10.0)
        case "gaussian_mean":
            guess[0], guess[3] = mean, variance
        case "gaussian_log_variance":
            guess[0], guess[3] = math.log(variance), mean
        case "gaussian_variance":
            guess[0], guess[3] = variance, mean
        case "student_location":
            guess[0], guess[3], guess[4] = mean, 8.0, 0.75 * variance
        case "student_log_scale":
            guess[0], guess[3], guess[4] = math.log(0.75 * variance), 8.0, mean
        case _:
            guess[0], guess[3], guess[6] = mean, math.log(0.75 * variance), 8.0
    return guess


def _typical(likelihood: Likelihood, guess: FloatArray, k: int) -> float:
    """What alpha is measured in: with unit scaling scores are as large as the root of the information."""
    there = np.flatnonzero(likelihood.observed.ravel())[:1000]
    level = np.array([guess[3 * j] for j in range(len(likelihood.law.dynamic))])
    static = guess[3 * len(level) : 3 * len(level) + len(likelihood.law.static)]
    f = np.tile(level, (len(there), 1))
    information = likelihood.law.information(f, static, likelihood.n.ravel()[there])
    size = max(float(information[:, k].mean()), 1e-12)
    return float(size ** (POWER[likelihood.scaling] - 1.0))


def _maximise(likelihood: Likelihood, first: FloatArray, free: BoolArray) -> tuple[FloatArray, float, bool]:
    """Maximise over the free parameters; positive ones by their logarithm, beta within its bounds."""
    from scipy.optimize import minimize

    positive = _positive(likelihood)
    count = max(int(np.count_nonzero(likelihood.observed)), 1)

    def natural(free_values: FloatArray) -> FloatArray:
        values = first.copy()
        values[free] = free_values
        values[positive & free] = np.exp(values[positive & free])
        return values

    def loss(free_values: FloatArray) -> tuple[float, FloatArray]:
        values = natural(free_values)
        value, gradient = likelihood(values)
        if not (math.isfinite(value) and np.all(np.isfinite(gradient))):
            return 1e10, np.zeros(len(free_values))
        chain = np.where(positive, values, 1.0)
        return -value / count, -(gradient * chain)[free] / count

    begin = first.copy()
    begin[positive] = np.log(begin[positive])
    betas = np.array([name.startswith("beta") for name in likelihood.names])[free]
    bounds = [(-LARGEST_BETA, LARGEST_BETA) if each else (-30.0 if lower else None, 30.0 if lower else None)
              for each, lower in zip(betas, positive[free], strict=True)]  # fmt: skip
    found = minimize(
        loss,
        begin[free],
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
    )
    best = natural(found.x)
    value = likelihood(best)[0]
    return best, value, bool(found.success) and math.isfinite(value)


def _polish(likelihood: Likelihood, best: FloatArray) -> tuple[FloatArray, float, bool] | None:
    """Go from the maximum of some units to that of all by Newton steps with the information where they begin.

    A handful of steps, each one gradient. ``None`` where that does not lead uphill within bounds.
    """
    information = _information(likelihood, best)
    if not np.all(np.isfinite(information)) or np.linalg.eigvalsh(information)[0] <= 0.0:
        return None
    betas = np.array([name.startswith("beta") for name in likelihood.names])
    positive = _positive(likelihood)
    value, gradient = likelihood(best)
    damping = 1.0
    for _ in range(_MOST_STEPS):
        step = damping * np.linalg.solve(information, gradient)
        after = best + step
        inside = np.all(np.abs(after[betas]) <= LARGEST_BETA) and np.all(after[positive] > 0.0)
        new_value, new_gradient = likelihood(after) if inside else (-math.inf, gradient)
        if not new_value >= value - 1e-9 * abs(value):
            damping *= 0.3
            continue
        best, value, gradient = after, new_value, new_gradient
        if step @ information @ step < _SMALL_STEP**2:
            return best, value, True
    return None


def _positive(likelihood: Likelihood) -> BoolArray:
    return np.array([name in likelihood.law.positive for name in likelihood.names])


def _information(likelihood: Likelihood, best: FloatArray) -> FloatArray:
    """Observed information: central differences of the exact gradient. Shape (P, P)."""
    hessian = np.empty((len(best), len(best)))
    for i in range(len(best)):
        step = _HESSIAN_STEP * max(abs(best[i]), 1e-2)
        up, down = best.copy(), best.copy()
        up[i] += step
        down[i] -= step
        with np.errstate(invalid="ignore"):  # where nothing is likely: told by NaN
            hessian[i] = (likelihood(up)[1] - likelihood(down)[1]) / (2.0 * step)
    information: FloatArray = -0.5 * (hessian + hessian.T)
    return information


def _standard_errors(likelihood: Likelihood, best: FloatArray, *, robust: bool) -> FloatArray:
    information = _information(likelihood, best)
    if not np.all(np.isfinite(information)) or np.linalg.eigvalsh(information)[0] <= 0.0:
        return np.full(len(best), np.nan)
    covariance = np.linalg.inv(information)
    if robust:
        scores = likelihood.by_unit(best)[1]
        covariance = covariance @ (scores.T @ scores) @ covariance
    variance = np.diag(covariance)
    # rounding leaves variances below 0 where the information is all but singular
    errors: FloatArray = np.sqrt(np.where(variance > 0.0, variance, np.nan))
    return errors
