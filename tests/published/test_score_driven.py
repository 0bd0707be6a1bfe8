"""Score-driven estimates that others published, from their own series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bondwork.reputation.fitting import fit_pooled

if TYPE_CHECKING:
    from pathlib import Path


def test_lake_huron(shared: Path):
    """A Gaussian mean with a trend: R gasmodel prints -100.6927."""
    table = np.genfromtxt(shared / "data" / "gas" / "LakeHuron.csv", delimiter=",", skip_header=1)
    y, x = table[:, 2] - 570.0, np.arange(1.0, 99.0)[:, None]
    fit = fit_pooled("gaussian_mean", y[None], None, x)
    told = dict(zip(fit.names, fit.estimate, strict=True))
    assert fit.log_likelihood == pytest.approx(-100.6927, abs=5e-5)
    assert fit.model.mean[0] == pytest.approx(9.989, abs=5e-4)
    assert told["gamma"] == pytest.approx(-0.020, abs=5e-4)
    assert told["alpha"] == pytest.approx(0.464, abs=5e-4)
    assert told["beta"] == pytest.approx(0.665, abs=5e-4)
    assert told["variance"] == pytest.approx(0.457, abs=5e-4)


def test_inflation(shared: Path):
    """Student t, location and scale both moving: the R GAS vignette prints -178.2."""
    y = np.loadtxt(shared / "data" / "gas" / "cpichg.csv")
    fit = fit_pooled("student", y[None])
    assert fit.log_likelihood == pytest.approx(-178.20649, abs=5e-5)
    assert fit.model.omega == pytest.approx([0.03736, -0.25993], abs=2e-4)
    assert fit.model.alpha == pytest.approx([0.07173, 0.45372], abs=2e-4)
    assert fit.model.beta == pytest.approx([0.94317, 0.85560], abs=2e-4)
    assert fit.model.static == pytest.approx([6.5261], abs=2e-3)


def test_exchange_rate(shared: Path):
    """With inverse scaling a Gaussian variance is GARCH(1,1): Bollerslev & Ghysels 1996."""
    y = np.loadtxt(shared / "data" / "gas" / "BG96.csv")
    fit = fit_pooled("gaussian_variance", y[None], scaling="inverse", start=[[y.var(ddof=1)]])
    told = dict(zip(fit.names, fit.estimate, strict=True))
    assert fit.log_likelihood == pytest.approx(-1106.58664, abs=5e-5)
    assert told["mean"] == pytest.approx(-0.00616637, abs=1e-4)
    assert told["omega"] == pytest.approx(0.01076059, abs=1e-4)
    assert told["alpha"] == pytest.approx(0.15341134, abs=1e-4)
    assert told["beta"] - told["alpha"] == pytest.approx(0.80587453, abs=1e-4)
