"""Published programs that take long, by the strategies for which the test suite leaves them out.

    python benchmarks/published.py
    python benchmarks/published.py --strategy extensive --folder ../shared/data/smps

SSLP (Ntaimo & Sen, SIPLIB), yes or no in both stages: tests prove its values by cuts. ``extensive`` has to
find and prove them, ``hedging`` to have them between its bound and its incumbent. Prints objective, bound and
seconds of each, and ends with 1 where one contradicts the published value.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.program.program_solving import solve_stochastic

SMPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "smps"

#: Optimum of each, minimised, and the children of the root that hedging has in one part.
OPTIMA = {"sslp/sslp_5_25_50": (-121.60, "10"), "sslp/sslp_15_45_5": (-262.40, "1")}

#: Options of each strategy; for hedging without ``bundle``.
CHOSEN = {
    "extensive": Options(threads=1, time_limit=600.0),
    "hedging": Options(mip_rel_gap=0.45, time_limit=90.0),
}


def agrees(folder: Path, name: str, strategy: str) -> bool:
    """Solve a program, print what came of it, and say whether it agrees with the published value."""
    optimum, bundle = OPTIMA[name]
    options = CHOSEN[strategy]
    if strategy == "hedging":
        options = Options(
            mip_rel_gap=options.mip_rel_gap, time_limit=options.time_limit, settings={"bundle": bundle}
        )
    program = read_smps(*(folder / f"{name}.{end}" for end in ("cor", "tim", "sto")))
    began = time.perf_counter()
    solution = solve_stochastic(program, options, strategy=strategy)
    seconds = time.perf_counter() - began
    print(f"{name:18} {strategy:10} {solution.objective} bound {solution.bound} {seconds:.1f} s", flush=True)
    if solution.objective is None or solution.bound is None or not solution.verified:
        return False
    if strategy == "extensive":
        return abs(solution.objective - optimum) <= 1e-6 and abs(solution.bound - optimum) <= 0.03
    return solution.bound - 1e-6 <= optimum <= solution.objective + 1e-6


def main() -> int:
    """Solve them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=SMPS)
    parser.add_argument("--strategy", choices=CHOSEN, action="append")
    given = parser.parse_args()
    if not given.folder.is_dir():
        print(f"published data is not at {given.folder}: it is no part of the project")
        return 0
    strategies = given.strategy or list(CHOSEN)
    if not os.access("/dev/shm", os.W_OK) and "hedging" in strategies:
        print("hedging is left out: MPI needs shared memory")
        strategies.remove("hedging")
    found = [agrees(given.folder, name, strategy) for name in OPTIMA for strategy in strategies]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
