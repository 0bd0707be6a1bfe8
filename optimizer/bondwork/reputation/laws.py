"""Laws of what is observed, with the parameters that move and those that stay (MODEL 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray

#: S of the recursion: 1, the inverse square root of the Fisher information, or its inverse.
Scaling: TypeAlias = Literal["unit", "inverse_root", "inverse"]

#: Power of the information that each scaling divides by.
POWER = {"unit": 0.0, "inverse_root": 0.5, "inverse": 1.0}


#: Log factorials of counts below this are tabled.
_TABLED = 100_000.0


@dataclass(frozen=True, slots=True)
class Law:
    """One law of a score-driven model.

    Attributes
    ----------
    name
        As it is asked for.
    number
        As `bondwork.reputation.kernels` knows it.
    dynamic
        Names of the K parameters f that move.
    static
        Names of the S parameters psi that stay.
    positive
        Those of the static ones that must be above 0.
    """

    name: str
    number: int
    dynamic: tuple[str, ...]
    static: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()

    def log_density(
        self, y: ArrayLike, f: ArrayLike, static: ArrayLike = (), trials: ArrayLike = 1.0
    ) -> FloatArray:
        """Log density (or probability) of observations. Shape of ``y``."""
        y = np.asarray(y, dtype=np.float64)
        n = np.broadcast_to(np.asarray(trials, dtype=np.float64), y.shape)
        return self._evaluated(y, f, static, trials)[..., 0] + self.constant(y, n)

    def constant(self, y: FloatArray, n: FloatArray) -> FloatArray:
        """What of the log density depends on the observation alone. Shape of ``y``; 0 where it is missing."""
        from scipy.special import gammaln

        found: FloatArray = np.zeros(y.shape)
        there = ~np.isnan(y) & (n > 0.0)
        if self.name == "binomial":
            several = there & (n > 1.0)
            k, m = y[several], n[several]
            most = m.max(initial=0.0)
            if most < _TABLED and np.array_equal(k, np.rint(k)) and np.array_equal(m, np.rint(m)):
                # counts are small as a rule: three look-ups cost less than three gamma functions
                table = gammaln(np.arange(most + 1.0) + 1.0)
                i, j = m.astype(np.int64), k.astype(np.int64)
                found[several] = table[i] - table[j] - table[i - j]
            else:
                found[several] = gammaln(m + 1.0) - gammaln(k + 1.0) - gammaln(m - k + 1.0)
        elif self.name in ("poisson", "negative_binomial"):
            found[there] = -gammaln(y[there] + 1.0)
        return found

    def score(
        self, y: ArrayLike, f: ArrayLike, static: ArrayLike = (), trials: ArrayLike = 1.0
    ) -> FloatArray:
        """Scores d log p / d f of observations. Shape of ``y`` and K.

        Examples
        --------
        >>> LAWS["binomial"].score([3.0], [[0.0]], trials=4.0).tolist()
        [[1.0]]
        """
        return self._evaluated(y, f, static, trials)[..., 1 : 1 + len(self.dynamic)]

    def information(self, f: ArrayLike, static: ArrayLike = (), trials: ArrayLike = 1.0) -> FloatArray:
        """Fisher information of each dynamic parameter. Shape of ``f``."""
        f = np.asarray(f, dtype=np.float64)
        return self._evaluated(np.zeros(f.shape[:-1]), f, static, trials)[..., 3 : 3 + len(self.dynamic)]

    def _evaluated(self, y: ArrayLike, f: ArrayLike, static: ArrayLike, trials: ArrayLike) -> FloatArray:
        from bondwork.reputation.kernels import evaluate  # compiled when first used

        y = np.asarray(y, dtype=np.float64)
        f = np.broadcast_to(np.asarray(f, dtype=np.float64), (*y.shape, len(self.dynamic)))
        n = np.broadcast_to(np.asarray(trials, dtype=np.float64), y.shape)
        result = np.zeros((y.size, 23))
        evaluate(
            self.number,
            np.ascontiguousarray(y).ravel(),
            np.ascontiguousarray(n).ravel(),
            np.ascontiguousarray(f).reshape(y.size, len(self.dynamic)),
            np.array(static, dtype=np.float64).reshape(len(self.static)),
            result,
        )
        return result.reshape(*y.shape, 23)


LAWS = {
    law.name: law
    for law in (
        Law("binomial", 0, ("logit p",)),
        Law("gaussian_mean", 1, ("mean",), ("variance",), ("variance",)),
        Law("gaussian_log_variance", 2, ("log variance",), ("mean",)),
        Law("gaussian_variance", 3, ("variance",), ("mean",)),
        Law("student_location", 4, ("location",), ("nu", "scale2"), ("nu", "scale2")),
        Law("student_log_scale", 5, ("log scale2",), ("nu", "location"), ("nu",)),
        Law("student", 6, ("location", "log scale2"), ("nu",), ("nu",)),
        Law("poisson", 7, ("log mean",)),
        Law("negative_binomial", 8, ("log mean",), ("a",), ("a",)),
    )
}
