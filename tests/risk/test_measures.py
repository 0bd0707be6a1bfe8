"""Risk measures against direct computations, and the properties that their cuts and rows rely on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog

from bondwork.base.statistics import tail_density
from bondwork.plan.recount_risk import mean_of_worst
from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.chance import Chance
from bondwork.risk.cvar import ConditionalValueAtRisk, cvar
from bondwork.risk.losses import ScopeLoss
from bondwork.risk.running import RunningMeasure
from bondwork.risk.worst_case import WorstCase
from bondwork.uncertainty.outcomes import OutcomeSample
from risk.by_hand import cvar_of, excess_probability, worst_expectation

LEVELS = [0.0, 0.1, 0.5, 2 / 3, 0.75, 0.9, 0.95, 0.999]
amounts = st.floats(0.0, 100.0).map(lambda v: round(v, 3))
levels = st.sampled_from(LEVELS) | st.floats(0.0, 0.999)


@st.composite
def weighted(draw, least=1, most=12):
    """Losses and probabilities that add up to 1, some of them 0."""
    count = draw(st.integers(least, most))
    losses = draw(st.lists(amounts, min_size=count, max_size=count))
    parts = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    assume(sum(parts) > 0)
    return np.array(losses), np.array(parts) / sum(parts)


@st.composite
def scope_losses(draw, *, equal=False):
    """A scope's loss on a few columns of a few more, with a base."""
    size = draw(st.integers(1, 6))
    scenarios = draw(st.integers(2, 10))
    columns = np.array(sorted(draw(st.sets(st.integers(0, size - 1), max_size=size))), dtype=np.int64)
    bits = st.lists(st.booleans(), min_size=scenarios, max_size=scenarios)
    failed = np.array([draw(bits) for _ in columns], dtype=bool).reshape(len(columns), scenarios).T
    parts = [1] * scenarios
    if not equal:
        parts = draw(st.lists(st.integers(0, 5), min_size=scenarios, max_size=scenarios))
        assume(sum(parts) > 0)
    sample = OutcomeSample.from_dense(failed, np.array(parts) / sum(parts))
    weight = np.array(draw(st.lists(st.floats(0.5, 50.0), min_size=len(columns), max_size=len(columns))))
    base = np.array(draw(st.lists(amounts, min_size=scenarios, max_size=scenarios)))
    return ScopeLoss(columns, size, weight, sample, base)


@st.composite
def measures(draw, kinds=("cvar", "worst_case", "ambiguous")):
    """A measure of a random loss, and what its scope's commitments are where that matters."""
    kind = draw(st.sampled_from(kinds))
    loss = draw(scope_losses(equal=kind == "ambiguous"))
    ceiling = draw(st.floats(0.0, 100.0))
    if kind == "cvar":
        return ConditionalValueAtRisk("cvar", loss, draw(levels), ceiling)
    if kind == "worst_case":
        return WorstCase("worst", loss, ceiling)
    if kind == "chance":
        return Chance("chance", loss, draw(st.floats(0.0, 120.0)), draw(st.floats(0.0, 1.0)))
    scenarios = len(loss.base)
    held = draw(st.lists(st.tuples(amounts, st.integers(0, scenarios)), max_size=3))
    return WorstExpectation(
        "ambiguous",
        loss,
        draw(st.floats(0.0, 4.0)),
        ceiling,
        np.array([s for s, _ in held]),
        np.array([k / scenarios for _, k in held]),
    )


def point(measure, draw):
    size = measure.loss.size
    return np.array(draw(st.lists(st.floats(0.0, 1.0), min_size=size, max_size=size)))


def by_definition(measure, x):
    """Value of a measure in plain Python."""
    loss = measure.loss
    failed = loss.sample.dense()
    own = [float(w * x[c]) for w, c in zip(loss.weight, loss.columns, strict=True)]
    losses = [
        float(loss.base[s]) + math.fsum(a for k, a in enumerate(own) if failed[s, k])
        for s in range(len(loss.base))
    ]
    probability = loss.probability.tolist()
    if isinstance(measure, ConditionalValueAtRisk):
        return cvar_of(losses, probability, measure.level)
    if isinstance(measure, WorstCase):
        return max(loss for loss, q in zip(losses, probability, strict=True) if q > 0)
    if isinstance(measure, Chance):
        return excess_probability(losses, probability, measure.budget)
    shares = [sum(failed[:, k].tolist()) / len(losses) for k in range(len(own))]
    return worst_expectation(
        own + measure.held_weight.tolist(), shares + measure.held_share.tolist(), measure.radius
    )


# values


@given(weighted(), levels)
def test_cvar_is_the_least_over_eta(sample, level):
    losses, probability = sample
    assert cvar(losses, probability, level) == pytest.approx(
        cvar_of(losses.tolist(), probability.tolist(), level), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize(
    ("losses", "probability", "level", "value"),
    [
        ([4.0, 0.0, 8.0], [0.5, 0.25, 0.25], 0.0, 4.0),  # the mean
        ([10.0, 6.0, 2.0, 0.0], [0.25] * 4, 0.5, 8.0),  # two whole scenarios
        ([10.0, 6.0, 2.0, 0.0], [0.25] * 4, 0.625, (0.25 * 10 + 0.125 * 6) / 0.375),  # the edge in part
        ([10.0, 6.0, 2.0, 0.0], [0.25] * 4, 0.9, 10.0),  # less than one scenario
        ([0.0, 10.0, 6.0], [0.7, 0.1, 0.2], 0.8, (0.1 * 10 + 0.1 * 6) / 0.2),
        ([5.0, 5.0, 5.0], [0.2, 0.3, 0.5], 0.7, 5.0),
        ([99.0, 1.0], [0.0, 1.0], 0.95, 1.0),  # what cannot happen does not count
        ([3.0], [1.0], 0.5, 3.0),
    ],
)
def test_cvar_of_known_samples(losses, probability, level, value):
    assert cvar(np.array(losses), np.array(probability), level) == pytest.approx(value, rel=1e-12)


@given(st.lists(amounts, min_size=1, max_size=40), levels)
def test_the_recount_of_cvar_says_the_same(losses, level):
    equal = [1.0 / len(losses)] * len(losses)
    assert mean_of_worst(np.array(losses), 1.0 - level) == pytest.approx(
        cvar_of(losses, equal, level), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("level", [1 - 1e-9, 1 - 1e-13, 1 - 2**-53])
def test_cvar_close_to_level_one_is_the_largest_loss(level):
    losses = np.arange(64.0)
    assert cvar(losses, np.full(64, 1 / 64), level) == pytest.approx(63.0)
    assert mean_of_worst(losses, 1.0 - level) == pytest.approx(63.0)


@given(weighted(), levels, levels)
def test_cvar_lies_between_mean_and_largest_and_rises_with_the_level(sample, one, other):
    losses, probability = sample
    low, high = sorted([one, other])
    less, more = cvar(losses, probability, low), cvar(losses, probability, high)
    assert float(losses @ probability) - 1e-9 <= less <= more + 1e-9
    assert more <= losses[probability > 0].max() + 1e-9


@given(weighted(), levels, st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_cvar_scales_and_shifts_with_the_losses(sample, level, factor, shift):
    losses, probability = sample
    expected = factor * cvar(losses, probability, level) + shift
    assert cvar(factor * losses + shift, probability, level) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(weighted(), levels)
def test_the_tail_is_a_density(sample, level):
    losses, probability = sample
    density = tail_density(losses, probability, level)
    assert density.min() >= 0.0
    assert density.max() <= (1 + 1e-9) / (1 - level)
    assert float(density @ probability) == pytest.approx(1.0)


@given(measures(("cvar", "worst_case", "ambiguous", "chance")), st.data())
def test_values_are_those_of_the_definition(measure, data):
    x = point(measure, data.draw)
    assert measure.value(x) == pytest.approx(by_definition(measure, x), rel=1e-9, abs=1e-9)
    if measure.is_of_losses:
        assert measure.of_losses(measure.loss.of(x)) == measure.value(x)


def test_a_loss_at_the_budget_does_not_exceed_it():
    loss = ScopeLoss(
        np.array([0, 1, 2]),
        3,
        np.array([0.1, 0.2, 0.3]),
        OutcomeSample.from_dense([[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]),
        np.zeros(4),
    )
    everything = np.ones(3)
    assert 0.1 + 0.2 > 0.3  # the decimals that make a tolerance necessary
    assert Chance("chance", loss, 0.3, 1.0).value(everything) == 0.25
    assert Chance("chance", loss, 0.2999, 1.0).value(everything) == 0.75


@given(st.data())
def test_the_ambiguous_value_is_the_largest_expectation_of_all_transports(data):
    """A linear program over all ways to move the sample's mass between outcomes, at l1 cost."""
    offers = data.draw(st.integers(1, 3))
    scenarios = data.draw(st.integers(1, 4))
    bits = st.lists(st.booleans(), min_size=offers, max_size=offers)
    failed = np.array([data.draw(bits) for _ in range(scenarios)])
    weight = np.array(data.draw(st.lists(st.floats(0.5, 20.0), min_size=offers, max_size=offers)))
    radius = data.draw(st.floats(0.0, 3.0))
    held = data.draw(st.integers(0, offers - 1))  # the last ones are commitments, which fail more often, too
    free = offers - held
    base = failed[:, free:] @ weight[free:]
    loss = ScopeLoss(np.arange(free), free, weight[:free], OutcomeSample.from_dense(failed[:, :free]), base)
    measure = WorstExpectation(
        "ambiguous", loss, radius, 0.0, weight[free:], failed[:, free:].mean(axis=0).reshape(held)
    )

    outcomes = np.array([[(k >> o) & 1 for o in range(offers)] for k in range(2**offers)])
    cost = np.abs(failed[:, None, :] - outcomes[None]).sum(axis=2).ravel()
    gain = np.tile(outcomes @ weight, scenarios)
    leaves = np.kron(np.eye(scenarios), np.ones(len(outcomes)))
    answer = linprog(
        -gain, A_ub=cost[None], b_ub=[radius], A_eq=leaves, b_eq=np.full(scenarios, 1 / scenarios)
    )
    assert measure.value(np.ones(free)) == pytest.approx(-answer.fun, rel=1e-7, abs=1e-7)


# cuts


@given(measures(), st.data())
def test_cuts_are_tight_where_made_and_below_the_value_everywhere(measure, data):
    x = point(measure, data.draw)
    cut = measure.cut(x)

    def line(y):
        return float(cut.normal @ y) - cut.upper + measure.ceiling

    assert line(x) == pytest.approx(measure.value(x), rel=1e-9, abs=1e-9)
    for _ in range(4):
        y = point(measure, data.draw)
        assert line(y) <= measure.value(y) + 1e-9 * (1 + measure.value(y))
    for y in (np.zeros_like(x), np.ones_like(x)):
        assert line(y) <= measure.value(y) + 1e-9 * (1 + measure.value(y))


def test_an_ambiguous_cut_does_not_rule_out_an_empty_choice():
    # the radius used up within the largest amount: it fails half a time more often, not for sure
    loss = ScopeLoss(np.array([0]), 1, np.array([10.0]), OutcomeSample.from_dense([[False]] * 4), np.zeros(4))
    measure = WorstExpectation("ambiguous", loss, 0.5, 4.0, np.zeros(0), np.zeros(0))
    cut = measure.cut(np.ones(1))
    assert cut.normal.tolist() == [5.0]
    assert cut.upper == 4.0


def test_a_chance_limit_has_no_cuts():
    loss = ScopeLoss(np.array([0]), 1, np.ones(1), OutcomeSample.from_dense([[True]]), np.zeros(1))
    with pytest.raises(TypeError, match="no cuts"):
        Chance("chance", loss, 1.0, 0.5).cut(np.ones(1))


@given(measures(("cvar", "worst_case", "ambiguous")), st.data(), st.floats(0.0, 1.0))
def test_convex_measures_are_convex(measure, data, share):
    x, y = point(measure, data.draw), point(measure, data.draw)
    between = measure.value(share * x + (1 - share) * y)
    assert between <= share * measure.value(x) + (1 - share) * measure.value(y) + 1e-7


# rows


@given(measures(("cvar", "worst_case", "ambiguous", "chance")), st.data())
def test_a_choice_is_within_the_rows_just_when_it_keeps_the_limit(measure, data):
    size = measure.loss.size
    x = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)), dtype=float)
    value = measure.value(x)
    assume(abs(value - measure.ceiling) > 1e-6)
    if isinstance(measure, Chance):
        assume(np.abs(measure.loss.of(x) - measure.budget).min() > 1e-6)
    block = measure.block()
    assert rows_hold(block, x) == (value < measure.ceiling)


@given(measures(("cvar", "worst_case")), st.data())
def test_the_rows_of_critical_scenarios_say_the_same_where_they_were_found(measure, data):
    size = measure.loss.size
    x = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)), dtype=float)
    assume(abs(measure.value(x) - measure.ceiling) > 1e-6)
    critical = measure.critical(x)
    assert rows_hold(measure.block(critical), x) == (measure.value(x) < measure.ceiling)


def rows_hold(block, x):
    """Whether the auxiliary columns can be chosen so that the rows hold at ``x``."""
    fixed = block.matrix[:, : len(x)] @ x
    own = block.matrix[:, len(x) :].toarray()
    keep = np.isfinite(block.row_upper)
    if own.shape[1] == 0:
        return bool(np.all(fixed[keep] <= block.row_upper[keep] + 1e-9))
    answer = linprog(
        np.zeros(own.shape[1]),
        A_ub=own[keep],
        b_ub=(block.row_upper - fixed)[keep],
        bounds=np.stack([block.lower, block.upper], axis=1),
        integrality=block.integer.astype(int),
    )
    return answer.status == 0


@given(measures(("cvar", "chance")), st.data())
def test_the_measured_value_of_the_rows_is_the_value(measure, data):
    size = measure.loss.size
    x = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)), dtype=float)
    if isinstance(measure, Chance):
        assume(np.abs(measure.loss.of(x) - measure.budget).min() > 1e-6)
    block = measure.block()
    assume(len(block.measured))
    fixed = block.matrix[:-1, :size] @ x  # all but the limit itself
    answer = linprog(
        block.measured,
        A_ub=block.matrix[:-1, size:].toarray(),
        b_ub=block.row_upper[:-1] - fixed,
        bounds=np.stack([block.lower, block.upper], axis=1),
        integrality=block.integer.astype(int),
    )
    assert answer.fun == pytest.approx(measure.value(x), rel=1e-6, abs=1e-6)


# losses


@given(scope_losses(), st.data())
def test_losses_rows_and_gradients_agree_with_the_table(loss, data):
    size, scenarios = loss.size, len(loss.base)
    dense = np.zeros((scenarios, size))
    dense[:, loss.columns] = loss.sample.dense() * loss.weight
    x = np.array(data.draw(st.lists(st.floats(0.0, 1.0), min_size=size, max_size=size)))
    density = np.array(data.draw(st.lists(st.floats(0.0, 5.0), min_size=scenarios, max_size=scenarios)))
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, scenarios - 1)))), dtype=np.int64)

    assert np.allclose(loss.of(x), loss.base + dense @ x)
    assert np.allclose(loss.largest(), loss.base + dense.sum(axis=1))
    assert np.allclose(loss.gradient(density), (density * loss.probability) @ dense)
    assert np.allclose(loss.rows(np.arange(scenarios)).toarray(), dense)
    assert np.allclose(loss.rows(chosen).toarray(), dense[chosen])
    assert loss.unit == 2.0 ** round(math.log2(loss.unit))
    assert loss.unit >= loss.weight.max(initial=0.0)


@given(measures(("cvar", "worst_case", "ambiguous", "chance")), st.data())
def test_a_running_measure_follows_the_value(measure, data):
    size = measure.loss.size
    x = np.zeros(size)
    running = RunningMeasure(measure, x)
    for column in data.draw(st.permutations(range(size))):
        after = x.copy()
        after[column] = 1.0
        value = measure.value(after)
        assert running.rise(column) == pytest.approx(value - measure.value(x), rel=1e-9, abs=1e-9)
        # outside the scope everything fits, even where the limit is broken already
        if column in measure.loss.columns and abs(value - measure.ceiling) > 1e-6:
            assert running.fits(column) == (value < measure.ceiling)
        running.add(column)
        x = after
        if abs(value - measure.ceiling) > 1e-6:
            assert running.holds() == (value < measure.ceiling)


# standard errors


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9])
def test_the_standard_error_of_cvar_is_what_repeated_samples_show(level):
    check_error(lambda loss: ConditionalValueAtRisk("cvar", loss, level, 0.0))


def test_the_standard_error_of_a_probability_is_what_repeated_samples_show():
    check_error(lambda loss: Chance("chance", loss, 25.0, 0.0))


def test_the_standard_error_of_the_worst_expectation_is_what_repeated_samples_show():
    # where the radius is small beside what can still fail: the ball adds a constant
    check_error(lambda loss: WorstExpectation("ambiguous", loss, 0.0, 0.0, np.zeros(0), np.zeros(0)))


def check_error(measure_of):
    rng = np.random.default_rng(5)
    p = np.linspace(0.05, 0.3, 12)
    weight = np.linspace(3.0, 14.0, 12)
    values, errors = [], []
    for _ in range(400):
        sample = OutcomeSample.from_dense(rng.random((1000, 12)) < p)
        measure = measure_of(ScopeLoss(np.arange(12), 12, weight, sample, np.zeros(1000)))
        values.append(measure.value(np.ones(12)))
        errors.append(measure.standard_error(np.ones(12)))
    # 400 samples tell a standard deviation to within 3.5%; errors are a little on the safe side
    assert 0.9 <= np.mean(errors) / np.std(values, ddof=1) <= 1.16


def test_the_worst_case_has_no_standard_error():
    loss = ScopeLoss(np.array([0]), 1, np.ones(1), OutcomeSample.from_dense([[True]] * 9), np.zeros(9))
    assert math.isnan(WorstCase("worst", loss, 1.0).standard_error(np.ones(1)))
