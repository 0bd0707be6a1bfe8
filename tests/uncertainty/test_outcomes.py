import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bondwork.uncertainty import outcomes
from bondwork.uncertainty.outcomes import OutcomeLaw, OutcomeSample

tables = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@pytest.fixture(params=[4_000_000, 3], ids=["whole", "blocks of 3"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(outcomes, "_CHUNK", request.param)


@given(tables, st.integers(0, 2**31))
def test_sample_agrees_with_its_table(table, seed):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(len(table)))
    sample = OutcomeSample.from_dense(table, probability)
    assert np.array_equal(sample.dense(), table)
    assert np.array_equal(sample.matrix().toarray(), table)
    x, slashing, weight = rng.random(table.shape[1]), rng.random(table.shape[1]), rng.random(len(table))
    x[rng.random(len(x)) < 0.3] = 0.0
    assert np.allclose(sample.loss(x, slashing), table @ (x * slashing))
    assert np.allclose(sample.expected_over(weight), (weight * probability) @ table)
    assert np.allclose(sample.failure_share(), probability @ table)
    offers = rng.permutation(table.shape[1])[: rng.integers(0, table.shape[1] + 1)]
    assert np.array_equal(sample.select(offers).dense(), table[:, offers])
    kept = rng.permutation(len(table))[: rng.integers(1, len(table) + 1)]
    left = sample.select_scenarios(kept, np.full(len(kept), 1 / len(kept)))
    assert np.array_equal(left.dense(), table[kept])
    for offer in range(left.offers):
        assert np.all(np.diff(left.failures(offer)) > 0)


@pytest.mark.usefixtures("chunk")
def test_blocks_do_not_change_anything():
    table = np.random.default_rng(0).random((40, 30)) < 0.2
    table[:, [0, 7, 29]] = False
    sample = OutcomeSample.from_dense(table)
    weight = np.arange(40.0)
    x = np.arange(30.0)
    assert np.allclose(sample.expected_over(weight), weight @ table / 40)
    assert np.allclose(sample.loss(x, np.ones(30)), table @ x)
    assert np.array_equal(
        sample.select_scenarios(np.arange(39, -1, -1), np.full(40, 1 / 40)).dense(), table[::-1]
    )


def test_select_takes_masks():
    sample = OutcomeSample.from_dense([[True, False, True], [False, True, True]])
    assert sample.select([True, False, True]).dense().tolist() == [[True, True], [False, True]]
    law = OutcomeLaw.of([0, 1, 1], [0.9, 0.8, 0.7]).select([False, True, True])
    assert law.executor.tolist() == [1, 1]
    assert law.executors == 2


def test_arrays_are_read_only_and_the_digest_follows_the_content():
    sample = OutcomeSample.from_dense([[True, False], [True, True]])
    with pytest.raises(ValueError, match="read-only"):
        sample.scenario[0] = 1
    assert sample.sha256 == OutcomeSample.from_dense([[True, False], [True, True]]).sha256
    assert sample.sha256 != OutcomeSample.from_dense([[True, True], [True, False]]).sha256


def test_faulty_samples_and_arguments_are_refused():
    sample = OutcomeSample.from_dense([[True, False], [True, True]])
    with pytest.raises(ValueError, match="expected \\(2,\\)"):
        sample.loss(np.ones(3), 1.0)
    with pytest.raises(ValueError, match="index twice"):
        sample.select_scenarios([0, 0], [0.5, 0.5])
    with pytest.raises(ValueError, match="sum 1"):
        sample.select_scenarios([0, 1], [0.5, 0.6])
    with pytest.raises(ValueError, match="sum 1"):
        OutcomeSample.from_dense([[True]], [0.5])
    with pytest.raises(ValueError, match="scenarios, offers"):
        OutcomeSample.from_dense([True])
    with pytest.raises(ValueError, match="outside 0 to 0"):
        OutcomeSample(np.array([0, 1]), np.array([1], dtype=np.int32), np.ones(1))
    with pytest.raises(ValueError, match="start must run"):
        OutcomeSample(np.array([0, 2]), np.array([0], dtype=np.int32), np.ones(1))


def test_faulty_laws_are_refused():
    with pytest.raises(ValueError, match="outside 0 to 0"):
        OutcomeLaw.of([0, 1], 0.9, executors=1)
    with pytest.raises(ValueError, match="not above 0"):
        OutcomeLaw.of([0], 0.9, concentration=0.0)
    with pytest.raises(ValueError, match="expected 0 <= p <= 1 - outage"):
        OutcomeLaw.of([0], 0.99, outage_probability=[0.02])
    law = OutcomeLaw.of([0], 0.9)
    with pytest.raises(ValueError, match="concentration has shape"):
        OutcomeLaw(law.executor, law.success_probability, np.ones(2), law.outage_probability)
    with pytest.raises(ValueError, match="one dimension"):
        OutcomeLaw.of([[0]], 0.9)
