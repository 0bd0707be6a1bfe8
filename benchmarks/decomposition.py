"""Two-stage programs by the L-shaped method against their extensive form, as scenarios grow.

    python benchmarks/decomposition.py --program power network --scenarios 10 100 1000 10000 --seconds 120
    python benchmarks/decomposition.py --program network --strategy l-shaped --set cuts=single
    python benchmarks/decomposition.py --program rescues --scenarios 10 100 1000 --gap 0.01

``power`` is the electricity investment of Louveaux & Smeers with three demands of a hundred values each, as
Linderoth, Shapiro & Wright have it, written as SMPS files and sampled. ``network`` is made like SSN (Sen,
Doverspike & Cosares): capacity is added to the links of a network within a budget, demands between pairs of
nodes become known, calls are routed over a few paths each, and what cannot be routed is lost; 175 rows in
recourse. ``sites`` is made like SSLP: servers are opened or not, clients turn up or not. ``rescues`` is a
round of `bondwork generate --rescue 2` with twelve tasks: what fails of what was chosen is given away again.

Each solve has a process of its own. Prints, for each: scenarios, status, objective, bound, relative gap,
seconds on the clock, processor seconds, largest resident memory of the process and its children in MB. The
first run of a machine is to be thrown away where compiled code or caches are cold.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.problem.generate import generate_round
from bondwork.problem.reading import load
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.round_sampling import round_sampler
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

POWER_CORE = """NAME power
ROWS
 N obj
 G least
 L budget
{rows}
COLUMNS
{columns}
RHS
    rhs least 12
    rhs budget 120
    rhs d1 0
    rhs d2 3
    rhs d3 2
ENDATA
"""


def power(count: int) -> StochasticProgram:
    """Invest in four technologies, meet three modes of demand."""
    invest, run = [10.0, 7.0, 16.0, 6.0], [40.0, 45.0, 32.0, 55.0]
    mode = [1.0, 0.6, 0.1]
    rows = [f" L c{i}" for i in range(1, 5)] + [f" G d{j}" for j in range(1, 4)]
    columns = [
        f"    x{i} obj {invest[i - 1]}\n    x{i} least 1 budget {invest[i - 1]}\n    x{i} c{i} -1"
        for i in range(1, 5)
    ]
    columns += [
        f"    y{i}{j} obj {run[i - 1] * mode[j - 1]:g}\n    y{i}{j} c{i} 1 d{j} 1"
        for i in range(1, 5)
        for j in range(1, 4)
    ]
    stoch = [f"    rhs d{j} {0.04 * k:.2f} SECOND 0.01" for j in range(1, 4) for k in range(100)]
    with tempfile.TemporaryDirectory() as folder:
        core, periods, random = (Path(folder) / f"power.{end}" for end in ("cor", "tim", "sto"))
        core.write_text(POWER_CORE.format(rows="\n".join(rows), columns="\n".join(columns)))
        periods.write_text("TIME power\nPERIODS\n    x1 least FIRST\n    y11 c1 SECOND\nENDATA\n")
        random.write_text("STOCH power\nINDEP DISCRETE\n" + "\n".join(stoch) + "\nENDATA\n")
        return read_smps(core, periods, random, scenarios=count, seed=1)


def network(count: int) -> StochasticProgram:
    """Add capacity to 89 links, route 86 demands over four paths each."""
    random = np.random.default_rng(7)
    links, pairs, paths = 89, 86, 4
    entries = []
    for pair in range(pairs):
        for path in range(paths):
            column = pair * paths + path
            route = random.choice(links, size=random.integers(1, 6), replace=False)
            entries += [(int(link), 1, column, 1.0) for link in route]
            entries.append((links + pair, 1, column, 1.0))
        entries.append((links + pair, 1, pairs * paths + pair, 1.0))
    entries += [(link, 0, link, -1.0) for link in range(links)]
    base = random.integers(2, 12, links).astype(float)
    first = NodeTemplate.make(
        0,
        [f"add{k}" for k in range(links)],
        ["budget"],
        cost=0.0,
        row_upper=300.0,
        entries=[(0, 0, k, 1.0) for k in range(links)],
    )
    mean = random.uniform(2.0, 12.0, pairs)
    second = NodeTemplate.make(
        1,
        [f"flow{k}" for k in range(pairs * paths)] + [f"lost{k}" for k in range(pairs)],
        [f"link{k}" for k in range(links)] + [f"demand{k}" for k in range(pairs)],
        cost=[0.0] * (pairs * paths) + [1.0] * pairs,
        row_lower=[-np.inf] * links + mean.tolist(),
        row_upper=base.tolist() + mean.tolist(),
        entries=entries,
    )
    demand = np.round(mean * random.choice([0.0, 0.5, 1.0, 1.5, 2.0], (count, pairs)), 2)
    return _fan("network", [first, second], demand, links, pairs)


def sites(count: int) -> StochasticProgram:
    """Open up to ten sites, serve the thirty clients that turn up."""
    random = np.random.default_rng(3)
    places, clients, room = 10, 30, 120.0
    need = random.integers(1, 25, (places, clients)).astype(float)
    names = [f"serve{i}-{j}" for j in range(places) for i in range(clients)]
    entries = [(0, 0, j, 1.0) for j in range(places)]
    first = NodeTemplate.make(
        0,
        [f"open{j}" for j in range(places)],
        ["sites"],
        cost=random.integers(40, 80, places).astype(float),
        upper=1.0,
        integer=True,
        row_upper=6.0,
        entries=entries,
    )
    entries = [(j, 1, j * clients + i, need[j, i]) for j in range(places) for i in range(clients)]
    entries += [(j, 1, places * clients + j, -1.0) for j in range(places)]
    entries += [(j, 0, j, -room) for j in range(places)]
    entries += [(places + i, 1, j * clients + i, 1.0) for j in range(places) for i in range(clients)]
    second = NodeTemplate.make(
        1,
        names + [f"over{j}" for j in range(places)],
        [f"room{j}" for j in range(places)] + [f"client{i}" for i in range(clients)],
        cost=[*(-need.ravel()), *[1000.0] * places],
        upper=[1.0] * len(names) + [np.inf] * places,
        integer=[True] * len(names) + [False] * places,
        row_lower=[-np.inf] * places + [1.0] * clients,
        row_upper=[0.0] * places + [1.0] * clients,
        entries=entries,
    )
    there = (random.random((count, clients)) < 0.5).astype(float)
    return _fan("sites", [first, second], there, places, clients)


def _fan(
    name: str, templates: list[NodeTemplate], value: np.ndarray, first: int, width: int
) -> StochasticProgram:
    """Scenarios that differ in both limits of the rows from ``first`` on."""
    count = len(value)
    places = [(field, first + k) for field in ("row_lower", "row_upper") for k in range(width)]
    changes = [dict(zip(places, [*line, *line], strict=True)) for line in value.tolist()]
    return StochasticProgram.from_changes(
        name,
        "min",
        templates,
        parent=[-1] + [0] * count,
        template=[0] + [1] * count,
        conditional=[1.0] + [1.0 / count] * count,
        changes=[{}, *changes],
    )


def rescues(count: int) -> StochasticProgram:
    """A two-stage round: twelve tasks, four coprocessors, two rescues a task."""
    instance = load(generate_round(12, 4, 3, 1, rescue=2, tightness=0.9))
    return round_sampler(instance)(count, 1)


PROGRAMS = {"power": power, "network": network, "sites": sites, "rescues": rescues}


def measure(program: str, count: int, strategy: str, seconds: float, gap: float, settings: list[str]) -> None:
    """Solve in this process and print one line."""
    made = PROGRAMS[program](count)
    options = Options(
        time_limit=seconds, mip_rel_gap=gap, settings=dict(each.split("=", 1) for each in settings)
    )
    start, spent = time.perf_counter(), _processor()
    solution = solve_stochastic(made, options, strategy=strategy)
    clock, spent = time.perf_counter() - start, _processor() - spent
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    shown = [
        program,
        len(made) - 1,
        strategy,
        solution.status,
        solution.objective,
        solution.bound,
        solution.gap,
    ]
    print(json.dumps([*shown, round(clock, 2), round(spent, 2), round(peak / 1024)]), flush=True)
    if solution.provenance.notes:
        print(f"    {'; '.join(solution.provenance.notes)}", file=sys.stderr, flush=True)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", nargs="+", choices=PROGRAMS, default=["power", "network"])
    parser.add_argument("--scenarios", nargs="+", type=int, default=[10, 100])
    parser.add_argument("--strategy", nargs="+", default=["l-shaped", "extensive"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        measure(asked.program[0], asked.scenarios[0], asked.strategy[0], asked.seconds, asked.gap, asked.set)
        return
    print('["program", "scenarios", "strategy", "status", "objective", "bound", "gap", "clock", "cpu", "MB"]')
    for program in asked.program:
        for count in asked.scenarios:
            for strategy in asked.strategy:
                command = [sys.executable, __file__, "--here", "--program", program]
                command += ["--scenarios", str(count), "--strategy", strategy]
                command += ["--seconds", str(asked.seconds), "--gap", str(asked.gap)]
                if strategy == "l-shaped":
                    command += [part for each in asked.set for part in ("--set", each)]
                subprocess.run(command, check=False)


if __name__ == "__main__":
    main()
