"""Hedging by hand: a folder out, a run in it, a verified solution back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bondwork.cli import app
from bondwork.program.program_solution import load_solution
from program.stochastic_programs import toy
from strategies.hedging.farming import OPTIMUM, farmer


def run(*arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and why it was refused."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    return done.exit_code, f"{done.exception}"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "farmer.json"
    path.write_text(farmer().to_json())
    return path


@pytest.fixture
def folder(program: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "handed over"
    assert run("export", "mpi-sppy", program, "-o", folder, "--set", "iterations=3")[0] == 0
    return folder


@pytest.mark.usefixtures("mpi")
def test_out_and_back(program: Path, folder: Path, tmp_path: Path):
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", str(folder / "run.sh")], env=environment, check=True, timeout=120)
    out = tmp_path / "solution.json"
    assert run("import", "mpi-sppy", folder, program, "-o", out)[0] == 0
    solution = load_solution(out)
    assert (solution.status, solution.strategy, solution.verified) == ("iteration_limit", "hedging", True)
    assert solution.bound <= OPTIMUM + 0.01
    assert solution.objective >= OPTIMUM - 0.01
    assert solution.objective == pytest.approx(OPTIMUM, rel=0.2)


def test_what_a_killed_run_has_left_is_a_solution(program: Path, folder: Path, tmp_path: Path):
    (folder / "mpi-sppy.log").write_text("")
    (folder / "traceLagrangianOuterBound.csv").write_text("time,bound\n0.1,-108400.0\n")
    # what mpi-sppy says of an incumbent is not believed
    np.save(folder / "incumbent_0000.npy", np.array([-999999.0, 170.0, 80.0, 250.0]))
    out = tmp_path / "solution.json"
    assert run("import", "mpi-sppy", folder, program, "-o", out)[0] == 0
    solution = load_solution(out)
    assert solution.objective == pytest.approx(OPTIMUM)
    assert (solution.bound, solution.status) == (-108400.0, "time_limit")
    assert solution.first_stage == {"wheat": 170.0, "corn": 80.0, "beets": 250.0}


def test_without_a_log_no_bound_is_believed(program: Path, folder: Path, tmp_path: Path):
    (folder / "traceLagrangianOuterBound.csv").write_text("time,bound\n0.1,-1.0\n")
    out = tmp_path / "solution.json"
    assert run("import", "mpi-sppy", folder, program, "-o", out)[0] == 4
    solution = load_solution(out)
    assert (solution.bound, solution.solution) == (None, "none")
    assert "left out" in solution.provenance.notes[-1]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(program: Path, folder: Path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, why = run("export", "mpi-sppy", program, "-o", folder)
    assert code == 1
    assert "not empty" in why
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_program_is_refused(folder: Path, tmp_path: Path):
    other = tmp_path / "toy.json"
    other.write_text(toy().to_json())
    code, why = run("import", "mpi-sppy", folder, other)
    assert code == 1
    assert "$.input_sha256" in why


@pytest.mark.parametrize(
    ("field", "value"),
    [("mip_rel_gap", "small"), ("random_seed", -1), ("settings", {"rho": 5}), ("format", None)],
)
def test_a_label_that_is_none_is_refused(program: Path, folder: Path, field: str, value: object):
    label = json.loads((folder / "bondwork.json").read_text())
    (folder / "bondwork.json").write_text(json.dumps(label | {field: value}))
    code, why = run("import", "mpi-sppy", folder, program)
    assert code == 1
    assert why.startswith(f"$.{field}: found ")


def test_nothing_is_left_of_an_export_that_is_refused(tmp_path: Path):
    document = toy().to_document()
    document["templates"][1]["columns"]["lower"] = [7.0]
    program = tmp_path / "impossible.json"
    program.write_text(json.dumps(document))
    code, why = run("export", "mpi-sppy", program, "-o", tmp_path / "new")
    assert code == 1
    assert "infeasible" in why
    assert [path.name for path in tmp_path.iterdir()] == ["impossible.json"]


def test_the_same_program_gives_the_same_folder(program: Path, folder: Path, tmp_path: Path):
    assert run("export", "mpi-sppy", program, "-o", tmp_path / "again", "--set", "iterations=3")[0] == 0
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_script_starts_the_launcher_for_one_machine_unless_told_otherwise(folder: Path, tmp_path: Path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("mpiexec", "mpiexec.gforker", "srun"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$1 $2 $UCX_NET_DEVICES" > {tmp_path}/started\n')
        (tools / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "UCX_NET_DEVICES"}
    environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    started = []
    for more in ({}, {"UCX_NET_DEVICES": "eth7"}, {"LAUNCHER": "srun --mpi=pmi2"}):
        subprocess.run(["sh", str(folder / "run.sh")], env=environment | more, check=True, timeout=60)
        started.append((tmp_path / "started").read_text().split())
    (tools / "mpiexec.gforker").unlink()
    subprocess.run(
        ["sh", str(folder / "run.sh")], env=environment | {"PATH": f"{tools}:/usr/bin:/bin"}, check=True
    )
    started.append((tmp_path / "started").read_text().split())
    assert started[0][:3] == ["mpiexec.gforker", "-n", "3"]
    assert started[0][3] in ("lo", "lo0")
    assert started[1][3] == "eth7"
    assert started[2][:2] == ["srun", "--mpi=pmi2"]
    assert started[2][3:] == []
    assert started[3][:3] == ["mpiexec", "-n", "3"]
