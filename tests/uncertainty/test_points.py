import numpy as np
import pytest
from scipy.stats import kstest

from bondwork.uncertainty import sobol
from bondwork.uncertainty.points import UnitPoints, uniforms
from bondwork.uncertainty.seeds import seed_sequence, stream
from bondwork.uncertainty.sobol import SOBOL_DIMENSIONS, sobol_integers

METHODS = ["monte_carlo", "antithetic", "latin_hypercube", "sobol"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1024, 1500])
def test_points_lie_strictly_inside_the_cube(method, n):
    u = uniforms(method, n, 5, seed=1)
    assert u.shape == (n, 5)
    assert u.min() > 0.0
    assert u.max() < 1.0


@pytest.mark.parametrize("method", METHODS)
def test_every_coordinate_is_uniform_and_coordinates_do_not_depend_on_each_other(method):
    u = uniforms(method, 4096, 6, seed=2)
    for column in u.T:
        assert kstest(column, "uniform").pvalue > 1e-3
    correlation = np.corrcoef(u.T) - np.eye(6)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4096)


@pytest.mark.parametrize("method", METHODS)
def test_a_coordinate_depends_on_the_seed_and_its_number_only(method):
    few, many = UnitPoints(method, 64, 3, seed=5), UnitPoints(method, 64, 3, seed=5)
    backwards = [many.coordinate(k) for k in (2, 1, 0)][::-1]
    for k in range(3):
        assert np.array_equal(few.coordinate(k), backwards[k])
    assert not np.array_equal(few.coordinate(0), UnitPoints(method, 64, 3, seed=6).coordinate(0))


def test_latin_hypercube_has_one_point_in_every_stratum():
    u = uniforms("latin_hypercube", 37, 4, seed=0)
    assert np.array_equal(np.sort(np.floor(37 * u), axis=0), np.tile(np.arange(37.0)[:, None], 4))


def test_sobol_of_a_power_of_two_has_one_point_in_every_stratum_and_in_every_box_of_a_square():
    u = uniforms("sobol", 256, 2, seed=0)
    assert np.array_equal(np.sort(np.floor(256 * u), axis=0), np.tile(np.arange(256.0)[:, None], 2))
    box = np.floor(16 * u).astype(int)
    assert len(np.unique(16 * box[:, 0] + box[:, 1])) == 256


def test_sobol_of_another_number_is_the_start_of_the_longer_sequence():
    assert np.array_equal(uniforms("sobol", 1500, 3, seed=4), uniforms("sobol", 2048, 3, seed=4)[:1500])


@pytest.mark.parametrize(("n", "dimensions"), [(1, 1), (5, 3), (1500, 70), (4096, 2), (2, 9000)])
def test_sobol_points_are_those_of_scipy_without_its_import(n, dimensions, monkeypatch, tmp_path):
    ours = sobol_integers(n, dimensions, np.random.SeedSequence(7, spawn_key=(1,)))
    assert ours.shape == (n, dimensions)
    monkeypatch.setattr(sobol, "_TABLE", tmp_path / "moved.npz")
    sobol._table.cache_clear()
    theirs = sobol_integers(n, dimensions, np.random.SeedSequence(7, spawn_key=(1,)))
    assert np.array_equal(ours, theirs)


def test_antithetic_points_come_in_pairs():
    u = uniforms("antithetic", 101, 3, seed=0)
    assert np.allclose(u[0:100:2] + u[1::2], 1.0)


def test_beyond_sobols_dimensions_points_are_random_numbers():
    points = UnitPoints("sobol", 16, SOBOL_DIMENSIONS + 2, seed=0)
    last = points.coordinate(SOBOL_DIMENSIONS + 1)
    # A Sobol coordinate would have one of 16 points in each sixteenth.
    assert len(np.unique(np.floor(16 * last))) < 16
    with pytest.raises(IndexError):
        points.coordinate(SOBOL_DIMENSIONS + 2)


def test_unknown_methods_and_empty_samples_are_refused():
    with pytest.raises(ValueError, match="expected one of antithetic, latin_hypercube, monte_carlo"):
        uniforms("halton", 4, 1, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        uniforms("sobol", 0, 1, seed=0)


def test_a_seed_is_never_consumed_and_a_generator_is():
    assert stream(seed_sequence(3), 1).random() == stream(seed_sequence(3), 1).random()
    assert stream(seed_sequence(3), 1).random() != stream(seed_sequence(3), 2).random()
    rng = np.random.default_rng(0)
    first = uniforms("monte_carlo", 3, 1, rng)
    assert not np.array_equal(first, uniforms("monte_carlo", 3, 1, rng))
    assert np.array_equal(first, uniforms("monte_carlo", 3, 1, np.random.default_rng(0)))
    sequence = np.random.SeedSequence(9)
    assert np.array_equal(uniforms("sobol", 4, 2, sequence), uniforms("sobol", 4, 2, sequence))


@pytest.mark.parametrize("seed", [None, 1.5, True, "1"])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(TypeError):
        seed_sequence(seed)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match=">= 0"):
        seed_sequence(-1)
