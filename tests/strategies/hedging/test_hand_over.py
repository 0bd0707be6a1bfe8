"""What mpi-sppy gets is the program, and what it leaves is read back as it stands."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy.sparse import csr_array

from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.matrices import Matrices
from bondwork.solver.construction import make_highs
from bondwork.solver.solving import solve_program
from bondwork.strategies.hedging.hand_over import read_end, read_found, write_parts
from bondwork.strategies.hedging.splitting import Split, split_behind_root
from program.stochastic_programs import programs, toy

if TYPE_CHECKING:
    from pathlib import Path

#: Reads every part and solves it as mpi-sppy would; writes bound and value of each.
AS_MPI_SPPY = """
import json, sys
from pathlib import Path
import pyomo.environ as pyo
from bondwork.strategies.hedging.reading import read_mps_and_create_pyomo_model
answers = {}
for path in sorted(Path(sys.argv[1]).rglob("scen*.mps")):
    model = read_mps_and_create_pyomo_model(str(path))
    tree = json.loads(path.with_name(path.stem + "_nonants.json").read_text())
    assert None not in [model.find_component(name) for name in tree["treeData"]["nodes"]["ROOT"]["nonAnts"]]
    results = pyo.SolverFactory("highs").solve(model, load_solutions=False)
    optimal = str(results.solver.termination_condition) == "optimal"
    bounds = [results.problem.lower_bound, results.problem.upper_bound]
    answers[f"{path.parent.name}/{path.stem}"] = bounds if optimal else None
Path(sys.argv[2]).write_text(json.dumps(answers))
"""


def awkward() -> Split:
    """A part with all that MPS readers disagree about: ranges, free and negative columns, constants."""
    part = Matrices(
        np.array([1.0, -2.0, 0.5, 0.0]),
        7.25,
        csr_array(
            np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1, 0, 1, 0]])
        ),
        np.array([-3.0, -math.inf, -1.0, -math.inf]),
        np.array([4.5, 2.0, 1.0, math.inf]),
        np.array([-5.0, -math.inf, -2.0, 3.0]),
        np.array([-1.0, math.inf, 2.5, 3.0]),
        np.array([True, False, True, False]),
    )
    return Split((part,), np.ones(1), 2, 1.0, (np.arange(4),), np.array([0, 2, 4]))


def best(part: Matrices) -> float | None:
    answer = solve_program(part, Options(mip_rel_gap=0.0), Silence())
    return None if answer.x is None else part.value(answer.x)


def test_parts_mean_the_same_to_mpi_sppy(tmp_path: Path):
    splits = [awkward(), split_behind_root(toy(copies=2), bundle=3)]

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(programs())
    def collect(program):
        splits.append(split_behind_root(program))

    collect()
    expected = {}
    for number, split in enumerate(splits):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_parts(folder, split, np.ones(split.root))
        expected |= {f"{number}/scen{k}": best(part) for k, part in enumerate(split.parts)}
    out = tmp_path / "answers.json"
    command = [sys.executable, "-c", AS_MPI_SPPY, str(tmp_path), str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=120)
    answers = json.loads(out.read_text())
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        if value is None:
            assert answers[name] is None
        else:
            lower, upper = answers[name]
            assert upper == pytest.approx(-value, abs=1e-6)
            assert lower <= -value + 1e-6


def test_files_of_a_part(tmp_path: Path):
    split = split_behind_root(toy(), 1)
    write_parts(tmp_path, split, np.array([0.25]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"scen{k}{end}" for k in range(2) for end in (".mps", "_nonants.json", "_rho.csv")
    ]
    tree = json.loads((tmp_path / "scen1_nonants.json").read_text())
    assert tree["scenarioData"] == {"name": "scen1", "scenProb": 0.5}
    assert tree["treeData"]["nodes"] == {"ROOT": {"serialNumber": 0, "condProb": 1.0, "nonAnts": ["x0"]}}
    assert (tmp_path / "scen0_rho.csv").read_text() == "varname,rho\nx0,0.25\n"
    highs = make_highs()
    highs.readModel(str(tmp_path / "scen1.mps"))
    highs.run()
    assert highs.getObjectiveValue() == -12.0


def test_bounds_and_incumbents_are_read_as_far_as_they_are_whole(tmp_path: Path):
    assert read_found(tmp_path, 1.0, "").root is None
    assert read_found(tmp_path, 1.0, "").bound == math.inf
    trace = tmp_path / "traceLagrangianOuterBound.csv"
    trace.write_text("time,bound\n0.1,-8.0\n0.2,-6.0\n0.3,-7.0\n0.4,inf\n0.5,None\n0.6,-2")
    for number, value in ((9, -4.0), (10, -5.0)):
        np.save(tmp_path / f"incumbent_{number:04d}.npy", np.array([value, number]))
    (tmp_path / "incumbent_0011.partial").write_bytes(b"half")
    found = read_found(tmp_path, 0.5, "[  1.00] all well")
    assert (found.bound, found.objective, found.root.tolist(), found.doubtful) == (12.0, 10.0, [10.0], False)


@pytest.mark.parametrize("log", ["[LagrangianOuterBound] Solve failed for scenario scen1", None])
def test_bounds_that_may_be_wrong_are_not_read(tmp_path: Path, log: str | None):
    (tmp_path / "traceLagrangianOuterBound.csv").write_text("time,bound\n0.1,-8.0\n")
    found = read_found(tmp_path, 1.0, log)
    assert found.doubtful
    assert found.bound == math.inf


def test_candidates_that_fail_cast_no_doubt_on_bounds(tmp_path: Path):
    (tmp_path / "traceLagrangianOuterBound.csv").write_text("time,bound\n0.1,-8.0\n")
    found = read_found(tmp_path, 1.0, "[XhatShuffleInnerBound] Solve failed for scenario scen1")
    assert (found.bound, found.doubtful) == (8.0, False)


def test_what_the_hub_ends_with_is_read_whole_or_not_at_all(tmp_path: Path):
    split = split_behind_root(toy())
    assert read_end(tmp_path, split) == (None, None)
    (tmp_path / "consensus.csv").write_text("x0,4.5\n")
    (tmp_path / "prices.csv").write_text("scen0,x0,-1.25\n")
    consensus, prices = read_end(tmp_path, split)
    assert consensus.tolist() == [4.5]
    assert prices is None
    (tmp_path / "prices.csv").write_text("scen1,x0,1.25\nscen0,x0,-1.25\n")
    assert read_end(tmp_path, split)[1].tolist() == [[-1.25], [1.25]]
