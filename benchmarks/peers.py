"""The same round for `lagrangian` and its peers: own bound, gap, seconds, memory, side by side.

    python benchmarks/peers.py                                   1000x100x20, seed 0, 60 s each
    python benchmarks/peers.py 1000x100x20 --seeds 0 1 2 3 4 --seconds 60 --json peers.json
    python benchmarks/peers.py 1000x100x100 --solvers lagrangian scip

Peers are HiGHS's MIP solver (highspy), OR-Tools CP-SAT and SCIP (pyscipopt), from the ``bench`` extra; one
that is not installed is named and left out. Each solves in a process of its own, one after the other: ortools
and highspy clash in one process, and so memory (the largest resident set, the interpreter included) is each
one's own. All get the same arrays and threads, no starting point, and the same gap to stop at. Plans are
checked and valued by these arrays, not by what the solver says.

CP-SAT wants whole numbers: values and weights are multiplied by a million and rounded, which the generated
rounds' weights survive unchanged; values lose less than a millionth each. SCIP works with one thread.
Seconds are those of the solver's own call; for `lagrangian` compiled code is loaded before, from the cache.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

#: Folder of make_round.py: beside the project.
MAKER = Path(__file__).resolve().parents[2] / "shared" / "bench"

PACKAGES = {"lagrangian": "bondwork", "highs": "highspy", "cpsat": "ortools", "scip": "pyscipopt"}

#: What CP-SAT's whole numbers are multiples of.
GRAIN = 1e-6

#: A limit of make_round's size counts as met within this share of it.
TOLERANCE = 1e-6

#: Seconds that a process may take beyond its limit before it is given up.
PATIENCE = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", nargs="?", default="1000x100x20", help="tasks x coprocessors x offers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--solvers", nargs="+", choices=list(PACKAGES), default=list(PACKAGES))
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quick", action="store_true", help="200x20x20, 5 s each")
    parser.add_argument("--child", nargs=2, metavar=("SOLVER", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.size, given.seconds = "200x20x20", 5.0
    if given.child:
        print(json.dumps(work(given.child[0], Path(given.child[1]), given)))
        return
    solvers = [name for name in given.solvers if is_installed(name)]
    rows = []
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.1f}", flush=True)
    head = ("seed", "solver", "objective", "bound", "gap", "seconds", "processor s", "memory", "status")
    print(("{:>4} {:<22} {:>12} {:>12} {:>8} {:>8} {:>12} {:>9} {}").format(*head), flush=True)
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            write_arrays(given, seed, Path(folder))
            for name in solvers:
                row = {"size": given.size, "seed": seed} | run_child(name, folder, given)
                rows.append(row)
                print(line(row), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def is_installed(name: str) -> bool:
    try:
        version(PACKAGES[name])
    except PackageNotFoundError:
        print(f"{name} is left out: {PACKAGES[name]} is not installed (pip install 'bondwork[bench]')")
        return False
    return True


def line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['seed']:>4} {row['solver']:<22} {row['error']}"
    name = f"{row['solver']} {row['version']}"
    text = f"{row['seed']:>4} {name:<22} {number(row['objective'])} {number(row['bound'])}"
    text += f" {'none' if row['gap'] is None else format(row['gap'], '.3%'):>8} {row['seconds']:>8.1f}"
    return f"{text} {row['processor_seconds']:>12.1f} {row['memory_gib']:>5.2f} GiB {row['status']}"


def number(value: float | None) -> str:
    return f"{'none' if value is None else format(value, '.3f'):>12}"


def write_arrays(given: argparse.Namespace, seed: int, folder: Path) -> None:
    """Write the round, and its program as arrays: what follows reads them without loading HiGHS."""
    import bondwork

    sys.path.insert(0, str(given.maker))
    from make_round import make_round  # type: ignore[import-not-found]

    tasks, coprocessors, offers = (int(part) for part in given.size.split("x"))
    document = make_round(tasks, coprocessors, offers, seed, 0.8, 0.95, None)
    (folder / "round.json").write_text(json.dumps(document), encoding="utf-8")
    program = bondwork.build(bondwork.load(folder / "round.json"))
    matrix = program.matrix
    np.savez(
        folder / "arrays.npz", objective=program.objective, offset=program.offset, data=matrix.data,
        indices=matrix.indices, indptr=matrix.indptr, lower=program.row_lower, upper=program.row_upper,
    )  # fmt: skip


def run_child(name: str, folder: str, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, folder, "--seconds", str(given.seconds)]
    command += ["--gap", str(given.gap), "--threads", str(given.threads)]
    load = os.getloadavg()[0]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=given.seconds + PATIENCE
        )
    except subprocess.TimeoutExpired:
        return {"solver": name, "error": f"did not end {PATIENCE:g} s after its limit"}
    if done.returncode:
        return {"solver": name, "error": (done.stderr.strip().splitlines() or ["failed"])[-1]}
    return {"solver": name, "load": load} | json.loads(done.stdout.strip().splitlines()[-1])


def work(name: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Solve in this process, check and value the plan."""
    arrays = dict(np.load(folder / "arrays.npz"))
    shape = (len(arrays["upper"]), len(arrays["objective"]))
    matrix = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
    solver = {"highs": by_highs, "cpsat": by_cpsat, "scip": by_scip, "lagrangian": by_lagrangian}[name]
    answer = solver(arrays, matrix, folder, given)
    x, objective = answer.pop("x"), None
    if x is not None:
        x = np.round(np.asarray(x, dtype=float))
        activity, size = matrix @ x, np.maximum(1.0, np.abs(arrays["upper"]))
        if (activity > arrays["upper"] + TOLERANCE * size).any():
            raise SystemExit(f"{name} broke a limit")
        objective = math.fsum((arrays["objective"] * x).tolist()) + float(arrays["offset"])
    bound = answer["bound"]
    if bound is None or not math.isfinite(bound) or abs(bound) >= 1e20:
        bound = None
    gap = None
    if objective is not None and bound is not None:
        bound = max(bound, objective)
        gap = (bound - objective) / max(abs(bound), abs(objective), 1e-300)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "version": version(PACKAGES[name]), "threads": 1 if name == "scip" else given.threads,
        "time_limit": given.seconds, **answer, "objective": objective, "bound": bound, "gap": gap,
        "memory_gib": round(memory, 3),
    }  # fmt: skip


class Clock:
    """Seconds and processor seconds between its start and its reading."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return both."""
        return {
            "seconds": time.perf_counter() - self.wall,
            "processor_seconds": time.process_time() - self.processor,
        }


def by_lagrangian(arrays: dict, matrix: csr_array, folder: Path, given: argparse.Namespace) -> dict[str, Any]:  # type: ignore[type-arg]
    import bondwork
    from bondwork.contracts import Options
    from bondwork.observing import Silence
    from bondwork.strategies.lagrangian import Lagrangian

    program = bondwork.build(bondwork.load(folder / "round.json"))
    Lagrangian.prepare()
    options = Options(given.seconds, given.gap, given.threads)
    clock = Clock()
    solution = Lagrangian().solve(program, options, Silence())
    return clock.read() | {"status": solution.status, "x": solution.x, "bound": solution.bound}


def by_highs(arrays: dict, matrix: csr_array, folder: Path, given: argparse.Namespace) -> dict[str, Any]:  # type: ignore[type-arg]
    import highspy

    highs = highspy.Highs()
    for option, value in (
        ("output_flag", False), ("time_limit", given.seconds), ("mip_rel_gap", given.gap),
        ("threads", given.threads),
    ):  # fmt: skip
        highs.setOptionValue(option, value)
    n = matrix.shape[1]
    highs.passModel(
        n, matrix.shape[0], matrix.nnz, 2, -1, float(arrays["offset"]), arrays["objective"], np.zeros(n),
        np.ones(n), arrays["lower"], arrays["upper"], matrix.indptr.astype(np.int32),
        matrix.indices.astype(np.int32), matrix.data, np.ones(n, dtype=np.int32),
    )  # fmt: skip
    clock = Clock()
    highs.run()
    told = clock.read()
    info = highs.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    x = np.array(highs.getSolution().col_value) if found else None
    status = highs.modelStatusToString(highs.getModelStatus())
    return told | {"status": status.lower(), "x": x, "bound": info.mip_dual_bound}


def by_cpsat(arrays: dict, matrix: csr_array, folder: Path, given: argparse.Namespace) -> dict[str, Any]:  # type: ignore[type-arg]
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    variables = [model.new_bool_var("") for _ in range(matrix.shape[1])]
    for row in range(matrix.shape[0]):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        chosen = [variables[j] for j in matrix.indices[part].tolist()]
        weights = np.round(matrix.data[part] / GRAIN).astype(int).tolist()
        upper, lower = arrays["upper"][row], arrays["lower"][row]
        if (matrix.data[part] == 1.0).all() and upper == 1.0:
            (model.add_exactly_one if lower == 1.0 else model.add_at_most_one)(chosen)
        else:
            total = cp_model.LinearExpr.weighted_sum(chosen, weights)
            model.add(total <= math.floor(upper / GRAIN + 0.5))
    values = np.round(arrays["objective"] / GRAIN).astype(int).tolist()
    model.maximize(cp_model.LinearExpr.weighted_sum(variables, values))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = given.seconds
    solver.parameters.relative_gap_limit = given.gap
    solver.parameters.num_workers = given.threads
    clock = Clock()
    status = solver.solve(model)
    told = clock.read()
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    x = np.array([solver.boolean_value(each) for each in variables]) if found else None
    bound = solver.best_objective_bound * GRAIN + float(arrays["offset"])
    return told | {"status": solver.status_name(status).lower(), "x": x, "bound": bound}


def by_scip(arrays: dict, matrix: csr_array, folder: Path, given: argparse.Namespace) -> dict[str, Any]:  # type: ignore[type-arg]
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    model.setParam("limits/time", given.seconds)
    model.setParam("limits/gap", given.gap)
    variables = [model.addVar(vtype="B", obj=float(each)) for each in arrays["objective"]]
    model.setMaximize()
    model.addObjoffset(float(arrays["offset"]))
    for row in range(matrix.shape[0]):
        part = range(matrix.indptr[row], matrix.indptr[row + 1])
        total = quicksum(float(matrix.data[e]) * variables[matrix.indices[e]] for e in part)
        if not part:
            continue
        if arrays["lower"][row] == arrays["upper"][row]:
            model.addCons(total == float(arrays["upper"][row]))
        elif math.isfinite(arrays["upper"][row]):
            model.addCons(total <= float(arrays["upper"][row]))
    clock = Clock()
    model.optimize()
    told = clock.read()
    best = model.getBestSol() if model.getNSols() else None
    x = None if best is None else np.array([model.getSolVal(best, each) for each in variables])
    return told | {"status": model.getStatus(), "x": x, "bound": model.getDualbound()}


if __name__ == "__main__":
    main()
