import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

from bondwork.uncertainty.distance import (
    nested_distance,
    pairwise_cost,
    tree_wasserstein,
    wasserstein,
    wasserstein_to_law,
)
from bondwork.uncertainty.laws import Beta, Lognormal, Normal, Uniform
from bondwork.uncertainty.quantizer import quantize
from bondwork.uncertainty.transport import transport
from bondwork.uncertainty.tree import ScenarioTree, TreeError

from .test_tree import trees

seeds = st.integers(0, 2**32)


def by_linprog(cost, p, q):
    m, n = cost.shape
    rows = np.vstack([np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))])
    return linprog(cost.ravel(), A_eq=rows, b_eq=np.concatenate([p, q])).fun


@given(seeds, st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_transport_is_optimal_and_keeps_the_masses(seed, m, n, uniform):
    rng = np.random.default_rng(seed)
    cost = rng.random((m, n)) * 10.0
    p = np.full(m, 1 / m) if uniform else rng.dirichlet(np.full(m, 0.5))
    q = np.full(n, 1 / n) if uniform else rng.dirichlet(np.full(n, 0.5))
    plan = transport(cost, p, q)
    # Both programs keep masses to 1e-7 only, at costs of up to 10.
    assert plan.cost == pytest.approx(by_linprog(cost, p, q), abs=2e-6)
    assert np.bincount(plan.source, plan.mass, m) == pytest.approx(p, abs=1e-7)
    assert np.bincount(plan.target, plan.mass, n) == pytest.approx(q, abs=1e-7)
    assert np.all(plan.mass >= 0.0)


def test_transport_leaves_out_what_has_no_mass():
    plan = transport([[5.0, 1.0], [2.0, 3.0], [1.0, 1.0]], [0.0, 1.0, 0.0], [1.0, 0.0])
    assert (plan.cost, plan.source.tolist(), plan.target.tolist()) == (2.0, [1], [0])
    assert transport(np.zeros((1, 1)), [0.0], [0.0]).cost == 0.0


def test_tiny_masses_and_large_costs_keep_their_precision():
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.random(60)), np.sort(rng.random(40))
    p, q = rng.dirichlet(np.ones(60)), rng.dirichlet(np.ones(40))
    expected = wasserstein(x, y, p, q)
    cost = pairwise_cost(x, y)
    assert transport(1e9 * cost, 1e-6 * p, 1e-6 * q).cost == pytest.approx(1e3 * expected, rel=1e-9)


@pytest.mark.parametrize(
    ("cost", "p", "q", "message"),
    [
        ([[1.0]], [0.5, 0.5], [1.0], "expected \\(2, 1\\)"),
        ([[1.0], [1.0]], [1.5, -0.5], [1.0], "negative"),
        ([[np.nan]], [1.0], [1.0], "finite"),
        ([[1.0]], [1.0], [0.9], r"supply sums to 1\.0, demand to 0\.9"),
    ],
)
def test_faulty_transport_problems_are_refused(cost, p, q, message):
    with pytest.raises(ValueError, match=message):
        transport(cost, p, q)


@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_one_dimension_agrees_with_scipy_and_with_the_program(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = np.round(rng.normal(size=n), 1), np.round(rng.normal(size=m), 1)
    p, q = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    assert wasserstein(x, y, p, q) == pytest.approx(wasserstein_distance(x, y, p, q), abs=1e-12)
    for order in (1, 2, 3.5):
        cost = transport(pairwise_cost(x, y, order=order), p, q).cost
        assert wasserstein(x, y, p, q, order=order) ** order == pytest.approx(cost, abs=1e-8)


@given(seeds, st.integers(1, 3), st.sampled_from([1.0, 2.0]), st.sampled_from(["l1", "l2"]))
def test_wasserstein_is_a_metric(seed, d, order, norm):
    rng = np.random.default_rng(seed)
    laws = [(np.round(rng.normal(size=(4, d)), 2), rng.dirichlet(np.ones(4))) for _ in range(3)]

    def distance(i, j):
        return wasserstein(laws[i][0], laws[j][0], laws[i][1], laws[j][1], order=order, norm=norm)

    assert distance(0, 0) == pytest.approx(0.0, abs=1e-7)
    assert distance(0, 1) == pytest.approx(distance(1, 0), abs=1e-7)
    assert distance(0, 2) <= distance(0, 1) + distance(1, 2) + 1e-7


@given(seeds, st.floats(0.1, 20.0), st.floats(-5, 5))
def test_wasserstein_moves_and_scales_with_the_points(seed, scale, shift):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(5, 2))
    plain = wasserstein(x, y, order=2)
    assert wasserstein(scale * x + shift, scale * y + shift, order=2) == pytest.approx(
        scale * plain, rel=1e-6
    )
    assert wasserstein(x, x + shift, order=2) == pytest.approx(abs(shift) * np.sqrt(2), abs=1e-6)


def test_norms_and_orders():
    assert wasserstein([[0, 0]], [[3, 4]], norm="l1") == 7.0
    assert wasserstein([[0, 0]], [[3, 4]], norm="l2", order=2) == 5.0
    assert pairwise_cost(np.zeros((2, 0)), np.zeros((3, 0))).tolist() == [[0.0] * 3] * 2
    with pytest.raises(ValueError, match=r"order is 0\.5"):
        wasserstein([0.0], [1.0], order=0.5)
    with pytest.raises(ValueError, match="norm is 'l3'"):
        wasserstein([0.0], [1.0], norm="l3")
    with pytest.raises(ValueError, match="2 and 1 coordinates"):
        pairwise_cost([[0.0, 0.0]], [[1.0]])
    with pytest.raises(ValueError, match="not finite"):
        wasserstein([np.nan], [1.0])
    with pytest.raises(ValueError, match="n >= 1"):
        wasserstein(np.zeros((0, 1)), [1.0])
    with pytest.raises(ValueError, match="sum 1"):
        wasserstein([0.0, 1.0], [1.0], p=[0.5, 0.6])


# Published optimal quantizers of N(0, 1): squared W2 (Pages & Printems 2003, quantize.maths-fi.com).
@pytest.mark.parametrize(
    ("n", "squared"), [(1, 1.0), (2, 0.36338023), (3, 0.19017404), (5, 0.07994113), (10, 0.02293705)]
)
def test_optimal_quantizers_of_the_normal_law(n, squared):
    quantizer = quantize(Normal(), n)
    assert quantizer.distance**2 == pytest.approx(squared, abs=6e-9)
    assert quantizer.probabilities.sum() == pytest.approx(1.0)
    assert quantizer.values == pytest.approx(-quantizer.values[::-1], abs=1e-8)
    if n == 2:
        assert quantizer.values == pytest.approx([-np.sqrt(2 / np.pi), np.sqrt(2 / np.pi)], abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_the_uniform_law_with_n_points(n):
    points = (np.arange(n) + 0.5) / n
    weights = np.full(n, 1 / n)
    assert wasserstein_to_law(Uniform(), points, weights, order=1) == pytest.approx(1 / (4 * n), rel=1e-12)
    assert wasserstein_to_law(Uniform(), points, weights, order=2) ** 2 == pytest.approx(
        1 / (12 * n * n), rel=1e-12
    )
    assert quantize(Uniform(), n).values == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize("law", [Normal(1.0, 2.0), Uniform(-1.0, 3.0), Lognormal(2.0, 0.6), Beta(0.8, 5.0)])
@pytest.mark.parametrize("order", [1, 2])
def test_distance_to_a_law_is_that_to_its_fine_discretisation(law, order):
    points, weights = np.array([2.5, 0.3, 1.0, 9.0]), np.array([0.2, 0.5, 0.3, 0.0])
    fine = law.ppf((np.arange(200_000) + 0.5) / 200_000)
    expected = wasserstein(fine, points, q=weights, order=order)
    assert wasserstein_to_law(law, points, weights, order=order) == pytest.approx(expected, rel=2e-4)


@given(seeds)
def test_no_three_points_beat_the_quantizer(seed):
    rng = np.random.default_rng(seed)
    best = quantize(Normal(), 3)
    points, weights = rng.normal(size=3), rng.dirichlet(np.ones(3))
    assert wasserstein_to_law(Normal(), points, weights) >= best.distance


def test_a_quantizer_that_does_not_settle_says_so():
    with pytest.raises(RuntimeError, match="after 3 steps"):
        quantize(Lognormal(1.0, 0.5), 10, max_iterations=3)
    with pytest.raises(ValueError, match="at least 1"):
        quantize(Normal(), 0)
    with pytest.raises(ValueError, match="expected 1 or 2"):
        wasserstein_to_law(Normal(), [0.0], [1.0], order=3)


@pytest.mark.parametrize("eps", [0.5, 0.1, 0.001])
def test_the_filtration_example(eps):
    # Pflug & Pichler 2012: the first stage of A tells what comes, that of B does not.
    a = ScenarioTree.from_paths([[0, 0], [eps, -eps], [1, -1]])
    b = ScenarioTree.from_paths([[0, 0], [0, 0], [1, -1]])
    assert tree_wasserstein(a, b, norm="l1") == pytest.approx(eps, rel=1e-9)
    assert nested_distance(a, b, norm="l1") == pytest.approx(1 + eps, rel=1e-9)
    assert nested_distance(b, a, norm="l1") == pytest.approx(1 + eps, rel=1e-9)


def nested_by_program(a, b, order):
    """Nested distance by one linear program over couplings of scenarios, as Pflug & Pichler define it."""
    paths = zip(a.paths(), b.paths(), strict=True)
    cost = sum(pairwise_cost(x, y, order=order) for x, y in paths)
    m, n = cost.shape
    first, second = a.ancestors(), b.ancestors()
    rows, right = [np.ones(m * n)], [1.0]
    for stage in range(a.stages - 1):
        for i, j in itertools.product(np.unique(first[:, stage]), np.unique(second[:, stage])):
            inside = np.outer(first[:, stage] == i, second[:, stage] == j).astype(float)
            for tree, table, axis in ((a, first, 0), (b, second, 1)):
                children = tree.children(int((i, j)[axis]))
                for child in range(children.start, children.stop):
                    at = table[:, stage + 1] == child
                    below = inside * (at[:, None] if axis == 0 else at[None, :])
                    rows.append((below - tree.conditional[child] * inside).ravel())
                    right.append(0.0)
    return linprog(cost.ravel(), A_eq=np.array(rows), b_eq=right).fun ** (1 / order)


@given(trees(max_stages=3), trees(max_stages=3), st.sampled_from([1.0, 2.0]))
def test_nested_distance_agrees_with_its_definition_and_bounds_wasserstein(a, b, order):
    if [len(names) for names in a.names] != [len(names) for names in b.names]:
        with pytest.raises(TreeError):
            nested_distance(a, b)
        return
    nested = nested_distance(a, b, order=order)
    assert nested == pytest.approx(nested_by_program(a, b, order), abs=1e-5)
    assert nested >= tree_wasserstein(a, b, order=order) - 1e-7
    assert nested_distance(a, a, order=order) == pytest.approx(0.0, abs=1e-6)


def test_nested_distance_of_fans_is_wasserstein():
    rng = np.random.default_rng(0)
    x, y, p = rng.normal(size=(5, 2)), rng.normal(size=(7, 2)), rng.dirichlet(np.ones(5))
    a, b = ScenarioTree.from_fan(x, p), ScenarioTree.from_fan(y)
    assert nested_distance(a, b, order=2) == pytest.approx(wasserstein(x, y, p, order=2), abs=1e-9)


def test_columns_are_matched_by_name():
    a = ScenarioTree.from_fan([[1.0, 2.0], [3.0, 4.0]], names=["u", "w"])
    b = ScenarioTree.from_fan([[2.0, 1.0], [4.0, 3.0]], names=["w", "u"])
    assert nested_distance(a, b) == tree_wasserstein(a, b) == 0.0
    with pytest.raises(TreeError, match="stage 1 holds"):
        nested_distance(a, ScenarioTree.from_fan([[2.0, 1.0]], names=["w", "x"]))
    with pytest.raises(TreeError, match="2 and 1 stages"):
        tree_wasserstein(a, ScenarioTree.from_paths([[0.0]]))
