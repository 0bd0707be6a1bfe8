"""How fast networks are simulated: the paper's experiment, its growth, the plain loop, and an optimiser.

    python benchmarks/simulation.py                     the whole experiment once (about a million tasks)
    python benchmarks/simulation.py --periods 100       a tenth of it
    python benchmarks/simulation.py --strategy lagrangian --strategy-periods 20

The whole experiment runs in a process of its own, so that memory (the largest resident set) is its own. The
plain loop is timed on a few periods of the same network. A strategy is timed on a few periods, the first one
left out, and extrapolated to 1,000: later periods are like the first ones while everybody stays.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--periods", type=int, default=1000)
    parser.add_argument("--plain-periods", type=int, default=5)
    parser.add_argument("--strategy", default="lagrangian")
    parser.add_argument("--strategy-periods", type=int, default=10)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(measure(**json.loads(given.child))))
        return
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.1f}")
    print("                        periods      tasks    wall s  processor s   MiB   us/task")
    whole = show("auction", child(periods=given.periods))
    for share in (4, 2):
        show(f"1/{share} of the tasks", child(periods=given.periods, share=1 / share))
        show(f"1/{share} of the periods", child(periods=max(given.periods // share, 1)))
    plain = show("plain loop", child(periods=given.plain_periods, plain=True))
    ratio = plain["processor"] / plain["tasks"] / (whole["processor"] / whole["tasks"])
    print(f"the plain loop takes {ratio:.0f} times the processor seconds a task")
    solved = show(given.strategy, child(periods=given.strategy_periods + 1, strategy=given.strategy))
    each = solved["wall"] / given.strategy_periods, solved["processor"] / given.strategy_periods
    print(
        f"{given.strategy}: {each[0]:.2f} s ({each[1]:.2f} processor s) a period; "
        f"1,000 periods: about {1000 * each[0] / 60:.1f} min ({1000 * each[1] / 60:.1f} processor min)"
    )


def child(**what: Any) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(what)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(periods: int, share: float = 1.0, *, plain: bool = False, strategy: str = "") -> dict[str, Any]:
    """Simulate the paper's network; compiled code is loaded on a period that does not count."""
    from bondwork.simulation.engine import Simulation
    from bondwork.simulation.plain import PlainMarket
    from bondwork.simulation.rules import LoadCurve, Policy
    from bondwork.simulation.schema import read_experiment

    experiment = read_experiment(ROOT / "data" / "simulations" / "paper.json")
    rules = dataclasses.replace(experiment.variants["slashing-0.03"], periods=periods)
    tasks = dataclasses.replace(rules.tasks, per_period=rules.tasks.per_period * share)
    rules = dataclasses.replace(rules, tasks=tasks)
    if strategy:
        rules = dataclasses.replace(rules, policy=Policy(name=strategy))
    if plain:
        rules = dataclasses.replace(rules, load_curve=LoadCurve())
    simulation: Simulation | PlainMarket
    simulation = PlainMarket(rules) if plain else Simulation(rules, detail=not strategy)
    left = periods
    if not plain:
        warm = simulation if strategy else Simulation(dataclasses.replace(rules, periods=1))
        warm.step()
        left -= bool(strategy)
    started, busy = time.perf_counter(), time.process_time()
    for _ in range(left):
        simulation.step()
    return {
        "periods": left,
        "tasks": left * round(rules.tasks.per_period),
        "wall": time.perf_counter() - started,
        "processor": time.process_time() - busy,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def show(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Print a row."""
    print(
        f"{name:22s} {row['periods']:8,} {row['tasks']:10,} {row['wall']:9.2f} {row['processor']:12.2f} "
        f"{row['mib']:5.0f} {1e6 * row['processor'] / row['tasks']:9.2f}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
