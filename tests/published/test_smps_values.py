"""Published stochastic programs, read from SMPS files, against their published values."""

from __future__ import annotations

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

EXACT = Options(threads=1, mip_rel_gap=0.0)


def published(name: str) -> StochasticProgram:
    return read_smps(*(SMPS / f"{name}.{end}" for end in ("cor", "tim", "sto")))


def test_farmer() -> None:
    """Birge & Louveaux, chapter 1; this file's first stage is whole and has 500.5 acres."""
    program = published("farmer/farmer")
    assert (len(program), program.sense) == (4, "min")
    solution = solve_stochastic(program, EXACT, value=True)
    assert solution.objective == pytest.approx(-108390, abs=0.5)
    assert solution.first_stage == {"x0": 170.0, "x1": 80.0, "x2": 250.0}
    value = solution.stochastic
    assert value is not None
    found = (value.ws, value.rp, value.eev, value.ev, value.evpi, value.vss)
    assert found == pytest.approx((-115400, -108390, -107240, -118600, 7010, 1150), abs=0.5)


def test_farmer_as_the_textbook_has_it(tmp_path: Path) -> None:
    """500 acres, fractions allowed: WS -115405.56, EVPI 7015.56."""
    core = (SMPS / "farmer" / "farmer.cor").read_text().replace("500.5", "500.0").replace(" UI ", " UP ")
    changed = tmp_path / "farmer.cor"
    changed.write_text(core)
    program = read_smps(changed, *(SMPS / f"farmer/farmer.{end}" for end in ("tim", "sto")))
    value = solve_stochastic(program, EXACT, value=True).stochastic
    assert value is not None
    found = (value.ws, value.rp, value.eev, value.evpi, value.vss)
    assert found == pytest.approx((-115405.56, -108390, -107240, 7015.56, 1150), abs=0.5)


def test_lands() -> None:
    """A variant of Louveaux & Smeers; 27 scenarios from three independent demands."""
    program = published("electric/LandS")
    assert len(program) == 28
    solution = solve_stochastic(program, EXACT, value=True)
    assert solution.objective == pytest.approx(397.751333, abs=1e-5)
    value = solution.stochastic
    assert value is not None
    assert value.ws <= value.rp <= value.eev
    assert value.evpi > 0.0 and value.vss > 0.0


def test_mean_problem_of_sslp_5_25_50_is_infeasible() -> None:
    """Its customers are there or not; the mean of that is a fraction that no whole column can meet."""
    from bondwork.observing import Silence
    from bondwork.program.stochastic_value import stochastic_value

    program = published("sslp/sslp_5_25_50")
    unsolved = solve_stochastic(program, Options(threads=1, time_limit=0.0))
    value = stochastic_value(program, Options(threads=1), Silence(), unsolved)
    assert (value.ev, value.eev, value.vss, value.evpi) == (None, None, None, None)
    assert value.ws <= -121.60
    assert "eev: the mean problem is infeasible" in value.notes
