"""A comparison on its way: cells to processes, rows to the journal, and how much is left."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Protocol

from bondwork.comparison.cell import run_cell
from bondwork.comparison.row import FAILED, Row
from bondwork.contracts import Progress
from bondwork.observing import Silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.comparison.journal import Journal
    from bondwork.comparison.study import Study
    from bondwork.contracts import Observer

Cell = tuple[int, int, int]


class Tally(Protocol):
    """Told how far a comparison is; called between solves."""

    def __call__(self, done: int, total: int, seconds_left: float | None) -> None:
        """Take note."""


def run(
    study: Study,
    *,
    jobs: int = 1,
    journal: Journal | None = None,
    observer: Observer | None = None,
    tally: Tally | None = None,
) -> tuple[Row, ...]:
    """Solve every cell of a study that the journal does not hold; return the rows in the table's order.

    Parameters
    ----------
    study
        What to compare.
    jobs
        Processes. With 1 everything runs in this one, and the observer sees each solve from inside. With
        more, joblib's current backend runs them: ``joblib.parallel_config(backend="dask")`` around the call
        moves them to a cluster.
    journal
        Holds rows already done; gets every further one.
    observer
        Where it says stop, running solves are given up (``jobs`` > 1) or end with what they have, and no
        further one is begun.
    tally
        Told after each row.
    """
    watch = observer or Silence()
    rows = dict(journal.rows) if journal is not None else {}
    cells = study.cells()
    left = [cell for cell in cells if cell not in rows]
    clock = _Clock(len(cells), len(left))
    if tally is not None:
        tally(len(rows), len(cells), None)
    done = _one_by_one(study, left, watch) if jobs == 1 else _in_parallel(study, left, jobs, watch)
    for cell, row in done:
        rows[cell] = row
        # what an interrupt cut short is solved again by whoever goes on
        if journal is not None and row.status != "interrupted":
            journal.add(cell, row)
        if tally is not None:
            tally(len(rows), len(cells), clock.left(len(rows)))
    return tuple(rows[cell] for cell in cells if cell in rows)


@dataclasses.dataclass
class _Clock:
    """Guesses the time left from the time so far."""

    total: int
    open: int

    def __post_init__(self) -> None:
        self.started = time.perf_counter()

    def left(self, done: int) -> float | None:
        finished = done - (self.total - self.open)
        if finished <= 0:
            return None
        return (time.perf_counter() - self.started) / finished * (self.total - done)


def _one_by_one(study: Study, cells: list[Cell], observer: Observer) -> Iterator[tuple[Cell, Row]]:
    for cell in cells:
        if observer.should_stop():
            return
        yield cell, run_cell(study, cell, observer)


def _in_parallel(
    study: Study, cells: list[Cell], jobs: int, observer: Observer
) -> Iterator[tuple[Cell, Row]]:
    from joblib import Parallel, delayed  # heavy, and only needed here
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    started = time.perf_counter()
    left = dict.fromkeys(cells)
    try:
        results = Parallel(n_jobs=jobs, return_as="generator_unordered")(
            delayed(_work)(_only(study, cell), cell) for cell in cells
        )
        for cell, row in results:
            left.pop(cell)
            yield cell, row
            observer.report(Progress(time.perf_counter() - started, None, None, "comparing"))
            if observer.should_stop():
                return
    except TerminatedWorkerError:
        # a worker died, of memory most likely: find out on which cell, one process for each that is left
        yield from _one_process_each(study, list(left), observer)


def _one_process_each(study: Study, cells: list[Cell], observer: Observer) -> Iterator[tuple[Cell, Row]]:
    """Solve each cell in a process of its own, so that whoever kills it costs no other row."""
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    for cell in cells:
        if observer.should_stop():
            return
        with ProcessPoolExecutor(max_workers=1) as pool:
            try:
                yield pool.submit(_work, _only(study, cell), cell).result()
            except TerminatedWorkerError:
                yield cell, _died(study, cell)


def _died(study: Study, cell: Cell) -> Row:
    subject, replication, contender = cell
    chosen, problem = study.contenders[contender], study.subjects[subject]
    return Row(
        round=problem.name,
        contender=chosen.name,
        strategy=chosen.strategy,
        formulation=chosen.formulation,
        status=FAILED,
        solution="none",
        refusal="its process died: most likely it ran out of memory",
        replication=replication,
        seed=study.seed_of(subject, replication),
        sense=getattr(problem.problem, "sense", "max"),
    )


def _only(study: Study, cell: Cell) -> Study:
    """The study with the cell's own problem in every subject's place: one problem to send to its process."""
    problem = study.subjects[cell[0]].problem
    subjects = tuple(dataclasses.replace(each, problem=problem) for each in study.subjects)
    return dataclasses.replace(study, subjects=subjects)


def _work(study: Study, cell: Cell) -> tuple[Cell, Row]:
    """What a worker process does; no function within another, which could not be sent to it."""
    return cell, run_cell(study, cell)
