"""The decomposition against brute force, HiGHS's relaxation, its own bound and its promises."""

from __future__ import annotations

import dataclasses
import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

from bondwork.contracts import Options, Progress, WarmStart
from bondwork.problem.limits import LimitKind
from bondwork.program.bounds import multiplier_bound
from bondwork.program.program import Program
from bondwork.strategies.lagrangian import Lagrangian, NotDecomposable
from bondwork.strategies.lagrangian.knapsack import best_price, probe_columns, solve_knapsack
from bondwork.strategies.lagrangian.shape import recognise

EXACT = Options(mip_rel_gap=0.0, time_limit=20.0)

GO = np.zeros(1, dtype=np.int64)


class Limits(SimpleNamespace):
    def __len__(self):
        return len(self.kind)


class Watch:
    def __init__(self, stop_after=np.inf):
        self.told: list[Progress] = []
        self.stop_after = stop_after

    def report(self, progress):
        self.told.append(progress)

    def should_stop(self):
        return len(self.told) >= self.stop_after


def program_of(objective, rows, offset=0.0):
    """Rows are (kind, owner, coefficients, lower, upper)."""
    objective = np.asarray(objective, dtype=float)
    n = len(objective)
    kind, owner, coefficients, lower, upper = (list(part) for part in zip(*rows, strict=True))
    matrix = csr_array(np.array(coefficients, dtype=float).reshape(len(rows), n))
    limits = Limits(kind=np.array(kind), owner=np.array(owner), detail=np.zeros(len(rows), dtype=int))
    return Program(
        objective, offset, matrix, np.array(lower, dtype=float), np.array(upper, dtype=float),
        np.zeros(n), np.ones(n), np.ones(n, dtype=bool), np.arange(n), limits,
    )  # fmt: skip


def round_of(
    seed,
    tasks=4,
    coprocessors=2,
    resources=2,
    density=0.8,
    required=0.0,
    network=False,
    unit=1.0,
    stake=False,
):
    g = np.random.default_rng(seed)
    pairs = [(t, c) for t in range(tasks) for c in range(coprocessors) if g.random() < density] or [(0, 0)]
    task, coprocessor = (np.array(side) for side in zip(*pairs, strict=True))
    n = len(pairs)
    objective = np.round(g.uniform(-2 if required else -1, 10, n), 2)
    rows = []
    for t in range(tasks):
        if (task == t).any():
            must = g.random() < required
            rows.append((LimitKind.TASK, t, task == t, 1.0 if must else -np.inf, 1.0))
    tightness = min(1.0, 1.6 * tasks / n)
    kinds = (LimitKind.CAPACITY, LimitKind.COLLATERAL, LimitKind.DEADLINE)
    for k in range(resources):
        weight = np.round(g.uniform(0, 3, n), 2)
        for c in range(coprocessors):
            mine = np.where(coprocessor == c, weight, 0.0)
            rows.append(
                (kinds[k % 3], c, mine, -np.inf, np.round(g.uniform(0.2, 0.8) * tightness * mine.sum(), 2))
            )
    if network:
        weight = g.uniform(0, 2, n)
        rows.append((LimitKind.EXPECTED_LOSS_NETWORK, -1, weight, -np.inf, 0.3 * weight.sum()))
    if stake:
        weight = g.uniform(0, 2, n)
        for v in range(2):
            mine = np.where(task % 2 == v, weight, 0.0)
            rows.append((LimitKind.STAKE, v, mine, -np.inf, 0.4 * mine.sum()))
    return program_of(objective * unit, rows, offset=3.0 * unit)


def brute_force(program):
    best = None
    dense = program.matrix.toarray()
    for bits in itertools.product((0.0, 1.0), repeat=len(program.objective)):
        x = np.array(bits)
        activity = dense @ x
        if (activity <= program.row_upper + 1e-9).all() and (activity >= program.row_lower - 1e-9).all():
            value = program.value(x)
            best = value if best is None else max(best, value)
    return best


def check_feasible(program, x):
    assert set(np.unique(x)) <= {0.0, 1.0}
    assert (program.excess(x) <= 1e-8 * np.maximum(1.0, np.abs(program.row_upper))).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    resources=st.integers(0, 3),
    required=st.sampled_from([0.0, 0.5, 1.0]),
    network=st.booleans(),
    stake=st.booleans(),
)
def test_equals_brute_force(seed, resources, required, network, stake):
    program = round_of(seed, tasks=5, resources=resources, required=required, network=network, stake=stake)
    solution = Lagrangian(rounds=1).solve(program, EXACT, Watch())
    best = brute_force(program)
    if best is None:
        assert solution.status == "infeasible"
        assert solution.x is None
    else:
        assert solution.status == "optimal"
        check_feasible(program, solution.x)
        assert program.value(solution.x) == pytest.approx(best, rel=1e-7, abs=1e-7)
        assert solution.bound >= best - 1e-9 * abs(best)


@pytest.mark.parametrize("seed", range(4))
def test_bound_holds_and_beats_the_relaxation(seed):
    program = round_of(seed, tasks=60, coprocessors=6, density=0.5)
    watch = Watch()
    solution = Lagrangian(rounds=1).solve(program, Options(mip_rel_gap=1e-3, time_limit=10), watch)
    upper = program.row_upper
    relaxed = linprog(-program.objective, A_ub=program.matrix, b_ub=upper, bounds=(0, 1), method="highs")
    assert program.value(solution.x) <= solution.bound <= program.offset - relaxed.fun + 1e-6
    bounds = [p.bound for p in watch.told if p.bound is not None]
    objectives = [p.objective for p in watch.told if p.objective is not None]
    assert bounds == sorted(bounds, reverse=True)
    assert objectives == sorted(objectives)
    assert max(objectives) <= min(bounds)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 3), count=st.integers(1, 12))
def test_knapsack_is_exact(seed, rows, count):
    g = np.random.default_rng(seed)
    profit, weight, room = g.uniform(0, 1, count), g.uniform(0, 0.6, (count, rows)), np.ones(rows)
    price, take = np.zeros(rows), np.zeros(count, dtype=bool)
    best_price(profit, weight, room, rows, count, price, 3)
    value, bound, _ = solve_knapsack(profit, weight, room, rows, count, price, take.copy(), 10**6, take, GO)
    subsets = np.array(list(itertools.product((False, True), repeat=count)))
    best = max(profit @ x for x in subsets if (x @ weight <= 1).all())
    assert value == pytest.approx(best, abs=1e-9)
    assert profit @ take == pytest.approx(value, abs=1e-12)
    assert best <= bound <= best + 1e-8
    limited = solve_knapsack(
        profit, weight, room, rows, count, price, np.zeros(count, dtype=bool), 2, take, GO
    )
    assert limited[0] <= best + 1e-12
    assert limited[1] >= best


def test_probing_keeps_what_better_plans_use():
    program = round_of(3, tasks=6, coprocessors=2, density=1.0)
    shape = recognise(program)
    gain = shape.value.copy()
    bounds, keep = np.zeros(shape.blocks), np.ones(len(gain), dtype=bool)
    for b in range(shape.blocks):
        rows = shape.row_ptr[b + 1] - shape.row_ptr[b]
        low, high = shape.block_ptr[b], shape.block_ptr[b + 1]
        weight = shape.dense[shape.dense_ptr[b] : shape.dense_ptr[b + 1]].reshape(high - low, rows)
        take = np.zeros(high - low, dtype=bool)
        bounds[b] = solve_knapsack(
            gain[low:high],
            weight,
            np.ones(rows),
            rows,
            high - low,
            np.zeros(rows),
            take.copy(),
            10**6,
            take,
            GO,
        )[1]
    probe_columns(
        0, shape.blocks, shape.block_ptr, shape.row_ptr, shape.dense_ptr, shape.dense, gain,
        np.zeros(shape.block_row_count), 10**6, bounds, 1e9, keep, np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    assert keep.all()


def test_same_seed_same_plan_and_currency_does_not_matter():
    options = Options(mip_rel_gap=0.02, time_limit=20, random_seed=7)
    plans = [
        Lagrangian(rounds=1)
        .solve(round_of(5, tasks=60, coprocessors=6, density=0.5, unit=unit), options, Watch())
        .x
        for unit in (1.0, 1.0, 1e18, 1e-9)
    ]
    for plan in plans[1:]:
        assert (plan == plans[0]).all()


def test_prices_are_those_of_the_rows():
    program = round_of(8, tasks=60, coprocessors=6, density=0.5)
    solution = Lagrangian(rounds=1).solve(program, Options(mip_rel_gap=1e-2, time_limit=10), Watch())
    assert solution.prices_from == "lagrange_multipliers"
    assert solution.row_duals.shape == program.row_upper.shape
    assert (solution.row_duals >= 0).all()
    by_prices = multiplier_bound(program, solution.row_duals)
    assert program.value(solution.x) <= by_prices <= 1.1 * solution.bound


def test_warm_start_begins_with_the_earlier_plan():
    program = round_of(9, tasks=80, coprocessors=6, density=0.5)
    options = Options(mip_rel_gap=5e-3, time_limit=10)
    cold = Lagrangian().solve(program, options, Watch())
    watch = Watch()
    again = dataclasses.replace(options, warm_start=WarmStart(cold.x, cold.row_duals))
    warm = Lagrangian().solve(program, again, watch)
    assert program.value(warm.x) >= program.value(cold.x)
    assert any(p.phase == "warm start" for p in watch.told) or watch.told[0].objective == program.value(
        cold.x
    )


def test_stops_when_told_and_in_time():
    program = round_of(10, tasks=300, coprocessors=20, density=0.4)
    Lagrangian(rounds=1).solve(program, Options(time_limit=0.5), Watch())  # loads the compiled code
    interrupted = Lagrangian().solve(program, EXACT, Watch(stop_after=2))
    assert interrupted.status == "interrupted"
    assert interrupted.x is not None
    started = time.perf_counter()
    limited = Lagrangian().solve(program, Options(time_limit=0.5, mip_rel_gap=0.0), Watch())
    assert limited.status == "time_limit"
    assert time.perf_counter() - started < 1.0
    assert program.value(limited.x) <= limited.bound < np.inf


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(LimitKind.TASK, 0, [1, 1], -np.inf, 2.0)], "more than one executor"),
        ([(LimitKind.TASK, 0, [2, 1], -np.inf, 1.0)], "coefficient other than 1"),
        (
            [(LimitKind.TASK, 0, [1, 1], -np.inf, 1.0), (LimitKind.TASK, 1, [1, 0], -np.inf, 1.0)],
            "two task rows",
        ),
        ([(LimitKind.CAPACITY, 0, [1, -1], -np.inf, 1.0)], "negative"),
        ([(LimitKind.CAPACITY, 0, [1, 1], 1.0, 2.0)], "lower bound"),
        (
            [(LimitKind.CAPACITY, 0, [1, 1], -np.inf, 2.0), (LimitKind.CAPACITY, 1, [1, 0], -np.inf, 2.0)],
            "two copro",
        ),
    ],
)
def test_refuses_what_is_not_of_its_shape(rows, words):
    with pytest.raises(NotDecomposable, match=words) as caught:
        Lagrangian().solve(program_of([1.0, 2.0], rows), EXACT, Watch())
    assert caught.value.reason


def test_nothing_to_choose_and_nothing_possible():
    empty = program_of([-1.0], [(LimitKind.CAPACITY, 0, [1.0], -np.inf, 1.0)], offset=2.0)
    solution = Lagrangian().solve(empty, EXACT, Watch())
    assert (solution.status, solution.bound) == ("optimal", 2.0)
    hopeless = program_of(
        [5.0], [(LimitKind.TASK, 0, [1.0], 1.0, 1.0), (LimitKind.CAPACITY, 0, [2.0], -np.inf, 1.0)]
    )
    assert Lagrangian().solve(hopeless, EXACT, Watch()).status == "infeasible"
