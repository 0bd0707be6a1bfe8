"""The tree of a round with later periods: what is in it, how likely, and how large it gets."""

from __future__ import annotations

import numpy as np
import pytest

import bondwork
from bondwork.uncertainty.dependence import Dependence
from bondwork.uncertainty.horizon import ENDED, horizon_tree, unique_names
from bondwork.uncertainty.joint_outcomes import MOST_LISTED, list_outcomes
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.tree import ScenarioTree

TASK = {"id": "t", "operator": "op", "reward": 4, "slashing": 1}


def offer(**fields) -> dict:
    return {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75} | fields


def tree_of(*periods: dict, seed: int | None = None, **fields):
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": 3}],
        "tasks": [TASK],
        "offers": [offer()],
        "periods": list(periods),
    } | fields
    return horizon_tree(bondwork.load(document), seed=seed)


def period(id_: str, at: float, parent: str | None = None, **fields) -> dict:
    return {"id": id_, "at": at, "parent": parent, "tasks": [TASK], "offers": [offer()]} | fields


def test_paths_of_different_lengths_end():
    tree = tree_of(period("a", 60, probability=0.25), period("b", 60, probability=0.75), period("c", 90, "b"))
    assert tree.names[:5] == ("this round", "a[0]", "a[1]", "b[0]", "b[1]")
    assert tree.period.tolist()[5:] == [ENDED, ENDED, 2, 2, 2, 2]
    # b: failed with 0.25; c as well, and independently
    assert tree.tree.probability[1:5].tolist() == pytest.approx([0.0625, 0.1875, 0.1875, 0.5625])
    assert tree.tree.conditional[7:].tolist() == pytest.approx([0.25, 0.75, 0.25, 0.75])
    assert ScenarioTree.from_json(tree.tree.to_json()) == tree.tree


def test_only_what_can_matter_later_makes_nodes():
    free = {"coprocessors": [{"id": "cp"}]}
    assert len(tree_of(period("a", 60), **free).names) == 2
    # stake matters as collateral does
    assert len(tree_of(period("a", 60), **free, operators=[{"id": "op", "stake": 5}]).names) == 3
    # nobody asks for collateral later
    assert len(tree_of(period("a", 60, offers=[offer(collateral=0)])).names) == 2
    # known outcomes are no surprise
    assert len(tree_of(period("a", 60), offers=[offer(success_probability=1.0)]).names) == 2
    # what is not released is not seen
    assert len(tree_of(period("a", 60), offers=[offer(duration=61)]).names) == 2
    assert len(tree_of(period("a", 60), offers=[offer(duration=60)]).names) == 3


def test_periods_that_are_never_reached_are_left_out():
    tree = tree_of(period("a", 60, probability=1.0), period("b", 60, probability=0.0), period("c", 90, "b"))
    assert set(tree.period.tolist()) == {-1, 0}


def test_random_amounts_of_what_nobody_can_choose_are_left_out():
    law = {"law": "values", "values": [1, 2], "probabilities": [0.5, 0.5]}
    ineligible = period("a", 60, tasks=[TASK | {"reward": law, "minimum_collateral": 9}])
    assert len(tree_of(ineligible).seen[0].laws) == 0
    assert tree_of(period("a", 60, tasks=[TASK | {"reward": law}])).seen[0].amounts.shape == (4, 1)


def test_many_paths_are_sampled_within_the_number_asked_for():
    law = {"law": "lognormal", "mean": 4, "cv": 0.5}
    periods = [period("a", 60, tasks=[TASK | {"reward": law}])]
    periods.append(period("b", 90, "a", tasks=[TASK | {"reward": law}]))
    for scenarios in (1, 7, 100, 256):
        tree = tree_of(*periods, uncertainty={"scenarios": scenarios})
        assert not tree.exact
        side = int(scenarios**0.5)
        assert len(tree.tree.leaves) == side**2
    assert (
        tree_of(*periods, uncertainty={"scenarios": 16}, seed=1).tree
        != tree_of(*periods, uncertainty={"scenarios": 16}, seed=2).tree
    )


def test_what_is_seen_has_the_same_law_wherever_it_is_seen_from():
    law = {"law": "lognormal", "mean": 4, "cv": 0.5}
    tree = tree_of(
        period("a", 60), period("b", 90, "a", tasks=[TASK | {"reward": law}]), uncertainty={"scenarios": 64}
    )
    first, second = tree.tree.children(1), tree.tree.children(2)
    assert tree.tree.conditional[first].tolist() == tree.tree.conditional[second].tolist()
    assert np.array_equal(*(tree.tree.values[2][np.arange(c.start, c.stop) - 3] for c in (first, second)))


@pytest.mark.parametrize("factors", [(0.0, 0.0), (0.05, 0.3), (0.3, 0.4)])
def test_joint_outcomes_have_the_probabilities_of_the_law(factors):
    dependence = Dependence(*factors)
    law = OutcomeLaw.of([0, 0, 1], [0.9, 0.7, 0.95], outage_probability=[0.05, 0.0], dependence=dependence)
    outcomes, chance = list_outcomes(law)
    assert chance @ outcomes == pytest.approx([0.9, 0.7, 0.95], abs=1e-9)
    both = dependence.joint_failure_probability(0.9, 0.7, same_executor=True, outage=(0.05, 0.05))
    assert chance[~outcomes[:, 0] & ~outcomes[:, 1]].sum() == pytest.approx(both, abs=1e-9)
    apart = dependence.joint_failure_probability(0.9, 0.95, same_executor=False, outage=(0.05, 0.0))
    assert chance[~outcomes[:, 0] & ~outcomes[:, 2]].sum() == pytest.approx(apart, abs=1e-9)


def test_laws_without_a_list():
    many = MOST_LISTED + 1
    assert list_outcomes(OutcomeLaw.of(range(many), 0.5)) is None
    assert list_outcomes(OutcomeLaw.of([0, 0], 0.5, concentration=10.0)) is None
    assert list_outcomes(OutcomeLaw.of([0, 1], 0.5, concentration=10.0)) is not None
    assert list_outcomes(OutcomeLaw.of([0, 1], 0.5, dependence=Dependence(0.5, 0.5))) is None


def test_names_are_unique_whatever_ids_hold():
    assert unique_names(["a", "a", "a #2"]) == ("a", "a #2", "a #2 #2")
    tree = tree_of(period("a[1]", 60, probability=0.5), period("a", 60, probability=0.5))
    assert len(set(tree.names)) == len(tree.names)
