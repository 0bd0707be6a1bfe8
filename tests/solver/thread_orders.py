"""Every kind of call to HiGHS, in every order of numbers of threads, against known answers.

``python thread_orders.py CPUS`` tries all of it as on a machine with so many CPUs, in the main thread and in
several at once, and ends with 0 if all answers are right. A process of its own, because the first answers to
be wrong here were those *after* a call that was right.
"""

from __future__ import annotations

import itertools
import sys
import threading

import numpy as np
from scipy.sparse import csr_array

from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.matrices import Matrices
from bondwork.solver import threads as threads_of_the_door
from bondwork.solver.construction import make_highs
from bondwork.solver.live import LiveLP
from bondwork.solver.solving import solve_program
from bondwork.solver.warm import WarmLP
from bondwork.uncertainty.transport import transport

#: 0 leaves the number to the project.
THREADS = (0, 1, 2, 4)


def knapsack() -> Matrices:
    """9 x + 7 y + 5 z with weights 4, 3, 2 in 6, at most 1 each: y, z and nothing else, or x and z: 14."""
    rows = csr_array(np.array([[4.0, 3.0, 2.0]]))
    limits = np.array([-np.inf]), np.array([6.0])
    ends = np.zeros(3), np.ones(3)
    return Matrices(np.array([9.0, 7.0, 5.0]), 0.0, rows, *limits, *ends, np.ones(3, dtype=bool))


def impossible() -> Matrices:
    """A linear program that only presolve sees to be infeasible: its ray is asked for afterwards."""
    rows = csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    limits = np.array([5.0, -np.inf, -np.inf]), np.array([np.inf, 4.0, 3.0])
    ends = np.zeros(3), np.full(3, 9.0)
    return Matrices(np.ones(3), 0.0, rows, *limits, *ends, np.zeros(3, dtype=bool))


def whole(threads: int) -> None:
    answer = solve_program(knapsack(), Options(threads=threads, mip_rel_gap=0.0), Silence())
    assert answer.status == "optimal", answer.status
    assert answer.x is not None
    assert knapsack().value(answer.x) == 14.0


def relaxed(threads: int) -> None:
    for solver in ("simplex", "ipm", "choose"):
        options = Options(threads=threads, highs={"solver": solver})
        answer = solve_program(knapsack(), options, Silence(), relaxed=True)
        assert answer.status == "optimal", answer.status
        assert abs(answer.bound - (5.0 + 7.0 + 9.0 / 4.0)) < 1e-6


def parallel(threads: int) -> None:
    options = Options(threads=threads, highs={"parallel": "on", "simplex_strategy": 3})
    assert solve_program(knapsack(), options, Silence(), relaxed=True).status == "optimal"


def ray(threads: int) -> None:
    answer = solve_program(impossible(), Options(threads=threads), Silence(), relaxed=True)
    assert answer.status == "infeasible", answer.status
    assert answer.row_duals is not None


def warm(threads: int) -> None:
    size = {"cost": np.array([3.0]), "entries": np.array([1.0])}
    family = WarmLP(np.array([0]), np.array([0]), 1, 1, size, Options(threads=threads))
    part = {
        "cost": np.array([3.0]),
        "lower": np.zeros(1),
        "upper": np.full(1, np.inf),
        "row_lower": np.full(1, -np.inf),
        "entries": np.array([1.0]),
    }
    values = [family.solve({**part, "row_upper": np.array([d])}).value for d in (2.0, 6.0)]
    assert values == [6.0, 18.0], values


def live_ray(threads: int) -> None:
    program = impossible()
    lp = LiveLP()
    lp.load(
        program.objective,
        program.lower,
        program.upper,
        program.row_lower,
        program.row_upper,
        program.matrix.indptr,
        program.matrix.indices,
        program.matrix.data,
    )
    assert lp.solve() == "infeasible"
    assert lp.dual_ray() is not None


def moved(threads: int) -> None:
    cost = [[1.0, 2.0, 3.0], [2.0, 1.0, 2.0], [3.0, 2.0, 1.0]]
    found = transport(cost, [0.5, 0.25, 0.25], [0.25, 0.25, 0.5])
    assert abs(found.cost - 1.5) < 1e-9, found.cost


def foreign(threads: int) -> None:
    """Somebody else's use of HiGHS in this thread, which leaves its pool behind."""
    highs = make_highs()
    highs.setOptionValue("threads", threads)
    highs.addVar(0.0, 1.0)
    highs.run()


CALLS = (whole, relaxed, parallel, ray, warm, live_ray, moved, foreign)


#: Numbers of threads, each after each other one once.
EACH_AFTER_EACH = (0, 1, 2, 4, 0, 2, 1, 4, 2, 0, 4, 1, 0)


def in_every_order(*, pairs: bool = True) -> None:
    """Each kind of call with every number of threads, after each other kind with every other number."""
    for order in itertools.permutations(THREADS):
        for threads in order:
            for call in CALLS:
                call(threads)
    for one, other in itertools.permutations(CALLS, 2) if pairs else ():
        for first, second in itertools.permutations(THREADS, 2):
            one(first)
            other(second)


def at_once() -> None:
    """Several Python threads, each with another number of threads and another order of calls."""
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(12):
                call = CALLS[(number + turn) % len(CALLS)]
                call(THREADS[(number + turn // 3) % len(THREADS)])
        except BaseException as error:
            faults.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120.0)
    assert not any(worker.is_alive() for worker in workers), "a call hangs"
    if faults:
        raise faults[0]


def main(cpus: int) -> None:
    """Try all, as if this process had so many CPUs."""
    threads_of_the_door.usable_cpus = lambda: cpus
    in_every_order(pairs=cpus > 2)
    at_once()
    for number in EACH_AFTER_EACH:
        for call in CALLS:
            call(number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
