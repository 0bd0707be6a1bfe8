"""mpi-sppy's generic cylinders, with incumbents written down as they are found, and files read by HiGHS.

mpi-sppy's own ``--incumbent-on-improvement-filename-prefix`` writes, at the moment of an improvement, the
decision of the hub's first scenario, not the one that improved (0.14): the spoke has put the hub's values
back by then. Here the spoke's cache of its best decision is written, whole, beneath its value.

Only for processes that a launcher of MPI programs starts: ``python -m mpi4py -m`` this module, with the
arguments of ``mpisppy.generic_cylinders``.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bondwork.strategies.hedging.leash import tie_to_owners


def write_incumbent(spoke: Any) -> None:
    """Write value and root decision of a spoke's best solution, under the next number.

    Takes the place of ``InnerBoundSpoke._maybe_write_incumbent_on_improvement``.
    """
    prefix = spoke.opt.options.get("incumbent_on_improvement_filename_prefix")
    if prefix is None or spoke.cylinder_rank != 0:
        return
    number = spoke._incumbent_write_counter
    spoke._incumbent_write_counter = number + 1
    scenario = next(iter(spoke.opt.local_scenarios.values()))
    best = scenario._mpisppy_data.best_solution_cache
    root = [best[column] for column in scenario._mpisppy_node_list[0].nonant_vardata_list]
    # whoever reads sees only names that end in .npy, and those only when they are whole
    partial = Path(f"{prefix}_{number:04d}.partial")
    with partial.open("wb") as file:
        np.save(file, np.array([spoke.best_inner_bound, *root], dtype=np.float64))
    partial.replace(partial.with_suffix(".npy"))


def main() -> None:
    """Run mpi-sppy in this process."""
    tie_to_owners()  # before anything that may take long
    from mpisppy.cylinders.spoke import InnerBoundSpoke

    from bondwork.solver.construction import silence_others
    from bondwork.strategies.hedging import reading

    silence_others()
    sys.modules["mpisppy.problem_io.mps_reader"] = reading
    InnerBoundSpoke._maybe_write_incumbent_on_improvement = write_incumbent
    runpy.run_module("mpisppy.generic_cylinders", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
