"""Hedging on published programs: the printed optimum lies between its incumbent and its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.program.program_solving import solve_stochastic

if TYPE_CHECKING:
    from pathlib import Path

#: File, printed optimum (all are minimised), children of the root in one part, relative gap to be reached.
PUBLISHED = [
    ("farmer/farmer", -108390.0, "1", 0.01),
    ("electric/LandS", 397.751333, "3", 0.05),
    ("sslp/sslp_5_25_50", -121.60, "10", 0.5),
]


@pytest.mark.published
@pytest.mark.usefixtures("mpi")
@pytest.mark.parametrize(("name", "optimum", "bundle", "reached"), PUBLISHED)
def test_the_optimum_lies_between(shared: Path, name: str, optimum: float, bundle: str, reached: float):
    program = read_smps(*(shared / "data" / "smps" / f"{name}.{end}" for end in ("cor", "tim", "sto")))
    options = Options(time_limit=90.0, mip_rel_gap=0.9 * reached, settings={"bundle": bundle})
    solution = solve_stochastic(program, options, strategy="hedging")
    assert solution.verified
    slack = 1e-6 * abs(optimum)
    assert solution.bound <= optimum + slack <= solution.objective + 2.0 * slack
    assert solution.gap <= reached
