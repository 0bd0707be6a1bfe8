"""How time and memory of `lagrangian` grow with the round: a table and a figure.

    python benchmarks/growth.py                                      1,000 to 50,000 tasks, 20 offers each
    python benchmarks/growth.py --tasks 1000 5000 --seconds 30 --figure growth.svg --json growth.json

Rounds of ``bench/make_round.py`` with one coprocessor for every fifty tasks, 20 at least. Each is solved in
a process of its own, so that memory (the largest resident set, reading and building included) is its own.
Seconds are the strategy's, compiled code loaded before; processor seconds are beside them because other work
may be going on. The figure needs matplotlib, from the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: Folder of make_round.py: beside the project.
MAKER = Path(__file__).resolve().parents[2] / "shared" / "bench"

#: Gaps at which seconds are taken.
GAPS = (0.05, 0.015)

#: Tasks of one coprocessor.
TASKS_EACH, LEAST_COPROCESSORS = 50, 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 2000, 5000, 10000, 20000, 50000])
    parser.add_argument("--offers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--figure", type=Path, help="file for the plot, .svg or .png")
    parser.add_argument("--quick", action="store_true", help="1,000 and 2,000 tasks, 5 s each")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.tasks, given.seconds = [1000, 2000], 5.0
    if given.child is not None:
        print(json.dumps(measure(given.child, given)))
        return
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.1f}")
    print(
        "   tasks  coprocessors   read and build    5% gap (processor)  1.5% gap (processor)     end   memory"
    )
    rows = []
    for tasks in given.tasks:
        command = [sys.executable, __file__, "--child", str(tasks), "--offers", str(given.offers)]
        command += ["--seconds", str(given.seconds), "--seed", str(given.seed), "--maker", str(given.maker)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(line(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if given.figure:
        draw(rows, given.figure)


def measure(tasks: int, given: argparse.Namespace) -> dict[str, Any]:
    """Make, read, build and solve one round in this process."""
    import bondwork
    from bondwork.contracts import Options, Progress
    from bondwork.strategies.lagrangian import Lagrangian

    sys.path.insert(0, str(given.maker))
    from make_round import make_round  # type: ignore[import-not-found]

    coprocessors = max(LEAST_COPROCESSORS, tasks // TASKS_EACH)
    document = make_round(tasks, coprocessors, given.offers, given.seed, 0.8, 0.95, None)
    before = time.perf_counter()
    program = bondwork.build(bondwork.load(document))
    del document
    built = time.perf_counter() - before
    Lagrangian.prepare()
    reached: dict[float, tuple[float, float]] = {}
    begun = time.process_time()

    class Watch:
        def report(self, progress: Progress) -> None:
            if progress.objective is None or progress.bound is None:
                return
            gap = (progress.bound - progress.objective) / max(abs(progress.bound), abs(progress.objective))
            for each in GAPS:
                if gap <= each:
                    reached.setdefault(each, (progress.seconds, time.process_time() - begun))

        def should_stop(self) -> bool:
            return False

    solution = Lagrangian().solve(program, Options(given.seconds, GAPS[-1]), Watch())
    gap = None if solution.x is None else 1.0 - program.value(solution.x) / solution.bound
    return {
        "tasks": tasks, "coprocessors": coprocessors, "offers": len(program.objective), "built": built,
        "seconds": {str(each): reached.get(each, (None, None)) for each in GAPS}, "gap": gap,
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "load": os.getloadavg()[0],
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    words = f"{row['tasks']:>8,} {row['coprocessors']:>13,} {row['built']:>14.1f} s"
    for seconds, processor in row["seconds"].values():
        shown = "never" if seconds is None else f"{seconds:.2f} s ({processor:.2f})"
        words += f" {shown:>21}"
    gap = "none" if row["gap"] is None else f"{row['gap']:.2%}"
    return f"{words} {gap:>7} {row['memory_gib']:>5.2f} GiB"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot seconds and memory against tasks, both axes logarithmic; the same figures give the same file."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        print("no figure: matplotlib is not installed (pip install 'bondwork[bench]')")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "bondwork"
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for gap in GAPS:
        points = [(row["tasks"], row["seconds"][str(gap)][1]) for row in rows]
        points = [(tasks, seconds) for tasks, seconds in points if seconds is not None]
        left.loglog(*zip(*points, strict=True), marker="o", label=f"to a gap of {gap:.1%}")
    left.set(xlabel="tasks", ylabel="processor seconds")
    left.legend(frameon=False)
    right.loglog([row["tasks"] for row in rows], [row["memory_gib"] for row in rows], marker="o")
    right.set(xlabel="tasks", ylabel="memory, GiB")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
