"""The folder that is handed to mpi-sppy, and what it leaves there.

For each part N of a split there are ``scenN.mps``, ``scenN_nonants.json`` (its probability and the columns
that all parts share) and ``scenN_rho.csv`` (how hard disagreement about each is punished). Columns are named
by number, because mpi-sppy makes Python attributes of names: ``x0``, ``x1``, ... are those of the root, in
the order of the program.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import block_diag, csr_array

from bondwork.files import write_whole
from bondwork.program.matrices import Matrices
from bondwork.program.mps import write_matrices

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.arrays import FloatArray
    from bondwork.strategies.hedging.splitting import Split

#: What mpi-sppy is told to put in front of the names of what it writes into the folder.
INCUMBENTS, TRACES, CONSENSUS, PRICES = "incumbent", "trace", "consensus.csv", "prices.csv"


def write_parts(folder: Path, split: Split, rho: FloatArray) -> None:
    """Write a split into an existing folder, each file whole.

    Parameters
    ----------
    rho
        Shape (split.root,), positive: the penalties of progressive hedging.
    """
    names = [f"x{k}" for k in range(split.root)]
    penalties = "varname,rho\n" + "".join(
        f"{name},{value!r}\n" for name, value in zip(names, rho.tolist(), strict=True)
    )
    for number, (part, weight) in enumerate(zip(split.parts, split.probability.tolist(), strict=True)):
        scenario = f"scen{number}"
        root = {"serialNumber": 0, "condProb": 1.0, "nonAnts": names}
        nonants = {
            "scenarioData": {"name": scenario, "scenProb": weight},
            "treeData": {"globalNodeCount": 1, "nodes": {"ROOT": root}},
        }
        write_whole(folder / f"{scenario}.mps", _mps(part, split.root, scenario))
        write_whole(folder / f"{scenario}_nonants.json", json.dumps(nonants) + "\n")
        write_whole(folder / f"{scenario}_rho.csv", penalties)


def _mps(part: Matrices, root: int, name: str) -> str:
    """One part as mpi-sppy can read it: a minimisation without ranges, empty rows and constants."""
    filled = np.diff(part.matrix.indptr) > 0
    ranged = np.isfinite(part.row_lower) & np.isfinite(part.row_upper) & (part.row_lower != part.row_upper)
    plain = np.flatnonzero(filled & (np.isfinite(part.row_lower) | np.isfinite(part.row_upper)))
    again = np.flatnonzero(filled & ranged)
    rows = np.concatenate([plain, again])
    upper = np.where(ranged, np.inf, part.row_upper)[plain]
    columns = [f"x{k}" if k < root else f"y{k - root}" for k in range(part.matrix.shape[1])]
    # its reader does not know the objective's constant: it is the cost of a column that is always 1, whose
    # row also keeps a part without any other from being no program at all
    one = csr_array(np.ones((1, 1)))
    written = Matrices(
        np.append(part.objective, part.offset),
        0.0,
        csr_array(block_diag([part.matrix[rows], one], format="csr")),
        np.concatenate([part.row_lower[plain], np.full(len(again), -np.inf), [1.0]]),
        np.concatenate([upper, part.row_upper[again], [1.0]]),
        np.append(part.lower, 1.0),
        np.append(part.upper, 1.0),
        np.append(part.integer, False),
    )
    names = [f"r{k}" for k in range(len(written.row_lower))]
    return write_matrices(written, [*columns, "constant"], names, name=name, sense="min")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What mpi-sppy has left in the folder, for a maximisation in the unit of the program.

    Attributes
    ----------
    bound
        Best bound of the Lagrangian spoke; ``inf`` where there is none, or none that can be trusted.
    objective
        What mpi-sppy says of its best incumbent; ``None`` where it has none.
    root
        Shape (root,). That incumbent's decision at the root as it stands in its file.
    doubtful
        Bounds were left out because a subproblem behind one of them was not solved.
    """

    bound: float
    objective: float | None
    root: FloatArray | None
    doubtful: bool = False


def read_found(folder: Path, scale: float, log: str | None) -> Found:
    """Read bounds and incumbents; half-written lines are as if they were not there.

    Parameters
    ----------
    scale
        The scale of the split: mpi-sppy minimises the negated objective, times this.
    log
        What mpi-sppy has printed so far. Without it, no bound can be trusted.
    """
    # a failed solve leaves the bound of the multipliers before: it would be added to those of others now
    doubtful = log is None or any("Solve failed" in line and "agrangian" in line for line in log.splitlines())
    outer = [] if doubtful else _trace(folder / f"{TRACES}LagrangianOuterBound.csv")
    outer = [each for each in outer if math.isfinite(each)]
    best = _best_incumbent(folder)
    return Found(
        bound=-max(outer) / scale if outer else math.inf,
        objective=None if best is None else -float(best[0]) / scale,
        root=None if best is None else best[1:],
        doubtful=doubtful,
    )


def _trace(path: Path) -> list[float]:
    """Second column of a trace file, as far as its lines are whole."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    values = []
    for line in whole.splitlines()[1:]:
        with contextlib.suppress(ValueError):
            values.append(float(line.rpartition(",")[2]))
    return values


def _best_incumbent(folder: Path) -> FloatArray | None:
    """Value and root decision of the best incumbent: the last, as each is better than those before."""
    files = {int(path.stem.rpartition("_")[2]): path for path in folder.glob(f"{INCUMBENTS}_*.npy")}
    if not files:
        return None
    best: FloatArray = np.load(files[max(files)], allow_pickle=False)
    return best if np.isfinite(best).all() else None


def read_end(folder: Path, split: Split) -> tuple[FloatArray | None, FloatArray | None]:
    """Read what the hub leaves where it ends by itself: the mean of the roots, and the prices of each part.

    Returns
    -------
    FloatArray or None
        Shape (root,). What the parts agree about on average; not whole where columns are.
    FloatArray or None
        Shape (parts, root). In the scale of the split; mpi-sppy adds them to the cost of each column.
    """
    consensus = np.full(split.root, np.nan)
    prices = np.full((len(split.parts), split.root), np.nan)
    for *scenario, column, number in _rows(folder / CONSENSUS) + _rows(folder / PRICES):
        with contextlib.suppress(ValueError, IndexError):
            place = int(column.removeprefix("x"))
            if scenario:
                prices[int(scenario[0].removeprefix("scen")), place] = float(number)
            else:
                consensus[place] = float(number)
    return (
        consensus if np.isfinite(consensus).all() else None,
        prices if np.isfinite(prices).all() else None,
    )


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [fields for line in lines if len(fields := line.split(",")) in (2, 3)]
