"""Score-driven (GAS) models: a parameter that follows the score of what is observed (MODEL 6).

    f[t+1] = omega + beta*f[t] + alpha * S(f[t]) * d log p(y[t] | f[t]) / d f[t]

References
----------
D. Creal, S. J. Koopman & A. Lucas, Generalized autoregressive score models with applications, Journal of
Applied Econometrics 28 (2013) 777-795. A. C. Harvey, Dynamic Models for Volatility and Heavy Tails, Cambridge
2013.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.reputation.laws import LAWS, POWER, Law, Scaling
from bondwork.uncertainty.seeds import seed_sequence, stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray
    from bondwork.uncertainty.seeds import Seed


def _nothing() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreDriven:
    """A score-driven model with its parameters.

    Attributes
    ----------
    law
        What is observed, and which of its parameters move.
    omega, beta, alpha
        Shape (K,). Of each moving parameter.
    static
        Shape (S,). Parameters that stay, in the law's order.
    gamma
        Shape (D,). Coefficients of regressors, added to the first moving parameter.
    scaling
        S of the recursion. At p near 1 only ``unit`` is sane for outcomes: one failure at p = 0.999 moves the
        logit by -1, -31.6 or -1000 times alpha.
    reset
        After a time at which nothing was observed, f begins anew at its unconditional mean. By default it
        only moves towards it, at the speed of beta: what was seen before a gap then counts after it.

    Examples
    --------
    Failures pull the estimate down, and it comes back:

    >>> model = ScoreDriven(LAWS["binomial"], [0.2], [0.9], [0.5])
    >>> path = model.filter([[1.0, 0.0, 1.0, 1.0]]).path[0, :, 0]
    >>> bool(path[2] < path[0]) and bool(path[3] > path[2])
    True
    """

    law: Law
    omega: FloatArray
    beta: FloatArray
    alpha: FloatArray
    static: FloatArray = field(default_factory=_nothing)
    gamma: FloatArray = field(default_factory=_nothing)
    scaling: Scaling = "unit"
    reset: bool = False

    def __post_init__(self) -> None:
        moving, staying = len(self.law.dynamic), len(self.law.static)
        for name, size in (("omega", moving), ("beta", moving), ("alpha", moving), ("static", staying)):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != (size,):
                raise ValueError(f"{name} has shape {value.shape}, expected ({size},) for {self.law.name}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "gamma", np.array(self.gamma, dtype=np.float64))
        if self.scaling not in POWER:
            raise ValueError(f"scaling is {self.scaling!r}, expected one of {', '.join(POWER)}")
        freeze_fields(self, "omega", "beta", "alpha", "static", "gamma")

    @property
    def mean(self) -> FloatArray:
        """Unconditional mean of the moving parameters, omega / (1 - beta). Shape (K,)."""
        level: FloatArray = self.omega / (1.0 - self.beta)
        return level

    def start(self, units: int) -> FloatArray:
        """State before the first observation: the unconditional mean. Shape (U, K)."""
        return np.tile(self.mean, (units, 1))

    def filter(
        self,
        y: ArrayLike,
        trials: ArrayLike | None = None,
        regressors: ArrayLike | None = None,
        start: ArrayLike | None = None,
    ) -> Filtered:
        """Run the recursion over observations.

        Parameters
        ----------
        y
            Shape (U, T). NaN where nothing was observed: f then moves towards its mean, or with ``reset``
            begins anew there.
        trials
            Shape (U, T). Of binomial counts; 0 is nothing observed. 1 if left out.
        regressors
            Shape (T, D).
        start
            Shape (U, K). State before the first observation; the unconditional mean if left out.
        """
        y, n, x = observations(self.law, y, trials, regressors, len(self.gamma))
        state = self.start(len(y)) if start is None else np.array(start, dtype=np.float64)
        path = np.empty((*y.shape, len(self.law.dynamic)))
        likelihood = np.empty(y.shape)
        if self.law.name == "binomial" and self.scaling == "unit" and not len(self.gamma):
            from bondwork.reputation.binomial_kernel import filter_counts

            filter_counts(self.theta(), self.reset, state, y, n, path, likelihood)
        else:
            from bondwork.reputation.kernels import filter_units

            filter_units(
                self.law.number,
                POWER[self.scaling],
                len(self.law.dynamic),
                self.theta(),
                self.static,
                self.gamma,
                self.reset,
                state,
                y,
                n,
                x,
                path,
                likelihood,
            )
        return Filtered(path, likelihood + self.law.constant(y, n), state)

    def update(
        self,
        state: FloatArray,
        y: ArrayLike,
        trials: ArrayLike | None = None,
        regressors: ArrayLike | None = None,
    ) -> FloatArray:
        """Take in one time's observations of all units, in place; return their log densities.

        ``state`` has shape (U, K), C-contiguous, ``y`` and ``trials`` (U,), ``regressors`` (D,).
        """
        from bondwork.reputation.kernels import filter_units

        column = np.asarray(y, dtype=np.float64)[:, None]
        n = None if trials is None else np.asarray(trials, dtype=np.float64)[:, None]
        known = None if regressors is None else np.asarray(regressors, dtype=np.float64)[None, :]
        y_, n_, x = observations(self.law, column, n, known, len(self.gamma))
        moving = len(self.law.dynamic)
        path, likelihood = np.empty((len(y_), 1, moving)), np.empty((len(y_), 1))
        filter_units(
            self.law.number,
            POWER[self.scaling],
            moving,
            self.theta(),
            self.static,
            self.gamma,
            self.reset,
            state,
            y_,
            n_,
            x,
            path,
            likelihood,
        )
        return likelihood[:, 0] + self.law.constant(y_, n_)[:, 0]

    def forecast(self, state: ArrayLike, steps: int) -> FloatArray:
        """Expected f at the next ``steps`` times; scores have mean 0. Shape (U, steps, K).

        The first step is the state itself, which is f for the next time already.
        """
        state = np.asarray(state, dtype=np.float64)
        power = self.beta ** np.arange(steps)[:, None]
        return self.mean + power * (state[:, None, :] - self.mean)

    def simulate(
        self,
        units: int,
        times: int,
        *,
        seed: Seed,
        trials: ArrayLike = 1.0,
        regressors: ArrayLike | None = None,
    ) -> Simulated:
        """Draw observations from the model. ``trials`` broadcasts to (U, T)."""
        from bondwork.reputation.drawing import draw

        rng = stream(seed_sequence(seed), 0)
        n = np.broadcast_to(np.asarray(trials, dtype=np.float64), (units, times))
        x = np.zeros((times, 0)) if regressors is None else np.asarray(regressors, dtype=np.float64)
        state = self.start(units)
        y, path = np.empty((units, times)), np.empty((units, times, len(self.law.dynamic)))
        for t in range(times):
            path[:, t] = state
            g = state.copy()
            g[:, 0] += x[t] @ self.gamma
            y[:, t] = draw(self.law, g, self.static, n[:, t], rng)
            self.update(state, y[:, t], n[:, t], x[t])
        return Simulated(y, path)

    def theta(self) -> FloatArray:
        """Shape (K, 3): omega, beta and alpha side by side."""
        return np.stack([self.omega, self.beta, self.alpha], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """What a filter saw.

    Attributes
    ----------
    path
        Shape (U, T, K). f as predicted before each observation.
    log_density
        Shape (U, T). Of each observation under that prediction; 0 where there was none.
    state
        Shape (U, K). f for the time after the last.
    """

    path: FloatArray
    log_density: FloatArray
    state: FloatArray

    @property
    def log_likelihood(self) -> float:
        """Of everything observed."""
        return float(self.log_density.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """Observations y, shape (U, T), and the true f that they came from, shape (U, T, K)."""

    y: FloatArray
    path: FloatArray


def observations(
    law: Law, y: ArrayLike, trials: ArrayLike | None, regressors: ArrayLike | None, coefficients: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bring observations, trials and regressors into the shapes (U, T), (U, T), (T, D).

    Raises
    ------
    ValueError
        Where they do not fit together.
    """
    y = np.ascontiguousarray(y, dtype=np.float64)
    if y.ndim != 2:
        raise ValueError(f"y has shape {y.shape}, expected (units, times)")
    n = np.ones(y.shape) if trials is None else np.ascontiguousarray(trials, dtype=np.float64)
    if n.shape != y.shape:
        raise ValueError(f"trials has shape {n.shape}, expected that of y, {y.shape}")
    if law.name == "binomial" and np.any(y[n > 0.0] > n[n > 0.0]):
        raise ValueError("y holds more successes than trials")
    x = np.zeros((y.shape[1], 0)) if regressors is None else np.ascontiguousarray(regressors, np.float64)
    if x.shape != (y.shape[1], coefficients):
        raise ValueError(f"regressors has shape {x.shape}, expected ({y.shape[1]}, {coefficients})")
    return y, n, x


def make_model(
    law: str,
    omega: ArrayLike,
    beta: ArrayLike,
    alpha: ArrayLike,
    static: ArrayLike = (),
    gamma: ArrayLike = (),
    scaling: Scaling = "unit",
    *,
    reset: bool = False,
) -> ScoreDriven:
    """Make a model from the name of its law; numbers stand for arrays of one."""

    def array(value: ArrayLike) -> FloatArray:
        return np.atleast_1d(np.asarray(value, dtype=np.float64))

    return ScoreDriven(
        LAWS[law], array(omega), array(beta), array(alpha), array(static), array(gamma), scaling, reset
    )
