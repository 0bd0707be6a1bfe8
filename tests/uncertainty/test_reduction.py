import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.uncertainty import selection
from bondwork.uncertainty.distance import nested_distance, pairwise_cost, tree_wasserstein, wasserstein
from bondwork.uncertainty.laws import Normal
from bondwork.uncertainty.reduction import redistribute, reduce_scenarios
from bondwork.uncertainty.tree import ScenarioTree
from bondwork.uncertainty.tree_reduction import reduce_tree
from bondwork.uncertainty.tree_sampling import sample_tree

from .test_tree import trees

METHODS = ["forward", "backward", "medoids"]
seeds = st.integers(0, 2**32)


def problem(seed, n, d=2):
    rng = np.random.default_rng(seed)
    points = np.round(rng.normal(size=(n, d)), 2)
    points[rng.random(n) < 0.2] = points[0]
    return points, rng.dirichlet(np.full(n, 0.7))


def best(points, mass, size, order):
    """Optimal reduction by trying all choices."""
    cost = pairwise_cost(points, points, order=order)
    choices = itertools.combinations(range(len(points)), size)
    return min(mass @ cost[:, choice].min(axis=1) for choice in choices) ** (1 / order)


@given(seeds, st.integers(2, 12), st.data(), st.sampled_from([1.0, 2.0]))
def test_no_heuristic_beats_brute_force_and_one_point_is_exact(seed, n, data, order):
    points, mass = problem(seed, n)
    size = data.draw(st.integers(1, min(n, 5)))
    optimum = best(points, mass, size, order)
    found = {m: reduce_scenarios(points, mass, size=size, method=m, order=order).distance for m in METHODS}
    assert min(found.values()) >= optimum - 1e-9
    assert found["medoids"] <= found["forward"] + 1e-9
    # Swaps end within reach of the optimum on problems of this size.
    assert found["medoids"] ** order <= 1.5 * optimum**order + 1e-9
    if size == 1:
        assert found["forward"] == pytest.approx(optimum, abs=1e-12)
    if size == n:
        assert max(found.values()) == pytest.approx(0.0, abs=1e-12)
    if size == n - 1:
        assert found["backward"] == pytest.approx(optimum, abs=1e-12)


@given(seeds, st.integers(1, 10), st.data(), st.sampled_from([1.0, 2.0]), st.sampled_from(["l1", "l2"]))
def test_the_distance_reported_is_the_wasserstein_distance(seed, n, data, order, norm):
    points, mass = problem(seed, n)
    size = data.draw(st.integers(1, n))
    for method in METHODS:
        r = reduce_scenarios(points, mass, size=size, method=method, order=order, norm=norm)
        assert len(r) == size
        assert r.probability.sum() == pytest.approx(1.0)
        assert np.all(np.diff(r.kept) > 0)
        assert np.array_equal(r.assignment[r.kept], np.arange(size))
        exact = wasserstein(points, points[r.kept], mass, r.probability, order=order, norm=norm)
        assert r.distance**order == pytest.approx(exact**order, abs=1e-7)


@given(seeds)
def test_the_redistribution_is_optimal(seed):
    points, mass = problem(seed, 7)
    r = redistribute(points, [1, 4, 6], mass)
    other = np.random.default_rng(seed).dirichlet(np.ones(3))
    assert r.distance <= wasserstein(points, points[[1, 4, 6]], mass, other) + 1e-9


def naive_forward(cost, mass, size):
    kept = []
    for _ in range(size):
        value = [
            mass @ cost[:, [*kept, u]].min(axis=1) if u not in kept else np.inf for u in range(len(mass))
        ]
        kept.append(int(np.argmin(value)))
    return kept


def naive_backward(cost, mass, size):
    kept = list(range(len(mass)))
    while len(kept) > size:
        value = [mass @ cost[:, [k for k in kept if k != u]].min(axis=1) for u in kept]
        kept.pop(int(np.argmin(value)))
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_the_fast_heuristics_choose_as_their_definitions_do(seed):
    rng = np.random.default_rng(seed)
    points, mass = rng.normal(size=(60, 3)), rng.dirichlet(np.ones(60))
    cost = pairwise_cost(points, points)
    fast = selection.cost_matrix(points, order=1, norm="l2")
    assert selection.select_forward(fast, mass, size=25, allowed=0.0).tolist() == naive_forward(
        cost, mass, 25
    )
    assert selection.select_backward(fast, mass, size=4, allowed=np.inf).tolist() == naive_backward(
        cost, mass, 4
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_single_swap_betters_medoids(seed):
    rng = np.random.default_rng(seed)
    points, mass = rng.normal(size=(40, 2)), rng.dirichlet(np.ones(40))
    cost = pairwise_cost(points, points)
    kept = reduce_scenarios(points, mass, size=6, method="medoids").kept
    value = mass @ cost[:, kept].min(axis=1)
    for out, new in itertools.product(range(6), range(40)):
        swapped = [*np.delete(kept, out), new]
        assert mass @ cost[:, swapped].min(axis=1) >= value - 1e-12


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("double", [4096, 1])
def test_costs_from_products_agree_with_differences(order, double, monkeypatch):
    monkeypatch.setattr(selection, "_DOUBLE", double)
    monkeypatch.setattr(selection, "_BLOCK", 7)
    points = np.random.default_rng(0).normal(size=(50, 20)) + 100.0
    cost = selection.cost_matrix(points, order=order, norm="l2")
    assert cost.dtype == (np.float64 if double > 1 else np.float32)
    expected = pairwise_cost(points, points, order=order)
    assert cost == pytest.approx(expected, rel=1e-10 if double > 1 else 1e-5, abs=1e-6)
    assert np.array_equal(cost, cost.T)


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_and_small_blocks_choose_nearly_as_well(method, monkeypatch):
    points = np.random.default_rng(1).normal(size=(300, 12))
    exact = reduce_scenarios(points, size=20, method=method).distance
    monkeypatch.setattr(selection, "_DOUBLE", 1)
    monkeypatch.setattr(selection, "_BLOCK", 7)
    assert reduce_scenarios(points, size=20, method=method).distance == pytest.approx(exact, rel=1e-3)


@given(seeds, st.floats(0.0, 1.5), st.sampled_from([1.0, 2.0]))
def test_an_error_is_kept_with_as_few_points_as_the_heuristic_can(seed, error, order):
    points, mass = problem(seed, 10)
    for method in METHODS:
        r = reduce_scenarios(points, mass, error=error, method=method, order=order)
        assert r.distance <= error + 1e-7
        if len(r) > 1 and method == "forward":
            fewer = reduce_scenarios(points, mass, size=len(r) - 1, method=method, order=order)
            assert fewer.distance > error - 1e-7
        if method == "backward" and len(r) > 1:
            fewer = reduce_scenarios(points, mass, size=len(r) - 1, method=method, order=order)
            assert fewer.distance > error - 1e-7


def test_points_without_probability_cost_nothing():
    r = reduce_scenarios([0.0, 50.0, 1.0], [0.5, 0.0, 0.5], size=2)
    assert r.kept.tolist() == [0, 2]
    assert r.distance == 0.0


def test_forward_selection_of_a_fine_sample_comes_near_the_optimal_quantizer():
    x = Normal().ppf((np.arange(2000) + 0.5) / 2000)
    r = reduce_scenarios(x, size=5, method="medoids", order=2)
    assert r.distance**2 == pytest.approx(0.07994113, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one of the two"),
        ({"size": 1, "error": 1.0}, "one of the two"),
        ({"size": 0}, "expected 1 to 2"),
        ({"size": 3}, "expected 1 to 2"),
        ({"error": -1.0}, "error is -1.0"),
        ({"error": float("nan")}, "error is nan"),
        ({"size": 1, "method": "random"}, "expected one of backward, forward"),
        ({"size": 1, "order": 0}, "order is 0"),
        ({"size": 1, "probability": [1.0]}, "2 numbers"),
    ],
)
def test_faulty_reductions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        reduce_scenarios([0.0, 1.0], **arguments)


@pytest.mark.parametrize("kept", [[], [0, 0], [-1], [2]])
def test_faulty_choices_are_refused(kept):
    with pytest.raises(ValueError, match="distinct indices from 0 to 1"):
        redistribute([0.0, 1.0], kept)


@given(trees(), st.sampled_from([1.0, 2.0]), st.sampled_from(METHODS))
def test_a_reduced_tree_is_within_the_distance_reported(tree, order, method):
    r = reduce_tree(tree, branching=[2] * (tree.stages - 1), order=order, method=method)
    assert r.tree.stages == tree.stages
    for node in range(len(r.tree)):
        children = r.tree.children(node)
        assert children.stop - children.start <= 2
    assert tree_wasserstein(tree, r.tree, order=order) <= r.distance + 1e-7
    # Every node stands in its stage, below the node that its parent stands in, with all of its probability.
    assert np.array_equal(r.tree.stage[r.node], tree.stage)
    assert np.array_equal(r.tree.parent[r.node[1:]], r.node[tree.parent[1:]])
    assert np.bincount(r.node, tree.probability, len(r.tree)) == pytest.approx(r.tree.probability)
    assert r.distance**order == pytest.approx(np.sum(r.stage_distance**order))
    # The distance is what it costs to move each path to the one that stands for it.
    weight = tree.probability[tree.leaves]
    place = r.node[tree.leaves] - r.tree.leaves[0]
    for stage, (old, new) in enumerate(zip(tree.paths(), r.tree.paths(), strict=True)):
        cost = weight @ np.linalg.norm(old - new[place], axis=1) ** order
        assert r.stage_distance[stage] ** order == pytest.approx(cost, abs=1e-12)


@given(trees(), st.floats(0.0, 2.0), st.sampled_from([1.0, 2.0]))
def test_a_tree_reduced_to_an_error_keeps_it(tree, error, order):
    r = reduce_tree(tree, error=error, order=order)
    assert r.distance <= error + 1e-7
    assert len(r.tree) <= len(tree)


@pytest.mark.parametrize("order", [1.0, 2.0])
@pytest.mark.parametrize("error", [0.3, 0.8])
def test_many_paths_are_reduced_as_far_as_the_error_allows_at_every_stage(order, error):
    steps = np.cumsum(np.random.default_rng(0).normal(size=(300, 4)), axis=1)
    fan = ScenarioTree.from_paths([np.zeros(300), *steps.T], merge=False)
    r = reduce_tree(fan, error=error, order=order)
    assert 0.5 * error < r.distance <= error
    assert np.all(r.stage_distance <= error / 4 ** (1 / order) + 1e-12)
    assert len(r.tree.values[1]) < 40


def test_wide_enough_branching_changes_nothing():
    tree = sample_tree([{"x": Normal()}] * 2, [3, 3], seed=0)
    r = reduce_tree(tree, branching=[3, 3])
    assert r.tree == tree
    assert r.distance == 0.0


def test_a_fan_is_reduced_like_its_points():
    x = np.random.default_rng(0).normal(size=(50, 3))
    r = reduce_tree(ScenarioTree.from_fan(x), branching=[7], order=2)
    flat = reduce_scenarios(x, size=7, order=2)
    assert r.distance == pytest.approx(flat.distance)
    assert np.array_equal(r.tree.values[1], x[flat.kept])


def test_paths_become_a_tree_that_does_not_know_the_future():
    # A random walk: whole paths reduced as a fan would tell everything after the first step.
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.normal(size=(400, 2)), axis=1)
    fan = ScenarioTree.from_paths([np.zeros(400), steps[:, 0], steps[:, 1]], merge=False)
    r = reduce_tree(fan, branching=[5, 4])
    assert [len(values) for values in r.tree.values] == [1, 5, 20]
    truth = sample_tree(
        [{"v0": Normal()}] * 2, [15, 12], seed=1, root={"v0": 0.0}, transition=lambda _, x, draw: x + draw
    )
    whole = reduce_scenarios(steps, size=20)
    knowing = ScenarioTree.from_paths([np.zeros(20), *steps[whole.kept].T], whole.probability)
    assert nested_distance(truth, r.tree) < 0.8 * nested_distance(truth, knowing)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one of the two"),
        ({"branching": [2]}, "expected 2 numbers"),
        ({"branching": [2, 0]}, "expected 2 numbers"),
        ({"error": -1.0}, "expected a number >= 0"),
        ({"branching": [1, 1], "norm": "l7"}, "norm is 'l7'"),
    ],
)
def test_faulty_tree_reductions_are_refused(arguments, message):
    tree = sample_tree([{"x": Normal()}] * 2, [2, 2], seed=0)
    with pytest.raises(ValueError, match=message):
        reduce_tree(tree, **arguments)
