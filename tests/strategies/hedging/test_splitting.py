"""A program in parts is the program: same values, same limits, bounds on their side of the optimum."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import Refusal
from bondwork.program.extensive import extensive_form
from bondwork.program.linking import Linking
from bondwork.program.program_recount import recount
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.strategies.hedging.parts import ask_parts, follow, is_infeasible, priced_bound, value
from bondwork.strategies.hedging.penalties import penalties
from bondwork.strategies.hedging.splitting import split_behind_root
from program.stochastic_programs import programs, toy

EXACT = Options(mip_rel_gap=0.0)


@settings(max_examples=40)
@given(programs(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_parts_are_worth_what_the_program_is_and_prices_bound_it(program, bundle, seed):
    sign = 1.0 if program.sense == "max" else -1.0
    split = split_behind_root(program, bundle)
    assert split.probability.sum() == pytest.approx(1.0)
    solution = solve_stochastic(program, EXACT, all_nodes=True)
    beginning = ask_parts(split, EXACT, Silence())
    if solution.solution == "none":
        assert beginning.status == "infeasible" or solution.status == "infeasible"
        return
    optimum = sign * solution.objective
    nodes = [np.array(list(each.values.values())) for each in solution.nodes]
    x = follow(split, nodes[0], EXACT)
    assert x is not None
    found = np.split(x, split.column_start[1:-1])
    counted = recount(program, found)
    assert not counted.violations
    assert value(split, x) == pytest.approx(sign * counted.objective, abs=1e-6)
    assert value(split, x) == pytest.approx(optimum, abs=1e-5)
    assert beginning.bound / split.scale >= optimum - 1e-6
    prices = np.random.default_rng(seed).normal(0.0, 3.0, beginning.wishes.shape) * split.scale
    assert priced_bound(split, prices, EXACT, Silence()) >= optimum - 1e-6
    assert not is_infeasible(split, EXACT, Silence())
    rho = penalties(split, beginning.wishes)
    assert rho.shape == (split.root,)
    assert np.all(rho > 0.0)
    assert np.all(np.isfinite(rho))


@settings(max_examples=40)
@given(programs(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_every_limit_of_the_program_stands_in_some_part(program, bundle, seed):
    split = split_behind_root(program, bundle)
    matrices = extensive_form(program).matrices
    rng, n = np.random.default_rng(seed), len(matrices.objective)
    # some of it, anything from nothing to all: of all at random hardly any is feasible
    x = np.where(rng.random(n) < rng.random(), rng.integers(0, 3, n), 0).astype(float)
    whole = np.max(matrices.excess(x), initial=0.0)
    whole = max(whole, np.max(x - matrices.upper))
    # a column that alone breaks a limit is ruled out by its bound instead
    apart = [
        max(np.max(part.excess(own), initial=0.0), np.max(own - part.upper))
        for part, own in zip(split.parts, split.take_apart(x), strict=True)
    ]
    assert (whole > 1e-9) <= (max(apart) > 1e-10)
    assert split.put_together(split.take_apart(x)).tolist() == x.tolist()
    assume(whole <= 0.0)
    assert value(split, x) == pytest.approx(matrices.value(x))


def test_bundles_are_runs_of_children():
    split = split_behind_root(toy(copies=3), bundle=4)
    assert [len(part.objective) for part in split.parts] == [1 + 4, 1 + 2]
    assert split.probability.tolist() == pytest.approx([4 / 6, 2 / 6])


def test_what_has_no_probability_still_limits_the_root():
    stake = NodeTemplate.make(0, ["x"], cost=1.0, upper=10.0)
    need = NodeTemplate.make(1, ["y"], ["most"], cost=0.0, row_upper=9.0, entries=[(0, 0, 0, 1.0)])
    program = StochasticProgram.from_changes(
        "never",
        "max",
        [stake, need],
        parent=[-1, 0, 0],
        template=[0, 1, 1],
        conditional=[1.0, 1.0, 0.0],
        changes=[{}, {}, {("row_upper", 0): 4.0}],
    )
    split = split_behind_root(program)
    assert len(split.parts) == 1
    assert ask_parts(split, EXACT, Silence()).wishes.tolist() == [[4.0]]


def test_large_amounts_are_scaled_and_scaled_back():
    stake = NodeTemplate.make(0, ["x"], cost=-1e18, upper=10.0)
    serve = NodeTemplate.make(
        1, ["y"], ["stock"], cost=3e18, row_upper=0.0, entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)]
    )
    program = StochasticProgram.from_changes(
        "wei",
        "max",
        [stake, serve],
        parent=[-1, 0, 0],
        template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5],
        changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}],
    )
    split = split_behind_root(program)
    assert math.log2(split.scale).is_integer()
    assert 1.0 <= np.abs(split.parts[0].objective).max() <= 2.0**20
    assert value(split, follow(split, np.array([6.0]), EXACT)) == 6e18


def test_rows_that_link_parts_are_refused():
    links = Linking(
        ("budget",),
        np.array([-np.inf]),
        np.array([5.0]),
        np.array([False]),
        np.array([0, 0]),
        np.array([1, 2]),
        np.array([0, 0]),
        np.array([0.5, 0.5]),
        np.zeros(0, dtype=np.int64),
        np.zeros(0, dtype=np.int64),
    )
    program = dataclasses.replace(toy(), linking=links)
    with pytest.raises(Refusal, match="link"):
        split_behind_root(program)
    assert len(split_behind_root(program, bundle=2).parts) == 1


def test_one_node_is_refused():
    one = NodeTemplate.make(0, ["x"], cost=1.0, upper=1.0)
    program = StochasticProgram.from_changes(
        "one", "max", [one], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    with pytest.raises(Refusal, match="one node"):
        split_behind_root(program)


def test_penalties_go_with_costs_and_agreement():
    split = split_behind_root(toy(copies=2))
    near = penalties(split, np.array([[5.0], [5.0], [6.0], [6.0]]))
    far = penalties(split, np.array([[2.0], [2.0], [6.0], [6.0]]))
    assert near.tolist() == [1.0]
    assert far.tolist() == [0.25]
    assert penalties(split, np.array([[2.0], [2.0], [6.0], [6.0]]), 3.0).tolist() == [0.75]
