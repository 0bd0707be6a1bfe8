"""Later periods: a tree, and lists of their own."""

from __future__ import annotations

import pytest

import bondwork
from bondwork.problem.instance import Period
from mutations import full_round


def round_with(*periods: dict) -> dict:
    return full_round() | {"periods": list(periods)}


def faults(*periods: dict) -> dict[str, str]:
    with pytest.raises(bondwork.InvalidInput) as caught:
        bondwork.load(round_with(*periods))
    return {fault.path: fault.expected for fault in caught.value.faults}


def period(
    id_: str, parent: str | None = None, at: float = 10, probability: float = 1.0, **lists: list
) -> dict:
    return {"id": id_, "parent": parent, "at": at, "probability": probability, **lists}


def test_a_tree_of_three_levels():
    instance = bondwork.load(
        round_with(
            period("a", probability=0.25),
            period("b", probability=0.75),
            period("a-1", "a", 20, 0.5),
            period("a-2", "a", 30, 0.5),
            period("b-1", "b", 10),
            period("b-1-1", "b-1", 10),
        )
    )
    assert [(p.id, p.parent, p.at, p.probability) for p in instance.periods][3:] == [
        ("a-2", "a", 30.0, 0.5),
        ("b-1", "b", 10.0, 1.0),
        ("b-1-1", "b-1", 10.0, 1.0),
    ]
    assert isinstance(instance.periods[0], Period)


def test_thirds_add_up():
    bondwork.load(round_with(*(period(name, probability=1 / 3) for name in "abc")))


@pytest.mark.parametrize(
    ("periods", "paths"),
    [
        ([period("a", "a")], ["$.periods[0].parent"]),
        ([period("a", "b"), period("b", "a")], ["$.periods[0].parent"]),
        ([period("a", "b"), period("b")], ["$.periods[0].parent"]),
        ([period("a", "nowhere")], ["$.periods[0].parent"]),
        ([period("a"), period("a", "a")], ["$.periods[1].id"]),
        ([period("a", at=-1)], ["$.periods[0].at"]),
        ([period("a", at=20), period("b", "a", at=19)], ["$.periods[1].at"]),
        ([period("a", probability=0.5)], ["$.periods[0].probability"]),
        ([period("a"), period("b", "a", probability=0.0)], ["$.periods[1].probability"]),
        (
            # once for each parent, at its first child
            [period("a", probability=0.5), period("b", probability=0.6), period("c", "a", probability=2 / 3)],
            ["$.periods[0].probability", "$.periods[2].probability"],
        ),
    ],
)
def test_what_is_no_tree(periods, paths):
    assert list(faults(*periods)) == paths


def test_a_malformed_period_breaks_no_sum():
    assert list(faults(period("a", probability=0.5), period("b", at="soon", probability=0.5))) == [
        "$.periods[1].at"
    ]


def test_now_bounds_the_first_periods_where_it_is_known():
    with pytest.raises(bondwork.InvalidInput) as caught:
        bondwork.load(round_with(period("a", at=-5)) | {"now": "x"})
    assert [fault.path for fault in caught.value.faults] == ["$.now"]
    bondwork.load(round_with(period("a", at=-5)) | {"now": -6})


def test_a_periods_lists_are_its_own():
    task = {"id": "t-1", "operator": "op-2", "reward": {"law": "lognormal", "mean": "1.5", "cv": 0}}
    offer = {"task": "t-1", "coprocessor": "cp-1", "success_probability": 0.5}
    instance = bondwork.load(round_with(period("a", tasks=[task], offers=[offer])))
    assert (len(instance.periods[0].tasks), len(instance.periods[0].offers)) == (1, 1)
    # the round's tasks are not there
    own = {"task": "t-2", "operator": "op-1", "success_probability": 1}
    assert faults(period("a", tasks=[task], offers=[offer | {"task": "t-2"}], self_execution=[own])) == {
        "$.periods[0].offers[0].task": "the id of a task",
        "$.periods[0].self_execution[0].task": "the id of a task",
    }


def test_what_a_period_holds_is_checked_as_the_rounds_own():
    task = {"id": "x", "operator": "op-1"}
    found = faults(
        period(
            "a",
            tasks=[
                task,
                task,
                {"id": "y"},
                {"id": "z", "claims": [{"operator": "nobody"}], "operator": "op-1"},
                {"id": "w", "operator": "op-1", "quorum": 2},
                {
                    "id": "v",
                    "operator": "op-1",
                    "reward": {"law": "values", "values": [1], "probabilities": [0.5]},
                },
            ],
            offers=[
                {"task": "x", "coprocessor": "cp-1", "success_probability": 0.995},
                {"task": "x", "coprocessor": "cp-9", "success_probability": 0.5, "operator": "nobody"},
                {
                    "task": "x",
                    "coprocessor": "cp-2",
                    "success_probability": {"mean": 0.5, "concentration": 2},
                    "bid": {"law": "values", "values": [1, 2], "probabilities": [1]},
                },
            ],
            self_execution=[{"task": "x", "operator": "nobody", "success_probability": 1}],
        )
    )
    here = "$.periods[0]"
    assert set(found) == {
        f"{here}.tasks[1].id",
        f"{here}.tasks[2]",
        f"{here}.tasks[3].operator",
        f"{here}.tasks[3].claims[0].operator",
        f"{here}.tasks[4].quorum",
        f"{here}.tasks[5].reward.probabilities",
        f"{here}.offers[0].success_probability",
        f"{here}.offers[1].coprocessor",
        f"{here}.offers[1].operator",
        f"{here}.offers[2].bid.probabilities",
        f"{here}.self_execution[0].operator",
    }


def test_what_a_period_holds_becomes_arrays_as_the_rounds_own():
    law = {"law": "values", "values": [1, 3], "probabilities": [0.5, 0.5]}
    tasks = [
        {"id": "x", "operator": "op-1", "slashing": 4,
         "reward": {"law": "lognormal", "mean": "2", "cv": 0.5}},
        {"id": "y", "claims": [{"operator": "op-1", "slashing": law}, {"operator": "op-2", "reward": 7}],
         "work": {"wholly-new": 2.0}, "deadline": 90},
    ]  # fmt: skip
    offers = [
        {"task": "y", "coprocessor": "cp-2", "bid": law, "success_probability": 0.5},
        {
            "task": "x",
            "coprocessor": "cp-1",
            "bid": 1,
            "success_probability": {"mean": 0.5, "concentration": 8},
        },
    ]
    own = [{"task": "x", "operator": "op-1", "cost": 0.5, "success_probability": 1}]
    instance = bondwork.load(round_with(period("a", tasks=tasks, offers=offers, self_execution=own)))
    (held,) = instance.periods
    assert (held.tasks.ids, held.tasks.deadline.tolist()) == (("x", "y"), [float("inf"), 90.0])
    assert held.claims.task.tolist() == [0, 1, 1]
    assert held.claims.reward.tolist() == [2.0, 0.0, 7.0]
    assert held.claims.slashing.tolist() == [4.0, 2.0, 0.0]
    # the first offer stands for both operators that claim its task
    assert held.offers.ids == ("y/cp-2", "y/cp-2", "x/cp-1", "x/op-1")
    assert held.offers.bid.tolist() == [2.0, 2.0, 1.0, 0.5]
    assert held.offers.concentration.tolist() == [float("inf")] * 2 + [8.0, float("inf")]
    assert held.offers.work[0, instance.resources.index("wholly-new")] == 2.0
    said = [(each.kind, each.targets, each.law.mean) for each in held.laws]
    assert said == [("reward", (0,), 2.0), ("slashing", (1,), 2.0), ("bid", (0, 1), 2.0)]
    with pytest.raises(ValueError, match="read-only"):
        held.offers.bid[0] = 0.0


def test_laws_of_one_value_are_numbers():
    for law in (
        {"law": "lognormal", "mean": 2, "cv": 0},
        {"law": "values", "values": [2, 9], "probabilities": [1, 0]},
        {"law": "values", "values": [2, 2], "probabilities": [0.5, 0.5]},
    ):
        task = {"id": "x", "operator": "op-1", "reward": law}
        (held,) = bondwork.load(round_with(period("a", tasks=[task]))).periods
        assert (held.claims.reward.tolist(), held.laws) == ([2.0], ())


def test_offers_of_a_period_are_checked_against_its_claims_and_ids():
    task = {"id": "x", "operator": "op-1"}
    offer = {"task": "x", "coprocessor": "cp-1", "success_probability": 0.5}
    own = {"task": "x", "operator": "op-2", "success_probability": 1}
    found = faults(
        period("a", tasks=[task, {"id": "y", "claims": [{"operator": "op-1"}, {"operator": "op-1"}]}],
               offers=[offer, offer, offer | {"operator": "op-2"}], self_execution=[own])
    )  # fmt: skip
    assert found == {
        "$.periods[0].tasks[1].claims[1].operator": "each operator once among a task's claims",
        "$.periods[0].offers[1]": "an id of its own: give the offers of a pair different ids",
        "$.periods[0].offers[2].operator": "an operator that claims the task",
        "$.periods[0].self_execution[0].operator": "an operator that claims the task",
    }


def test_two_rounds_that_differ_in_a_period_have_different_digests():
    def digest(reward: object) -> str:
        task = {"id": "x", "operator": "op-1", "reward": reward}
        return bondwork.load(round_with(period("a", tasks=[task]))).sha256

    law = {"law": "lognormal", "mean": 2, "cv": 0.5}
    assert len({digest(2), digest(3), digest(law), digest(law | {"cv": 0.25})}) == 4
    assert digest(law) == digest(dict(reversed(law.items())))
