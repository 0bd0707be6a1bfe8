"""The tree of a round with later periods: what is in it, how likely, and how large it gets."""

from __future__ import annotations

import numpy as np
import pytest

import bondwork
from bondwork.uncertainty.dependence import Dependence
from bondwork.uncertainty.horizon import ENDED, horizon_tree, unique_names
from bondwork.uncertainty.joint_outcomes import list_outcomes
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.sampling import sample_outcomes
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
    assert list_outcomes(OutcomeLaw.of(range(13), 0.5)) is None
    assert len(list_outcomes(OutcomeLaw.of(range(13), 0.5), 2**13)[1]) == 2**13
    assert list_outcomes(OutcomeLaw.of([0, 0], 0.5, concentration=10.0)) is None
    assert list_outcomes(OutcomeLaw.of([0, 1], 0.5, concentration=10.0)) is not None


@pytest.mark.parametrize(
    "factors", [(0.5, 0.5), (0.0, 1.0), (1.0, 0.0), (0.99, 0.0), (0.0, 0.99), (0.3, 0.1)]
)
def test_outcomes_that_factors_tie_fast_together(factors):
    """Against a large sample, and against the closed form of pairs."""
    dependence = Dependence(*factors)
    law = OutcomeLaw.of([0, 0, 1], [0.9, 0.7, 0.8], outage_probability=[0.1, 0.05], dependence=dependence)
    outcomes, chance = list_outcomes(law)
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    assert chance @ outcomes == pytest.approx([0.9, 0.7, 0.8], abs=1e-10)
    for pair, same in (((0, 1), True), ((0, 2), False), ((1, 2), False)):
        p = law.success_probability[list(pair)]
        out = law.outage_probability[law.executor[list(pair)]]
        both = dependence.joint_failure_probability(p[0], p[1], same_executor=same, outage=tuple(out))
        assert chance[(~outcomes[:, pair]).all(axis=1)].sum() == pytest.approx(both, abs=1e-10)
    drawn = ~sample_outcomes(law, 1 << 17, seed=1).dense()
    code = 2 ** np.arange(3)
    share = np.bincount(drawn @ code, minlength=8) / len(drawn)
    exact = np.bincount(outcomes @ code, chance, minlength=8)
    assert exact == pytest.approx(share, abs=0.005)


def test_what_fails_by_an_outage_alone_fails_together():
    law = OutcomeLaw.of([0] * 20 + [1], [0.95] * 20 + [0.5], outage_probability=[0.05, 0.0])
    outcomes, chance = list_outcomes(law)
    assert len(chance) == 4
    assert outcomes[:, :20].all(axis=1).tolist() == [False, False, True, True]
    assert chance == pytest.approx([0.025, 0.025, 0.475, 0.475])
    uncertain = OutcomeLaw.of(
        [0, 1],
        0.5,
        concentration=[4.0, np.inf],
        outage_probability=[0.2, 0.0],
        dependence=Dependence(0.4, 0.2),
    )
    outcomes, chance = list_outcomes(uncertain)
    drawn = sample_outcomes(uncertain, 1 << 17, seed=1).dense()
    assert chance[~outcomes.any(axis=1)].sum() == pytest.approx(drawn.all(axis=1).mean(), abs=0.005)


def test_names_are_unique_whatever_ids_hold():
    assert unique_names(["a", "a", "a #2"]) == ("a", "a #2", "a #2 #2")
    tree = tree_of(period("a[1]", 60, probability=0.5), period("a", 60, probability=0.5))
    assert len(set(tree.names)) == len(tree.names)
