"""Every strategy on the published programs that it takes: the value, or bound and incumbent round it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.program.program_solving import solve_stochastic

if TYPE_CHECKING:
    from bondwork.program.stochastic import StochasticProgram

SMPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "smps"

pytestmark = pytest.mark.skipif(
    not SMPS.is_dir(), reason=f"published data is not at {SMPS}: it is no part of the project"
)

#: Optimum of each, minimised, and the seconds that a strategy may take.
OPTIMA = {"farmer/farmer": -108390.0, "electric/LandS": 397.751333}
SECONDS = 60.0

EXACT = ["auto", "extensive", "l-shaped", "highs-simplex", "highs-ipm", "highs-pdlp", "highs-no-presolve"]
BOUNDS = ["wait-and-see", "expected-value"]


def published(name: str) -> StochasticProgram:
    return read_smps(*(SMPS / f"{name}.{end}" for end in ("cor", "tim", "sto")))


@pytest.mark.parametrize("strategy", EXACT)
@pytest.mark.parametrize("name", OPTIMA)
def test_exact_strategies_find_the_published_value(name: str, strategy: str) -> None:
    start = time.perf_counter()
    solution = solve_stochastic(published(name), Options(threads=1, mip_rel_gap=1e-7), strategy=strategy)
    assert time.perf_counter() - start < SECONDS
    assert (solution.status, solution.verified) == ("optimal", True)
    assert solution.objective == pytest.approx(OPTIMA[name], rel=1e-6)
    assert solution.bound == pytest.approx(OPTIMA[name], rel=1e-6)


@pytest.mark.parametrize("strategy", BOUNDS)
@pytest.mark.parametrize("name", OPTIMA)
def test_others_have_it_between_bound_and_incumbent(name: str, strategy: str) -> None:
    solution = solve_stochastic(published(name), Options(threads=1, mip_rel_gap=0.0), strategy=strategy)
    assert solution.bound is None or solution.bound <= OPTIMA[name] * (1.0 + 1e-6) + 1.0
    if strategy == "wait-and-see":
        assert (solution.solution, solution.objective) == ("none", None)
        assert solution.bound is not None
    else:
        assert solution.verified
        assert solution.objective is not None and solution.objective >= OPTIMA[name] - 1.0


def test_sslp_5_25_50_by_cuts() -> None:
    """Ntaimo & Sen: yes or no in both stages; the extensive form as it stands takes HiGHS a minute."""
    start = time.perf_counter()
    options = Options(threads=1, time_limit=SECONDS)
    solution = solve_stochastic(published("sslp/sslp_5_25_50"), options, strategy="l-shaped")
    assert time.perf_counter() - start < 2.0 * SECONDS
    assert (solution.status, solution.verified) == ("optimal", True)
    assert solution.objective == pytest.approx(-121.60, abs=1e-6)
    assert solution.bound == pytest.approx(-121.60, abs=0.02)


@pytest.mark.published
def test_sslp_15_45_5_by_cuts() -> None:
    """The same with fifteen sites."""
    options = Options(threads=1, time_limit=300.0)
    solution = solve_stochastic(published("sslp/sslp_15_45_5"), options, strategy="l-shaped")
    assert (solution.status, solution.verified) == ("optimal", True)
    assert solution.objective == pytest.approx(-262.40, abs=1e-6)
    assert solution.bound == pytest.approx(-262.40, abs=0.03)


@pytest.mark.parametrize("name", ["sslp/sslp_5_25_50", "sslp/sslp_15_45_5"])
def test_planning_with_means_has_no_plan_for_customers_that_are_half_there(name: str) -> None:
    solution = solve_stochastic(
        published(name), Options(threads=1, time_limit=20.0), strategy="expected-value"
    )
    assert (solution.status, solution.solution) == ("locally_infeasible", "none")
    # no plan, yet a bound: that of the certificate
    assert solution.bound is not None and solution.bound <= {"5_25_50": -121.6, "15_45_5": -262.4}[name[10:]]
