"""Trees from laws and rounds, whole-path reduction, and the doors for other people's methods."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bondwork
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.uncertainty import (
    OutcomeHistory,
    ScenarioTree,
    describe_tree,
    make_tree,
    reduce_paths,
    reduce_scenarios,
    tree_of_round,
    tree_wasserstein,
    uniforms,
)
from plugins import installed


def spec(**stage) -> dict:
    laws = {"x": {"law": "uniform", "low": 0.0, "high": 1.0}, "y": 3.0}
    return {
        "format": "bondwork.tree-spec/1",
        "root": {"x": 5.0},
        "stages": [{"branching": 3, "laws": laws, **stage}],
    }


def faults_of(document: dict) -> dict[str, str]:
    with pytest.raises(InvalidInput) as error:
        make_tree(document)
    return {fault.path: fault.expected for fault in error.value.faults}


def test_moves_start_from_the_parent_and_repeated_stages_are_many() -> None:
    tree = make_tree(spec(repeat=3, moves={"x": "adds"}))
    assert [len(values) for values in tree.values] == [1, 3, 9, 27]
    steps = tree.values[2][:, 0] - np.repeat(tree.values[1][:, 0], 3)
    assert np.all((steps > 0.0) & (steps < 1.0))
    assert np.all(tree.values[3][:, 1] == 3.0)
    times = make_tree(spec(moves={"x": "multiplies"}))
    plain = make_tree(spec())
    assert times.values[1][:, 0] == pytest.approx(5.0 * plain.values[1][:, 0])


def test_seed_and_method_are_the_documents_unless_given(tmp_path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec() | {"seed": 4, "method": "monte_carlo"}))
    tree = make_tree(path)
    assert tree == make_tree(path.read_bytes()) == make_tree(spec(), seed=4, method="monte_carlo")
    assert tree != make_tree(path, seed=5)
    assert tree != make_tree(path, method="sobol")


def test_every_fault_of_a_specification_has_its_path() -> None:
    laws = {
        "low": {"law": "uniform", "low": 2.0, "high": 1.0},
        "odds": {"law": "values", "values": [1.0, 2.0], "probabilities": [0.5, 0.6]},
        "p": {"mean": 0.5, "concentration": 9.0},
    }
    found = faults_of(spec(
        laws=laws, repeat=2, moves={"p": "adds", "q": "adds"},
        correlation=[{"between": ["p", "p"], "value": 0.1}, {"between": ["p", "r"], "value": 0.1}],
    ) | {"method": "halton"})  # fmt: skip
    assert set(found) == {
        "$.stages[0].laws.low",
        "$.stages[0].laws.odds",
        "$.stages[0].correlation[0].between",
        "$.stages[0].correlation[1].between",
        "$.stages[0].moves.p",
        "$.stages[0].moves.q",
        "$.method",
    }


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (spec(laws={}), "$.stages[0].laws"),
        (spec(laws={"x": {"law": "gamma"}}), "$.stages[0].laws.x.law"),
        (spec(laws={"x": {"law": "normal", "mean": 0.0}}), "$.stages[0].laws.x.sd"),
        (spec(laws={"x": float("nan")}), "$.stages[0].laws.x"),
        (spec(branching=0), "$.stages[0].branching"),
        (spec(repeat=40, branching=10), "$.stages"),
        (spec() | {"more": 1}, "$.more"),
        ({"format": "bondwork.tree-spec/2", "stages": []}, "$.format"),
    ],
)
def test_faults(document: dict, path: str) -> None:
    assert path in faults_of(document)


def test_correlations_that_cannot_be_together_are_refused() -> None:
    laws = {name: {"law": "normal", "mean": 0.0, "sd": 1.0} for name in "abc"}
    pairs = [{"between": list(pair), "value": 0.9} for pair in ("ab", "bc")]
    pairs.append({"between": ["a", "c"], "value": -0.9})
    assert "$.stages[0].correlation" in faults_of(spec(laws=laws, correlation=pairs))
    singular = [{"between": ["a", "b"], "value": 1.0}, {"between": ["b", "c"], "value": -1.0},
                {"between": ["a", "c"], "value": -1.0}]  # fmt: skip
    values = make_tree(spec(laws=laws, correlation=singular, branching=50)).values[1]
    assert values[:, 0] == pytest.approx(values[:, 1], abs=1e-6)
    assert values[:, 0] == pytest.approx(-values[:, 2], abs=1e-6)


def round_of(**more) -> bondwork.Instance:
    offers = [{"task": "t", "coprocessor": "a", "bid": 1, "success_probability": 0.8}]
    return bondwork.load({
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}], "coprocessors": [{"id": "a"}],
        "tasks": [{"id": "t", "operator": "op", "reward": 9, "slashing": 9}], "offers": offers, **more,
    })  # fmt: skip


def test_a_round_becomes_a_fan_with_equal_scenarios_merged() -> None:
    tree = tree_of_round(round_of(), scenarios=1000, seed=1)
    assert (tree.stages, len(tree), tree.names[1]) == (2, 3, ("t/a",))
    assert tree.conditional[1:] == pytest.approx([0.8, 0.2], abs=0.05)
    assert tree == tree_of_round(round_of(), scenarios=1000, seed=1)


def test_a_round_beside_a_history_or_without_the_one_it_needs() -> None:
    history = OutcomeHistory.from_rows([("1", "a", 4, 4), ("2", "a", 4, 0)])
    fan = tree_of_round(bondwork.with_history(round_of(), history), scenarios=4000, seed=1)
    assert fan.conditional[fan.values[1][:, 0].argmax() + 1] == pytest.approx(0.2, abs=0.03)
    with pytest.raises(Refusal, match="needs a history"):
        tree_of_round(round_of(uncertainty={"sampling": "bootstrap"}))
    with pytest.raises(Refusal, match="at most"):
        tree_of_round(round_of(), scenarios=10**9)


def test_reduced_paths_are_paths_of_the_tree_at_the_distance_that_is_told() -> None:
    tree = make_tree(spec(repeat=2, branching=6))
    for method in ("forward", "backward", "medoids"):
        found = reduce_paths(tree, size=5, method=method)
        assert len(found.tree.leaves) == 5
        old = {tuple(row) for row in np.hstack(tree.paths()).tolist()}
        assert {tuple(row) for row in np.hstack(found.tree.paths()).tolist()} <= old
        flat = [ScenarioTree.from_fan(np.hstack(each.paths()), each.probability[each.leaves])
                for each in (tree, found.tree)]  # fmt: skip
        assert found.distance == pytest.approx(tree_wasserstein(*flat), abs=1e-9)
        within = reduce_paths(tree, error=found.distance, method=method)
        assert within.distance <= found.distance * (1 + 1e-12)
    assert reduce_paths(tree, size=len(tree.leaves)).tree == tree


def test_a_description_has_the_moments_of_the_tree() -> None:
    tree = ScenarioTree.from_fan([[1.0, 2.0], [3.0, 8.0]], [0.25, 0.75], names=["a", "b"])
    stage = describe_tree(tree)["stages"][1]
    assert stage["columns"]["a"] == pytest.approx({"mean": 2.5, "sd": 0.75**0.5, "low": 1.0, "high": 3.0})
    assert stage["correlation"] == [{"between": ["a", "b"], "value": pytest.approx(1.0)}]
    json.dumps(describe_tree(tree), allow_nan=False)


METHODS = """
from types import SimpleNamespace

import numpy as np


class Halves:
    summary = "always a half"

    def points(self, n, dimensions, seed):
        return SimpleNamespace(coordinate=lambda _: np.full(n, 0.5))


class First:
    summary = "the first ones"

    def select(self, cost, mass, *, size, allowed):
        return np.arange(size)
"""


def test_other_peoples_methods_come_in_by_the_same_door(tmp_path, monkeypatch) -> None:
    entries = {"bondwork.samplers:halves": "Halves", "bondwork.reductions:first": "First"}
    with installed(tmp_path, monkeypatch, "methods_of_others", METHODS, entries):
        assert uniforms("halves", 3, 2, seed=0).tolist() == [[0.5, 0.5]] * 3
        assert make_tree(spec(), method="halves").values[1][:, 0].tolist() == [0.5] * 3
        assert reduce_scenarios([0.0, 1.0, 5.0], size=2, method="first").kept.tolist() == [0, 1]
