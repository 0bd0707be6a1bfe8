"""Tail limits in the decomposition: against the extensive form, every density's bound, and refusals."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bondwork.base.statistics import tail_density
from bondwork.contracts import Options, WarmStart
from bondwork.problem.limits import LimitKind
from bondwork.program.blocks import with_mean_risk, with_measures
from bondwork.program.program import Program
from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.chance import Chance
from bondwork.risk.cvar import ConditionalValueAtRisk
from bondwork.risk.losses import ScopeLoss
from bondwork.risk.worst_case import WorstCase
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.lagrangian import Lagrangian, NotDecomposable
from bondwork.strategies.lagrangian.losses import add_losses, only_scenarios, project_density
from bondwork.strategies.lagrangian.shape import recognise
from bondwork.strategies.lagrangian.tails import WHOLE, Tails, _cheapest
from bondwork.uncertainty.outcomes import OutcomeSample

EXACT = Options(mip_rel_gap=0.0, time_limit=20.0)


class Limits(SimpleNamespace):
    def __len__(self):
        return len(self.kind)

    def of_kind(self, kind):
        return np.flatnonzero(self.kind == int(kind))


class Silent:
    def report(self, progress):
        pass

    def should_stop(self):
        return False


def core(seed, tasks, coprocessors, required=0.0):
    g = np.random.default_rng(seed)
    task, coprocessor = np.divmod(np.arange(tasks * coprocessors), coprocessors)
    n = len(task)
    rows, kind, owner, lower, upper = [], [], [], [], []
    for t in range(tasks):
        rows.append(task == t)
        kind.append(LimitKind.TASK)
        owner.append(t)
        lower.append(1.0 if g.random() < required else -np.inf)
        upper.append(1.0)
    for c in range(coprocessors):
        weight = np.where(coprocessor == c, g.uniform(0.5, 2, n), 0.0)
        rows.append(weight)
        kind.append(LimitKind.CAPACITY)
        owner.append(c)
        lower.append(-np.inf)
        upper.append(0.5 * weight.sum())
    limits = Limits(kind=np.array(kind), owner=np.array(owner), detail=np.zeros(len(rows), dtype=int))
    matrix = csr_array(np.array(rows, dtype=float))
    ones = np.ones(n)
    return Program(
        g.uniform(1, 10, n), 2.0, matrix, np.array(lower), np.array(upper), 0 * ones, ones, ones > 0,
        np.arange(n), limits,
    )  # fmt: skip


def loss_of(program, seed, scenarios, columns=None, held=0.0):
    g = np.random.default_rng(seed + 1)
    n = len(program.objective)
    mine = np.arange(n) if columns is None else columns
    failed = g.random((scenarios, n)) < g.uniform(0.05, 0.5, n)
    probability = g.dirichlet(np.full(scenarios, 5.0))
    weight = g.uniform(1, 6, n)[mine]
    sample = OutcomeSample.from_dense(failed[:, mine], probability)
    return ScopeLoss(mine, n, weight, sample, np.full(scenarios, held))


def limited(seed, measure="cvar", share=0.5, tasks=5, coprocessors=3, scenarios=12, required=0.0, rows=True):
    """A program whose tail limits are a share of what 0.4 of everything would measure."""
    program = core(seed, tasks, coprocessors, required)
    loss = loss_of(program, seed, scenarios, held=1.0 if seed % 2 else 0.0)
    everything = np.full(len(program.objective), 0.4)
    held = np.zeros(0)
    match measure:
        case "cvar":
            made = [ConditionalValueAtRisk("cvar of network", loss, 0.8, 0.0)]
        case "worst_case":
            made = [WorstCase("worst_case of network", loss, 0.0)]
        case "ambiguous":
            made = [WorstExpectation("ambiguous of network", loss, 0.3, 0.0, held, held)]
        case _:
            parts = np.array_split(np.arange(len(everything)), 2)
            losses = [loss_of(program, seed, scenarios, part) for part in parts]
            made = [ConditionalValueAtRisk(f"cvar of {i}", each, 0.7, 0.0) for i, each in enumerate(losses)]
    made = [dataclasses.replace(m, ceiling=share * m.value(everything)) for m in made]
    return with_measures(program, made, range(len(made)) if rows else ())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    measure=st.sampled_from(["cvar", "worst_case", "ambiguous", "two"]),
    share=st.sampled_from([0.2, 0.6, 1.0, 3.0]),
    required=st.sampled_from([0.0, 0.3]),
    rows=st.booleans(),
)
def test_equals_the_extensive_form(seed, measure, share, required, rows):
    whole = limited(seed, measure, share, required=required)
    best = Extensive().solve(whole, EXACT, Silent())
    solution = Lagrangian(rounds=1).solve(
        limited(seed, measure, share, required=required, rows=rows), EXACT, Silent()
    )
    if best.x is None:
        assert solution.status == best.status == "infeasible"
        return
    assert solution.status == "optimal"
    assert whole.value(solution.x) == pytest.approx(whole.value(best.x), rel=1e-6)
    assert solution.bound >= whole.value(best.x) - 1e-7
    for limit in whole.measures:
        assert limit.value(solution.x) <= limit.ceiling * (1 + 1e-6) + 1e-12
    assert len(solution.measure_prices) == (0 if rows else len(whole.measures))


@pytest.mark.parametrize("scenarios", [50, 2000])
def test_larger_rounds_have_a_plan_and_a_bound(scenarios):
    program = limited(7, tasks=80, coprocessors=8, scenarios=scenarios, share=0.3, rows=False)
    solution = Lagrangian(rounds=1).solve(program, Options(mip_rel_gap=0.03, time_limit=20), Silent())
    (limit,) = program.measures
    assert solution.status == "optimal"
    assert limit.value(solution.x) <= limit.ceiling * (1 + 1e-6)
    assert limit.value(solution.x) >= 0.95 * limit.ceiling
    assert solution.measure_prices[0] > 0.0
    start = WarmStart(solution.x, solution.row_duals)
    options = Options(mip_rel_gap=0.03, time_limit=20, warm_start=start)
    warm = Lagrangian(rounds=1).solve(program, options, Silent())
    assert program.value(warm.x) >= program.value(solution.x) - 1e-9


def test_same_seed_same_plan():
    program = limited(9, tasks=60, coprocessors=6, scenarios=40, share=0.3, rows=False)
    options = Options(mip_rel_gap=0.02, time_limit=20, random_seed=3)
    first, second = (Lagrangian(rounds=1).solve(program, options, Silent()) for _ in range(2))
    assert (first.x == second.x).all()


def test_rows_of_the_bound_hold_for_every_plan_within_the_limit():
    program = limited(4, share=0.8, rows=False)
    (limit,) = program.measures
    tails = Tails(program, recognise(program))
    shape, g = tails.shape, np.random.default_rng(0)
    for step in (WHOLE, 0.1, 0.01):
        tails.climb(g.random(len(shape.value)) * 0.5, step)
        row = np.zeros(len(program.objective))
        column = np.repeat(shape.columns, np.diff(shape.entry_ptr))
        last = shape.entry_row == shape.rows - 1
        row[column[last]] = shape.entry_value[last]
        for _ in range(200):
            x = (g.random(len(row)) < 0.3).astype(float)
            if limit.value(x) <= limit.ceiling:
                assert row @ x <= 1.0 + 1e-9


def test_a_long_climb_ends_at_the_tail():
    g = np.random.default_rng(3)
    loss, probability = g.random(30), g.dirichlet(np.ones(30))
    wanted = 1e9 * loss
    project_density(wanted, probability, 1.0 / 0.3)
    assert wanted @ probability == pytest.approx(1.0, abs=1e-6)
    tail = tail_density(loss, probability, 0.7)
    assert loss @ (wanted * probability) == pytest.approx(loss @ (tail * probability), rel=1e-6)


def test_the_limit_is_what_its_maker_permits_beside_commitments():
    program = core(1, 3, 2)
    loss = loss_of(program, 1, 8, held=5.0)
    strict = ConditionalValueAtRisk("cvar of network", loss, 0.8, 4.0)
    assert Lagrangian().solve(with_measures(program, [strict], ()), EXACT, Silent()).status == "infeasible"
    permitted = ConditionalValueAtRisk("cvar of network", loss, 0.8, 5.0)
    solution = Lagrangian().solve(with_measures(program, [permitted], ()), EXACT, Silent())
    assert solution.status == "optimal"
    assert solution.x is not None and permitted.value(solution.x) <= 5.0


def test_refuses_what_is_not_convex_and_mean_risk():
    program = core(1, 3, 2)
    loss = loss_of(program, 1, 8)
    chance = with_measures(program, [Chance("chance of network", loss, 4.0, 0.1)], [0])
    with pytest.raises(NotDecomposable, match="chance of network is not convex"):
        Lagrangian().solve(chance, EXACT, Silent())
    priced = with_mean_risk(program, 0.5, ConditionalValueAtRisk("cvar", loss, 0.8, np.inf))
    with pytest.raises(NotDecomposable, match="mean-risk"):
        Lagrangian().solve(priced, EXACT, Silent())


def row_of_the_bound(tails, n):
    shape, row = tails.shape, np.zeros(n)
    column = np.repeat(shape.columns, np.diff(shape.entry_ptr))
    last = shape.entry_row == shape.rows - 1
    row[column[last]] = shape.entry_value[last]
    return row


@pytest.mark.parametrize("measure", ["cvar", "worst_case"])
def test_rows_of_a_few_of_many_scenarios_hold_for_every_plan_within_the_limit(measure):
    program = limited(5, measure, share=0.6, scenarios=2500, rows=False)
    (limit,) = program.measures
    tails = Tails(program, recognise(program))
    assert tails.many
    g = np.random.default_rng(0)
    share = g.random(len(tails.shape.value)) * 0.5
    tails.focus(share)
    tails.climb(share, 2.0)
    assigned = np.full(tails.shape.tasks, -1)
    assigned[tails.shape.task[:2]] = [0, 1]
    held = 0
    for again in (False, True):
        # losses of the start are those of the program, in the scenarios that are looked at
        loss = tails.annealed(assigned, again=again)[3]
        x = np.zeros(len(program.objective))
        x[tails.shape.columns[assigned[assigned >= 0]]] = 1.0
        assert loss.max() == pytest.approx(limit.loss.of(x).max())
        assert len(loss) < 2500
        tails.climb(share, 0.1)
        row = row_of_the_bound(tails, len(x))
        for _ in range(300):
            x = (g.random(len(row)) < 0.3).astype(float)
            if limit.value(x) <= limit.ceiling:
                held += 1
                assert row @ x <= 1.0 + 1e-9
    assert held > 10


def test_runs_of_some_scenarios_lose_what_all_runs_lose_there():
    program = limited(3, "two", scenarios=60, rows=False)
    tails = Tails(program, recognise(program))
    runs, _, _, whole = tails.annealed(np.full(tails.shape.tasks, -1), again=False)
    g = np.random.default_rng(1)
    share = g.random(len(tails.shape.value))
    add_losses(share, runs, whole)
    kept = np.flatnonzero(g.random(len(whole)) < 0.3)
    some = np.zeros(len(kept))
    add_losses(share, only_scenarios(runs, kept, runs.probability[kept]), some)
    base = tails.annealed(np.full(tails.shape.tasks, -1), again=False)[3]
    assert some == pytest.approx((whole - base)[kept])


def test_giving_up_takes_the_single_column_that_suffices_where_it_is_cheaper():
    worth, loss = np.array([1.0, 4.0, 3.0, 9.0]), np.array([1.0, 3.0, 2.0, 5.0])
    assert _cheapest(worth, loss, 3.0).tolist() == [1]
    assert sorted(_cheapest(worth, loss, 0.5).tolist()) == [0]
    assert loss[_cheapest(worth, loss, 10.0)].sum() >= 10.0


def test_a_plan_that_breaks_a_limit_is_lightened_until_it_holds():
    program = limited(8, tasks=30, coprocessors=4, scenarios=200, share=0.3, rows=False)
    tails = Tails(program, recognise(program))
    assigned = tails.shape.task_columns[tails.shape.task_ptr[:-1]]
    assert not tails.holds(assigned)
    lighter = tails.lighten(assigned)
    assert tails.holds(lighter)
    assert (lighter >= 0).any()
    assert ((lighter == assigned) | (lighter == -1)).all()


def test_same_seed_same_plan_of_many_scenarios():
    program = limited(9, tasks=40, coprocessors=5, scenarios=2500, share=0.3, rows=False)
    options = Options(mip_rel_gap=0.04, time_limit=30, random_seed=3)
    first, second = (Lagrangian(rounds=1).solve(program, options, Silent()) for _ in range(2))
    assert (first.x == second.x).all()
    (limit,) = program.measures
    assert limit.value(first.x) <= limit.ceiling * (1 + 1e-6)
    relaxed = Extensive().solve(dataclasses.replace(program, measures=(), lazy=()), EXACT, Silent())
    assert first.bound <= relaxed.bound * (1 + 1e-6)
