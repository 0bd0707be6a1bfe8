"""How long building a round's model and handing it to HiGHS takes, next to handing over finished arrays.

    python benchmarks/build.py                    the 1000 x 100 x 100 round: 100,000 offers
    python benchmarks/build.py round.json         a round of your own

Each formulation builds its `Program`; the strategies' own door then scales it and passes it to HiGHS. The
yardstick is ``Highs.passModel`` of the very arrays of that program. All take turns, several times over, in
one process. Medians of processor seconds count: all of this is one thread's work, and waiting for other
people's work on the machine is not part of it.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bondwork
from bondwork.problem.generate import generate_round
from bondwork.program.scaling import ScaledProgram, scale
from bondwork.solver.construction import make_highs
from bondwork.solver.passing import pass_program
from bondwork_models.cvxpy import CvxpyFormulation
from bondwork_models.highs import HighsFormulation
from bondwork_models.pyomo import PyomoFormulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.contracts import Formulation
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program

TASKS, COPROCESSORS, OFFERS, SEED = 1000, 100, 100, 0

#: The generator that the figures of other projects were taken with, where it is at hand.
MAKE_ROUND = Path(__file__).resolve().parents[2] / "shared" / "bench" / "make_round.py"

FORMULATIONS: dict[str, type[Formulation]] = {
    "highs": HighsFormulation,
    "cvxpy": CvxpyFormulation,
    "pyomo": PyomoFormulation,
}

#: At most this many times the yardstick, and this many seconds on top.
TARGETS = {"highs": (3.0, 0.1), "cvxpy": (15.0, 0.0), "pyomo": (100.0, 0.0)}


def load_round(path: Path | None) -> Instance:
    if path is not None:
        return bondwork.load(path)
    if not MAKE_ROUND.exists():
        return bondwork.load(generate_round(TASKS, COPROCESSORS, OFFERS, SEED))
    arguments = {"--tasks": TASKS, "--coprocessors": COPROCESSORS, "--offers": OFFERS, "--seed": SEED}
    command = [sys.executable, str(MAKE_ROUND), *(str(word) for pair in arguments.items() for word in pair)]
    return bondwork.load(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def hand_over(program: Program, scaled: ScaledProgram) -> None:
    pass_program(make_highs(), program, scaled, relaxed=False)


def build_and_hand_over(formulation: type[Formulation], instance: Instance) -> None:
    program = formulation().build(instance)
    hand_over(program, scale(program))


def seconds(function: Callable[[], None]) -> float:
    gc.collect()
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(instance: Instance, repeats: int) -> dict[str, float]:
    """Median seconds of the yardstick, ``passModel``, and of each formulation."""
    program = HighsFormulation().build(instance)
    scaled = scale(program)
    jobs: dict[str, Callable[[], None]] = {"passModel": lambda: hand_over(program, scaled)}
    for name, formulation in FORMULATIONS.items():
        jobs[name] = lambda formulation=formulation: build_and_hand_over(formulation, instance)
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for repeat in range(repeats + 1):
        for name, job in jobs.items():
            once = seconds(job)
            if repeat:  # the first time round loads what is loaded once
                taken[name].append(once)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Time building and handing over a model, by formulation.")
    parser.add_argument("round", nargs="?", type=Path, help="a bondwork.round/1 file")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    instance = load_round(arguments.round)
    medians = measure(instance, arguments.repeats)
    yardstick = medians.pop("passModel")
    print(f"{instance.name}: {len(instance.offers)} offers, medians of {arguments.repeats}")
    print(f"{'':10} {'seconds':>9} {'ratio':>7}  target")
    print(f"{'passModel':10} {yardstick:9.4f} {1:7.1f}")
    missed = 0
    for name, median in medians.items():
        ratio, extra = TARGETS[name]
        held = median <= ratio * yardstick + extra
        missed += not held
        target = f"{ratio:g}x" + (f" + {extra:g} s" if extra else "")
        print(f"{name:10} {median:9.4f} {median / yardstick:7.1f}  {target}{'' if held else '  MISSED'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
