"""The decomposition on generated rounds: certified gap by seconds.

    python benchmarks/lagrangian.py 1000x100x20 --seeds 0 1 2 3 4 --seconds 30 --at 1 3 10
    python benchmarks/lagrangian.py 50000x1000x20 --seconds 120
    python benchmarks/lagrangian.py 200x20x20 --seconds 10 --tail-share 0.5 --scenarios 10000
    python benchmarks/lagrangian.py 1000x100x20 --warm --seeds 0 1 2 --repeats 3

Prints one line for each seed: the gap at each moment asked for and at the end, when it was first at most 3%,
1.5% and 0.5%, processor seconds, and the largest resident memory. Rounds come from ``bench/make_round.py``;
its folder is given with ``--maker``. With ``--tail-share`` each round is solved twice: without a limit, and
with the CVaR of its slashing limited to that share of the first plan's. With ``--warm`` a round in which a
tenth of the tasks is gone, a tenth is new and every bid has moved by up to 2% is solved from the plan of the
round before it and from nothing, in turns, and the least processor seconds to each gap are compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import bondwork
from bondwork.contracts import Options, Progress
from bondwork.plan.recall import recall
from bondwork.road import draw_scenarios, write_program
from bondwork.strategies.lagrangian import Lagrangian
from bondwork_models.highs import HighsFormulation

if TYPE_CHECKING:
    from bondwork.contracts import Solution
    from bondwork.program.program import Program


#: Share of the tasks that a changed round exchanges, how far bids move, gap of the first round's plan, and
#: the gaps at which seconds are taken.
CHANGED, MOVED, FIRST_GAP, WARM_GAPS = 0.1, 0.02, 0.006, (0.03, 0.015, 0.01)

#: Folder of make_round.py: beside the project.
MAKER = Path(__file__).resolve().parents[2] / "shared" / "bench"


class Trace:
    """Keeps what a solve tells."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.processor: list[float] = []
        self._begun = time.process_time()

    def report(self, progress: Progress) -> None:
        """Keep seconds and gap."""
        if progress.objective is not None and progress.bound is not None:
            size = max(abs(progress.bound), abs(progress.objective))
            self.points.append((progress.seconds, (progress.bound - progress.objective) / size))
            self.processor.append(time.process_time() - self._begun)

    def should_stop(self) -> bool:
        """Never."""
        return False

    def gap_at(self, seconds: float) -> float:
        """Return the gap reached by then."""
        return min((gap for when, gap in self.points if when <= seconds), default=float("nan"))

    def seconds_to(self, gap: float) -> float:
        """Return when the gap was reached."""
        return min((when for when, reached in self.points if reached <= gap), default=float("nan"))

    def processor_to(self, gap: float) -> float:
        """Return the processor seconds after which the gap was reached."""
        reached = (p for p, (_, each) in zip(self.processor, self.points, strict=True) if each <= gap)
        return min(reached, default=float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", nargs="?", default="1000x100x20", help="tasks x coprocessors x offers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--at", type=float, nargs="+", default=[1.0, 3.0, 10.0, 30.0])
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--tail-share", type=float)
    parser.add_argument("--scenarios", type=int, default=1024)
    parser.add_argument("--warm", action="store_true", help="from an earlier plan and from nothing")
    parser.add_argument("--repeats", type=int, default=3, help="turns of --warm")
    given = parser.parse_args()
    print(f"loading compiled code: {Lagrangian.prepare():.2f} s")
    for seed in given.seeds:
        if given.warm:
            run_warm(given, seed)
            continue
        program = read_round(given, seed)
        free = dataclasses.replace(program, measures=(), lazy=())
        solution = run(free, given, f"{given.size} seed {seed}")
        if given.tail_share is not None:
            measures = [
                dataclasses.replace(each, ceiling=given.tail_share * each.value(solution.x))  # type: ignore[type-var]
                for each in program.measures
            ]
            limited = dataclasses.replace(program, measures=tuple(measures))
            run(limited, given, f"{given.size} seed {seed} with CVaR")


def read_round(given: argparse.Namespace, seed: int) -> Program:
    """Make a round, with a CVaR limit out of reach where one is asked for."""
    sys.path.insert(0, str(given.maker))
    from make_round import make_round  # type: ignore[import-not-found]

    tasks, coprocessors, offers = (int(part) for part in given.size.split("x"))
    budget = None if given.tail_share is None else 1e12
    document = make_round(tasks, coprocessors, offers, seed, 0.8, 0.95, budget)
    document["uncertainty"]["scenarios"] = given.scenarios
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        instance = bondwork.load(file.name)
    return write_program(instance, HighsFormulation(), draw_scenarios(instance, seed), "cuts")


def run_warm(given: argparse.Namespace, seed: int) -> None:
    """Solve a changed round from the plan of the one before it and from nothing; print both and ratios."""
    first, changed = (bondwork.load(each) for each in changed_rounds(given, seed))
    plan = bondwork.solve(first, strategy="lagrangian", time_limit=given.seconds, mip_rel_gap=FIRST_GAP)
    program = bondwork.build(changed)
    start, note = recall(changed, program, plan)
    print(f"{given.size} seed {seed}: first gap {plan.gap:.2%}; {note.split(': ', 1)[1]}")
    least = {}
    for repeat, (name, warm_start) in product(range(given.repeats), (("nothing", None), ("the plan", start))):
        trace = Trace()
        options = Options(given.seconds, WARM_GAPS[-1], warm_start=warm_start)
        Lagrangian().solve(program, options, trace)
        seconds = [trace.processor_to(gap) for gap in WARM_GAPS]
        least[name] = seconds if not repeat else np.fmin(least[name], seconds)
    for name, seconds in least.items():
        words = [f"{gap:.1%} in {each:.2f} s" for gap, each in zip(WARM_GAPS, seconds, strict=True)]
        print(f"  from {name}:", ", ".join(words))
    ratios = np.divide(least["nothing"], least["the plan"])
    print("  times faster:", ", ".join(f"{each:.1f}" for each in ratios), flush=True)


def changed_rounds(given: argparse.Namespace, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make two rounds of the same size that share all but a tenth of their tasks; bids move by up to 2%."""
    sys.path.insert(0, str(given.maker))
    from make_round import make_round

    tasks, coprocessors, offers = (int(part) for part in given.size.split("x"))
    leave = round(CHANGED * tasks)
    tightness = (
        0.8 * tasks / (tasks + leave)
    )  # limits are made for all tasks, and each round has some of them
    whole = make_round(tasks + leave, coprocessors, offers, seed, tightness, 0.95, None)
    moves = np.random.default_rng(seed).uniform(1 - MOVED, 1 + MOVED, len(whole["offers"])).tolist()
    moved = [each | {"bid": each["bid"] * by} for each, by in zip(whole["offers"], moves, strict=True)]
    rounds = []
    for part, bids in ((whole["tasks"][:tasks], whole["offers"]), (whole["tasks"][leave:], moved)):
        ids = {each["id"] for each in part}
        rounds.append(whole | {"tasks": part, "offers": [each for each in bids if each["task"] in ids]})
    return rounds[0], rounds[1]


def run(program: Program, given: argparse.Namespace, name: str) -> Solution:
    """Solve once and print a line."""
    trace = Trace()
    processor = time.process_time()
    started = time.perf_counter()
    solution = Lagrangian().solve(program, Options(time_limit=given.seconds, mip_rel_gap=given.gap), trace)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    assert solution.x is not None
    value = program.value(solution.x)
    words = [f"{name}: {solution.status}, gap {(solution.bound - value) / abs(value):.3%}"]
    words += [f"at {at:g} s {trace.gap_at(at):.2%}" for at in given.at if at <= given.seconds]
    words += [f"{gap:.1%} in {trace.seconds_to(gap):.2f} s" for gap in (0.03, 0.015, 0.005)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(", ".join(words), f"[{seconds:.1f} s, processor {processor:.1f} s, {peak:.2f} GiB]", flush=True)
    return solution


if __name__ == "__main__":
    main()
