"""An experiment on its way: replications to processes, results and checkpoints to a folder.

    FOLDER/simulation.json            what is simulated
    FOLDER/VARIANT/000.npz            what came of a replication
    FOLDER/VARIANT/000.checkpoint.npz where one stands that was cut short
    FOLDER/summary.json               all of them together

Every file is written whole or not at all, and every random number is found by its place, so that a run that
was killed and taken up again writes the same bytes as one that was not.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bondwork.files import write_whole
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.simulation.engine import Simulation, resume
from bondwork.simulation.policies import make_policy
from bondwork.simulation.records import Records
from bondwork.simulation.schema import Experiment, read_experiment
from bondwork.simulation.state import State
from bondwork.simulation.summary import SimulationSummary, measure, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bondwork.simulation.rules import Rules

#: Seconds between two checkpoints: what a kill can cost.
CHECKPOINT_SECONDS = 5.0

Cell = tuple[str, int]


class Tally(Protocol):
    """Told how many periods of how many are done; called often."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take note."""


class Interrupted(RuntimeError):
    """Somebody asked to stop; what was done is in the folder."""


def run_experiment(
    experiment: Experiment,
    folder: Path,
    *,
    jobs: int = 1,
    tally: Tally | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> SimulationSummary:
    """Simulate every variant and replication that the folder does not hold yet.

    Parameters
    ----------
    experiment
        From `bondwork.simulation.schema.read_experiment`.
    folder
        Made where it is not there; gone on with where it is.
    jobs
        Processes. With more than one, joblib's current backend runs them:
        ``joblib.parallel_config(backend="dask")`` (or ``"ray"``) around the call moves them to a cluster that
        shares the folder.
    tally
        Told of progress: within replications with one process, after each with more.
    should_stop
        Asked between periods (one process) or replications.
    checkpoint_seconds
        How often a replication's state is stored.

    Returns
    -------
    SimulationSummary
        The same as ``summary.json``.

    Raises
    ------
    InvalidInput
        The folder holds another experiment, or no strategy of a policy's name is installed.
    Interrupted
        ``should_stop`` said so.
    """
    for rules in experiment.variants.values():
        make_policy(rules)  # an unknown strategy is told before anything is done
    _prepare(experiment, folder)
    cells = [(name, r) for name in experiment.variants for r in range(experiment.replications)]
    left = [cell for cell in cells if not _result(folder, cell).exists()]
    periods = {name: rules.periods for name, rules in experiment.variants.items()}
    total = sum(periods[name] for name, _ in cells)
    done = total - sum(periods[name] for name, _ in left)
    if tally is not None:
        tally(done, total)
    if jobs == 1:
        for cell in left:
            before = done

            def told(period: int, before: int = before) -> None:
                if tally is not None:
                    tally(before + period, total)
                if should_stop():
                    raise Interrupted

            run_cell(experiment, folder, cell, checkpoint_seconds, told)
            done += periods[cell[0]]
    else:
        for cell in _in_parallel(experiment, folder, left, jobs, checkpoint_seconds):
            done += periods[cell[0]]
            if tally is not None:
                tally(done, total)
            if should_stop():
                raise Interrupted
    return write_summary(experiment, folder)


def _in_parallel(
    experiment: Experiment, folder: Path, cells: list[Cell], jobs: int, seconds: float
) -> Iterator[Cell]:
    from joblib import Parallel, delayed  # heavy, and only needed here

    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(run_cell)(experiment, folder, cell, seconds) for cell in cells
    )


def run_cell(
    experiment: Experiment,
    folder: Path,
    cell: Cell,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    told: Callable[[int], None] | None = None,
) -> Cell:
    """Simulate one replication of one variant, from where it stands, and store what came of it."""
    variant, replication = cell
    rules = experiment.variants[variant]
    checkpoint = folder / variant / f"{replication:03d}.checkpoint.npz"
    checkpoint.parent.mkdir(exist_ok=True)
    for torn in checkpoint.parent.glob(f".{replication:03d}.*.tmp"):
        torn.unlink(missing_ok=True)  # a kill in the middle of a write
    simulation = Simulation(rules, replication, detail=experiment.keeps_detail(replication))
    if checkpoint.exists():
        _take_up(simulation, checkpoint)
    last = time.monotonic()
    while not simulation.is_over:
        simulation.step()
        if time.monotonic() - last >= checkpoint_seconds:
            write_whole(checkpoint, _checkpoint(simulation))
            last = time.monotonic()
        if told is not None:
            try:
                told(int(simulation.state.period))
            except BaseException:
                write_whole(checkpoint, _checkpoint(simulation))
                raise
    arrays = {f"final_{name}": array for name, array in simulation.state.arrays().items()}
    write_whole(_result(folder, cell), pack({**simulation.records.arrays(), **arrays}))
    checkpoint.unlink(missing_ok=True)
    return cell


def simulate(rules: Rules, replication: int = 0, *, detail: bool = False) -> Simulation:
    """Simulate one replication in memory; return it as it stands after the last period."""
    simulation = Simulation(rules, replication, detail=detail)
    while not simulation.is_over:
        simulation.step()
    return simulation


def load_records(folder: Path, variant: str, replication: int) -> Records:
    """Read what came of a replication.

    Raises
    ------
    InvalidInput
        The file is not there, or is none of ours.
    """
    path = _result(folder, (variant, replication))
    try:
        # from memory: numpy leaves a file that it cannot read open
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return Records.restore(arrays)
    except (FileNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as error:
        found = "nothing" if isinstance(error, FileNotFoundError) else "something else"
        raise InvalidInput([Fault(str(path), found, "the records of a replication")]) from None


def load_folder(folder: Path) -> Experiment:
    """Read the experiment that a folder holds.

    Raises
    ------
    InvalidInput
        It holds none.
    """
    path = folder / "simulation.json"
    if not path.exists():
        raise InvalidInput([Fault(str(path), "nothing", "the folder of a simulation")])
    return read_experiment(path)


def write_summary(experiment: Experiment, folder: Path) -> SimulationSummary:
    """Sum up what a folder holds; write and return it."""
    found = {
        name: [measure(rules, load_records(folder, name, r)) for r in range(experiment.replications)]
        for name, rules in experiment.variants.items()
    }
    summary = summarise(experiment.name, experiment.variants, found)
    write_whole(folder / "summary.json", summary.model_dump_json(indent=2) + "\n")
    return summary


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Pack arrays into the bytes of an npz file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _prepare(experiment: Experiment, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    there = folder / "simulation.json"
    if there.exists() and load_folder(folder).digest != experiment.digest:
        raise InvalidInput([Fault(str(there), "another simulation", "this one, or a folder without one")])
    if not there.exists():
        # whatever has our files' names and is not ours is not overwritten
        names = ["summary.json", *experiment.variants]
        if foreign := [name for name in names if (folder / name).exists()]:
            faults = [Fault(str(folder / name), "what is there already", "nothing there") for name in foreign]
            raise InvalidInput(faults)
    write_whole(there, json.dumps(experiment.document, indent=2) + "\n")


def _result(folder: Path, cell: Cell) -> Path:
    return folder / cell[0] / f"{cell[1]:03d}.npz"


def _checkpoint(simulation: Simulation) -> bytes:
    buffer = io.BytesIO()
    stored = {f"state_{name}": array for name, array in simulation.state.arrays().items()}
    stored |= {f"records_{name}": array for name, array in simulation.records.arrays().items()}
    np.savez(buffer, **stored)  # type: ignore[arg-type]
    return buffer.getvalue()


def _take_up(simulation: Simulation, checkpoint: Path) -> None:
    with np.load(checkpoint, allow_pickle=False) as stored:
        parts: dict[str, dict[str, np.ndarray]] = {"state": {}, "records": {}}
        for name in stored.files:
            kind, _, field = name.partition("_")
            parts[kind][field] = stored[name]
    resume(simulation, State.restore(parts["state"]), Records.restore(parts["records"]))
