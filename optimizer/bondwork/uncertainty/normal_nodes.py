"""Nodes for averages over a normal number of what is smooth, or what bends at known places only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

#: Normal numbers are cut here: what is beyond has a probability below 3e-19.
RANGE = 9.0

#: Step of the trapezoidal rule for an average over a normal number, in units of what it averages: the rule
#: errs by exp(-2 * (pi / step)**2) or less for what is itself a normal distribution function.
STEP = 0.6

#: Share of a factor in the variance up to which chances are smooth in it, so that all share the nodes.
SMOOTH = 0.985

#: Nodes and weights of a Gauss-Legendre piece.
_GAUSS = np.polynomial.legendre.leggauss(10)


def smooth_step(slopes: float) -> float:
    """Step of the trapezoidal rule for a product of normal distribution functions.

    Parameters
    ----------
    slopes
        Sum of the squares of their slopes.
    """
    return float(STEP / np.sqrt(1.0 + slopes))


def normal_trapezoid(step: float) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of the trapezoidal rule; every other node is the rule with twice the step."""
    half = int(np.ceil(RANGE / step / 2.0)) * 2
    factor = step * np.arange(-half, half + 1.0)
    return factor, step * np.exp(-0.5 * factor**2) / np.sqrt(2.0 * np.pi)


def normal_pieces(bends: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of a normal average that is smooth between the bends and constant outside of them."""
    edges = np.unique(np.concatenate([[-np.inf, np.inf], *bends]))
    low, high = edges[:-1], edges[1:]
    bent = np.zeros(len(low), dtype=bool)
    for each in bends:
        if len(each) > 1:
            bent |= (low >= each[0]) & (high <= each[-1])
    mass = scipy.special.ndtr(high) - scipy.special.ndtr(low)
    mass = np.where(low > 0.0, scipy.special.ndtr(-low) - scipy.special.ndtr(-high), mass)
    flat = ~bent
    inside = (np.clip(low, -2.0 * RANGE, None) + np.clip(high, None, 2.0 * RANGE)) / 2.0
    points, weights = _GAUSS
    half = (high[bent] - low[bent])[:, np.newaxis] / 2.0
    factor = (inside[bent, np.newaxis] + half * points).ravel()
    weight = (half * weights).ravel() * np.exp(-0.5 * factor**2) / np.sqrt(2.0 * np.pi)
    return np.concatenate([inside[flat], factor]), np.concatenate([mass[flat], weight])


def window(score: FloatArray, width: float) -> FloatArray:
    """Bends of normal distribution functions of a width around scores; infinite ones have none."""
    near = score[np.isfinite(score), np.newaxis] + RANGE * width * np.linspace(-1.0, 1.0, 11)
    return np.unique(np.clip(near, -RANGE, RANGE))
