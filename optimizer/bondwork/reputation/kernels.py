"""The recursions, compiled: log densities, scores and their derivatives, step by step.

One step function knows all laws, so that there is one filter and one gradient, compiled once and cached. With
g = f + gamma @ x the dynamic parameters at a time, it writes down for K dynamic and S static parameters

    out[0]                log p(y | g), without the factorials that depend on y alone
    out[1 : 3]            s, the scores d log p / d g
    out[3 : 5]            I, the Fisher informations (diagonal)
    out[5 : 9]            d s_k / d g_j, row by row
    out[9 : 13]           d I_k / d g_j
    out[13 : 15]          d log p / d psi
    out[15 : 19]          d s_k / d psi_i
    out[19 : 23]          d I_k / d psi_i

with room for K = S = 2 always.
"""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numpy as np

from bondwork.base.compiled import kernel

#: A search tries parameters at which nothing is likely: dividing by 0 is infinite there, as in numpy, and no
#: error.
_kernel = kernel(error_model="numpy")

BINOMIAL, GAUSSIAN_MEAN, GAUSSIAN_LOG_VARIANCE, GAUSSIAN_VARIANCE = 0, 1, 2, 3
STUDENT_LOCATION, STUDENT_LOG_SCALE, STUDENT_BOTH, POISSON, NEGATIVE_BINOMIAL = 4, 5, 6, 7, 8

_OUT = 23
_LOG_2_PI = math.log(2.0 * math.pi)


@_kernel
def digamma(x):
    """Logarithmic derivative of the gamma function, for x > 0; error below 1e-13 of its size."""
    total = 0.0
    while x < 10.0:
        total -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1.0 / 12 - y * (1.0 / 120 - y * (1.0 / 252 - y * (1.0 / 240 - y * (1.0 / 132)))))
    return total + math.log(x) - 0.5 / x - series


@_kernel
def _binomial(y, n, f, out):
    # p and 1 - p without overflow at either end
    e = math.exp(-abs(f))
    p = 1.0 / (1.0 + e) if f >= 0.0 else e / (1.0 + e)
    variance = n * e / ((1.0 + e) * (1.0 + e))
    out[0] = y * f - n * (max(f, 0.0) + math.log1p(e))
    out[1] = y - n * p
    out[3] = variance
    out[5] = -variance
    out[9] = variance * (1.0 - 2.0 * p)


@_kernel
def _gaussian(law, y, g, psi, out):
    if law == GAUSSIAN_MEAN:
        v, z = psi[0], y - g[0]
        out[0] = -0.5 * (_LOG_2_PI + math.log(v) + z * z / v)
        out[1], out[3], out[5], out[9] = z / v, 1.0 / v, -1.0 / v, 0.0
        out[13], out[15], out[19] = (z * z / v - 1.0) / (2.0 * v), -z / (v * v), -1.0 / (v * v)
        return
    z = y - psi[0]
    v = math.exp(g[0]) if law == GAUSSIAN_LOG_VARIANCE else g[0]
    if v <= 0.0:
        out[0] = -np.inf
        return
    w = z * z / v
    out[0] = -0.5 * (_LOG_2_PI + math.log(v) + w)
    out[13] = z / v
    if law == GAUSSIAN_LOG_VARIANCE:
        out[1], out[3], out[5], out[9] = (w - 1.0) / 2.0, 0.5, -w / 2.0, 0.0
        out[15] = -z / v
    else:
        out[1], out[3] = (w - 1.0) / (2.0 * v), 0.5 / (v * v)
        out[5], out[9] = (0.5 - w) / (v * v), -1.0 / (v * v * v)
        out[15] = -z / (v * v)
    out[19] = 0.0


@_kernel
def _student(law, y, g, psi, out):
    nu = psi[0]
    mu = psi[1] if law == STUDENT_LOG_SCALE else g[0]
    v = psi[1] if law == STUDENT_LOCATION else math.exp(g[0] if law == STUDENT_LOG_SCALE else g[1])
    z = y - mu
    q = nu * v + z * z
    out[0] = (
        math.lgamma(0.5 * (nu + 1.0))
        - math.lgamma(0.5 * nu)
        - 0.5 * (math.log(math.pi * nu * v) + (nu + 1.0) * math.log(q / (nu * v)))
    )
    by_mu = (nu + 1.0) * z / q
    by_log = 0.5 * ((nu + 1.0) * z * z / q - 1.0)
    by_nu = 0.5 * (
        digamma(0.5 * (nu + 1.0))
        - digamma(0.5 * nu)
        - 1.0 / nu
        - math.log(q / (nu * v))
        + (nu + 1.0) * z * z / (nu * q)
    )
    mu_mu = -(nu + 1.0) * (nu * v - z * z) / (q * q)
    log_log = -0.5 * (nu + 1.0) * z * z * nu * v / (q * q)
    mu_log = -(nu + 1.0) * z * nu * v / (q * q)
    mu_nu = z / q - (nu + 1.0) * z * v / (q * q)
    log_nu = 0.5 * z * mu_nu
    information_mu, information_log = (nu + 1.0) / ((nu + 3.0) * v), 0.5 * nu / (nu + 3.0)
    information_mu_nu, information_log_nu = 2.0 / ((nu + 3.0) ** 2 * v), 1.5 / (nu + 3.0) ** 2
    out[13] = by_nu
    if law == STUDENT_LOCATION:
        out[1], out[3], out[5], out[9] = by_mu, information_mu, mu_mu, 0.0
        out[14] = by_log / v
        out[15], out[16] = mu_nu, mu_log / v
        out[19], out[20] = information_mu_nu, -information_mu / v
    elif law == STUDENT_LOG_SCALE:
        out[1], out[3], out[5], out[9] = by_log, information_log, log_log, 0.0
        out[14] = by_mu
        out[15], out[16] = log_nu, mu_log
        out[19], out[20] = information_log_nu, 0.0
    else:
        out[1], out[2], out[3], out[4] = by_mu, by_log, information_mu, information_log
        out[5], out[6], out[7], out[8] = mu_mu, mu_log, mu_log, log_log
        out[9], out[10], out[11], out[12] = 0.0, -information_mu, 0.0, 0.0
        out[15], out[17] = mu_nu, log_nu
        out[19], out[21] = information_mu_nu, information_log_nu


@_kernel
def _counts(law, y, g, psi, out):
    mu = math.exp(g[0])
    if law == POISSON:
        out[0] = y * g[0] - mu
        out[1], out[3], out[5], out[9] = y - mu, mu, -mu, mu
        return
    a = psi[0]
    r, d = 1.0 / a, 1.0 + a * mu
    out[0] = math.lgamma(y + r) - math.lgamma(r) + y * (math.log(a) + g[0]) - (y + r) * math.log(d)
    out[1], out[3] = (y - mu) / d, mu / d
    out[5], out[9] = -mu * (1.0 + a * y) / (d * d), mu / (d * d)
    out[13] = r * r * (digamma(r) - digamma(y + r) + math.log(d)) + y * r - (y + r) * mu / d
    out[15], out[19] = -(y - mu) * mu / (d * d), -mu * mu / (d * d)


@_kernel
def step(law, y, n, g, psi, out):
    """Everything about one observation; see the module. ``out`` keeps 0 where a law has nothing."""
    if law == BINOMIAL:
        _binomial(y, n, g[0], out)
    elif law <= GAUSSIAN_VARIANCE:
        _gaussian(law, y, g, psi, out)
    elif law <= STUDENT_BOTH:
        _student(law, y, g, psi, out)
    else:
        _counts(law, y, g, psi, out)


@_kernel
def _scale(information, power):
    """S: 1, the inverse root of the information, or its inverse."""
    if power == 0.0:
        return 1.0
    if power == 0.5:
        return 1.0 / math.sqrt(information)
    return 1.0 / information


@_kernel
def filter_units(law, power, dynamic, theta, psi, gamma, reset, start, y, n, x, path, likelihood):
    """Filter every unit: one-step predictions and log densities.

    Parameters
    ----------
    law, power
        Number of the law; 0, 0.5 or 1 for the scaling.
    dynamic
        K.
    theta
        Shape (K, 3): omega, beta, alpha.
    psi, gamma
        Shapes (S,), (D,).
    reset
        Whether f begins anew at its mean after a time at which nothing was observed.
    start
        Shape (U, K). f at the first time; updated in place to f after the last.
    y, n, x
        Shapes (U, T), (U, T), (T, D). An observation that is NaN is missing: its score is 0.
    path, likelihood
        Shapes (U, T, K), (U, T). Written: f as predicted for each time, and the log density there.
    """
    units, times = y.shape
    out = np.zeros(_OUT)
    g = np.zeros(2)
    for u in range(units):
        for t in range(times):
            for k in range(dynamic):
                path[u, t, k] = start[u, k]
                g[k] = start[u, k]
            for d in range(len(gamma)):
                g[0] += gamma[d] * x[t, d]
            observed = not math.isnan(y[u, t]) and n[u, t] > 0.0
            likelihood[u, t] = 0.0
            if observed:
                step(law, y[u, t], n[u, t], g, psi, out)
                likelihood[u, t] = out[0]
            for k in range(dynamic):
                f = theta[k, 0] + theta[k, 1] * start[u, k]
                if observed:
                    f += theta[k, 2] * _scale(out[3 + k], power) * out[1 + k]
                elif reset:
                    f = theta[k, 0] / (1.0 - theta[k, 1])
                start[u, k] = f


@_kernel
def gradient_units(
    law, power, dynamic, theta, psi, gamma, reset, start, fixed_start, y, n, x, value, gradient
):
    """Log likelihood of every unit with its exact gradient.

    Sensitivities of f run along with it (forward mode). The parameters are, in this order, omega, beta, alpha
    of each dynamic parameter, psi, gamma; ``start`` is omega/(1 - beta) unless ``fixed_start``.
    ``value`` has shape (U,), ``gradient`` (U, P); both are written.
    """
    units, times = y.shape
    statics, regressors = len(psi), len(gamma)
    parameters = 3 * dynamic + statics + regressors
    out = np.zeros(_OUT)
    g = np.zeros(2)
    f = np.zeros(2)
    df = np.zeros((2, parameters))
    dg = np.zeros((2, parameters))
    for u in range(units):
        value[u] = 0.0
        gradient[u] = 0.0
        df[:] = 0.0
        for k in range(dynamic):
            f[k] = start[u, k]
        if not fixed_start:
            _begin(dynamic, theta, f, df)
        for t in range(times):
            observed = not math.isnan(y[u, t]) and n[u, t] > 0.0
            if observed:
                for k in range(dynamic):
                    g[k] = f[k]
                    dg[k] = df[k]
                for d in range(regressors):
                    g[0] += gamma[d] * x[t, d]
                    dg[0, 3 * dynamic + statics + d] += x[t, d]
                step(law, y[u, t], n[u, t], g, psi, out)
                value[u] += out[0]
                for k in range(dynamic):
                    for i in range(parameters):
                        gradient[u, i] += out[1 + k] * dg[k, i]
                for i in range(statics):
                    gradient[u, 3 * dynamic + i] += out[13 + i]
            if reset and not observed:
                _begin(dynamic, theta, f, df)
            else:
                _advance(power, dynamic, statics, parameters, theta, observed, f, df, dg, out)


@_kernel
def _begin(dynamic, theta, f, df):
    """Put f at its mean, with the sensitivities of that."""
    df[:] = 0.0
    for k in range(dynamic):
        apart = 1.0 - theta[k, 1]
        f[k] = theta[k, 0] / apart
        df[k, 3 * k] = 1.0 / apart
        df[k, 3 * k + 1] = theta[k, 0] / apart**2


@_kernel
def _advance(power, dynamic, statics, parameters, theta, observed, f, df, dg, out):
    """Move f and its sensitivities to the next time."""
    for k in range(dynamic):
        omega, beta, alpha = theta[k, 0], theta[k, 1], theta[k, 2]
        old = f[k]
        scaled = 0.0
        if observed:
            information, score = out[3 + k], out[1 + k]
            s = _scale(information, power)
            scaled = s * score
            # d(I**-power * score) = S * d(score) - power * S / I * score * d(I)
            weight = -power * s / information * score if power > 0.0 else 0.0
        for i in range(parameters):
            df[k, i] *= beta
        if observed:
            for i in range(parameters):
                change = 0.0
                for j in range(dynamic):
                    change += (s * out[5 + 2 * k + j] + weight * out[9 + 2 * k + j]) * dg[j, i]
                df[k, i] += alpha * change
            for i in range(statics):
                change = s * out[15 + 2 * k + i] + weight * out[19 + 2 * k + i]
                df[k, 3 * dynamic + i] += alpha * change
        df[k, 3 * k] += 1.0
        df[k, 3 * k + 1] += old
        df[k, 3 * k + 2] += scaled
        f[k] = omega + beta * old + alpha * scaled


@_kernel
def evaluate(law, y, n, g, psi, result):
    """Run `step` on many observations: ``g`` has shape (m, K), ``result`` (m, 23)."""
    at = np.zeros(2)
    for i in range(len(y)):
        for k in range(g.shape[1]):
            at[k] = g[i, k]
        step(law, y[i], n[i], at, psi, result[i])
